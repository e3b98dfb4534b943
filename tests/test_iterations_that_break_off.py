"""What becomes of a run when an iteration breaks off: a report, or one message."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import EngineError, ServerError
from harness.runner import Recorder, _iterate

pytestmark = pytest.mark.anyio


class Iteration:
    aborted = False

    def __init__(self, index: int, phase: str, *errors: Exception) -> None:
        self.index, self.phase, self.errors = index, phase, errors

    async def run(self) -> None:
        if self.errors:
            raise ExceptionGroup("broke off", self.errors)


class Log:
    def exception(self, *_: object, **__: object) -> None:
        pass


class Events(list[dict[str, Any]]):
    def __call__(self, kind: str, **facts: Any) -> None:
        self.append({"kind": kind, **facts})


async def failures(*iterations: Any) -> list[dict[str, Any]]:
    told = Events()
    events: Any = told
    await _iterate(iterations, Recorder(events, lambda *_: None), Log())
    return [one for one in told if one["kind"] == "run.failed"]


async def test_what_cannot_be_set_up_at_all_is_a_usage_error() -> None:
    with pytest.raises(EngineError):
        await failures(Iteration(0, "setup", EngineError("no such image")))


@pytest.mark.parametrize(("index", "phase"), [(0, "fault"), (0, "collect"), (3, "setup")])
async def test_an_engine_that_fails_a_run_that_began_is_recorded(index: int, phase: str) -> None:
    broken = Iteration(index, phase, EngineError("n1 cannot be removed"))
    (failed,) = await failures(Iteration(0, "collect"), broken)
    assert (failed["error"], failed["phase"]) == ("EngineError", phase)


async def test_clean_up_that_fails_does_not_hide_why_a_run_broke_off() -> None:
    errors = (EngineError("n1 cannot be removed"), ServerError("the Engine's events broke off"))
    (failed,) = await failures(Iteration(0, "fault", *errors))
    assert failed["message"] == "the Engine's events broke off"
