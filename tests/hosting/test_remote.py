"""Whatever a host does, everybody who waits for it is answered, and it ends."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from harness.errors import FaultError, HarnessError, ServerError, UsageError
from harness.hosting import remote as remotes
from harness.hosting.host import _encode
from harness.hosting.plan import Plan
from harness.hosting.remote import Remote

LIMIT_S = 30.0
HEAD = """
import json, signal, socket, sys
channel = socket.socket(fileno=0)
requests = channel.makefile("r")
requests.readline()
def say(text):
    channel.sendall(text.encode())
"""
IGNORE_THE_END = "signal.pause()\n"


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a host that does what some code says."""

    def start(code: str) -> Remote:
        monkeypatch.setattr(remotes, "ARGV", (sys.executable, "-c", HEAD + code))
        return Remote(Plan({}, "local", 1, disks=False, folder=str(tmp_path)))

    return start


def error_of(answer: Future[Any]) -> BaseException | None:
    return answer.exception(LIMIT_S)


@pytest.mark.parametrize(
    "said",
    ["half a li", '{"id": 0, "result"', "nonsense\n", "[]\n", '{"result": {}}\n', '{"id": 0}\n'],
    ids=["half", "half-json", "no-json", "no-mapping", "no-number", "no-result"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_host_that_speaks_nonsense_answers_everybody(said: str, start: Any) -> None:
    remote = start(f"requests.readline(); say({said!r})")
    _, other = remote.ask("state")
    for answer in (remote.started, other, remote.ask("check")[1]):
        assert isinstance(error_of(answer), ServerError)
    remote.hang_up()


def test_an_error_of_a_kind_that_nobody_knows_is_an_error(start: Any) -> None:
    remote = start("""say('{"id": 0, "error": "BusyError", "message": "busy"}\\n')""")
    error = error_of(remote.started)
    assert type(error) is HarnessError
    assert str(error) == "busy"
    remote.hang_up()


def test_an_error_is_sent_as_the_nearest_kind_that_is_known() -> None:
    class BusyError(FaultError):
        pass

    assert '"error": "FaultError"' in _encode(1, None, BusyError("busy"))


@pytest.mark.parametrize("code", [IGNORE_THE_END, ""], ids=["hangs", "ends"])
def test_a_host_that_does_not_end_is_killed_and_hides_no_error(
    code: str, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "KILL_LIMIT_S", 0.2)
    monkeypatch.setattr(remotes, "END_LIMIT_S", 0.2)
    remote = start(code)
    with pytest.raises(ServerError, match=r"has not ended within|has ended"):
        remote.end()
    assert remote._process.poll() is not None
    assert isinstance(error_of(remote.started), ServerError)


def test_an_interrupt_goes_on_when_a_host_is_killed(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "KILL_LIMIT_S", 0.2)
    remote = start(IGNORE_THE_END)

    def interrupt() -> None:
        try:
            raise KeyboardInterrupt
        finally:
            remote.hang_up()

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert remote._process.poll() is not None


def test_the_last_words_of_a_host_hold_no_login(start: Any) -> None:
    remote = start("print('route nats://u:SECRET@n1:1', file=sys.stderr)")
    said = str(error_of(remote.started))
    assert "route nats://***@n1:1" in said
    assert "SECRET" not in said
    remote.hang_up()


@pytest.mark.parametrize("folder", ["none", "file"])
def test_a_folder_that_nothing_can_be_written_into_is_told_and_nothing_stays_open(
    folder: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(UsageError, match=rf"^folder: cannot write into \S+/{folder}: "):
        Remote(Plan({}, "local", 1, disks=False, folder=str(tmp_path / folder)))
    assert sorted(Path("/proc/self/fd").iterdir()) == before
