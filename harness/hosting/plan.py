"""What a cluster and its faults are to be: checked by the rules that scenarios are held to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from harness.errors import ScenarioError, UsageError
from harness.faults import FAULTS
from harness.faults.base import Fault
from harness.scenario.load import Loaded, load_data
from harness.scenario.model import Scenario, WorkloadSpec
from harness.scenario.problems import suggestion
from harness.scenario.streams import StreamSpec
from harness.scenario.targets import parse_led
from harness.scenario.vocabulary import Vocabulary

CLIENTS = "tests"  # what faults call the clients that are not the harness's own
GROUP = "tests-clients"  # the place they are in
OWN = "own"
_NEEDLESS = {
    "at": "the fault strikes when the block is entered",
    "duration": "the fault lasts as long as the block",
    "repeat_every": "enter another block",
    "times": "enter another block",
    "expect": "look for yourself within the block",
    "name": "it gets one by itself",
    "action": "the method says it",
}
_FIRST_FAULT = re.compile(r"^faults\[0\](?:\.|: )")
_LONG = "24h"


class OwnClients(WorkloadSpec):
    """Clients of somebody else's, and the streams and consumers that are theirs."""

    roles: ClassVar[tuple[str, ...]] = ("clients",)
    paced: ClassVar[bool] = False

    kind: Literal["own"]
    streams: tuple[str, ...] = ()
    consumers: Mapping[str, tuple[str, ...]] = {}

    def subject_among(self, streams: Sequence[StreamSpec]) -> str | None:
        """Return None: nobody knows what they send on."""
        del streams
        return None

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Return the streams that a fault names."""
        return self.streams

    def durables(self) -> Mapping[str, Mapping[str, Mapping[str, Any]]]:
        """Return the consumers that a fault names."""
        return {name: {one: {} for one in all_} for name, all_ in self.consumers.items()}


VOCABULARY = Vocabulary(faults=FAULTS, workloads={OWN: OwnClients})


@dataclass(frozen=True)
class Plan:
    """A cluster to be hosted; JSON can hold it.

    Attributes:
        cluster: as in a scenario; it may hold passwords.
        backend: ``local`` or ``lab``.
        seed: what every random choice comes from.
        disks: whether faults of disks are wanted, for which servers start under a filter.
        folder: where configurations and logs go.
    """

    cluster: Mapping[str, Any] = field(repr=False)
    backend: str
    seed: int
    disks: bool
    folder: str

    def load(self) -> Loaded:
        """Return a scenario of the cluster alone; ScenarioError when it cannot be."""
        __tracebackhide__ = True
        try:
            return load_data(self._scenario(), VOCABULARY)
        except ScenarioError as error:  # pytest would show what every frame below was given
            raise error.with_traceback(None) from None

    def _scenario(self, **more: Any) -> dict[str, Any]:
        return {
            "name": "cluster",
            "seed": self.seed,
            "cluster": dict(self.cluster),
            "workloads": [{"name": CLIENTS, "kind": OWN}],
            **more,
        }

    def fault(self, call: FaultCall) -> Fault:
        """Return the fault of a call; UsageError when it cannot be, one problem a line."""
        __tracebackhide__ = True
        own = {"name": CLIENTS, "kind": OWN, **call.named()}
        data = self._scenario(
            workloads=[own],
            phases={"steady": _LONG, "fault": _LONG},
            faults=[call.step()],
        )
        try:
            scenario: Scenario = load_data(data, VOCABULARY).scenario
        except ScenarioError as error:
            lines = (_FIRST_FAULT.sub("", line) for line in str(error).splitlines())
            raise ScenarioError("\n".join(f"{call.spoken}: {line}" for line in lines)) from None
        (fault,) = scenario.faults
        assert isinstance(fault, Fault)  # the vocabulary has no other steps that are named so
        if fault.watches_disk and not self.disks:
            raise UsageError(f"{call.spoken}: the cluster was made without disks=True")
        return fault


@dataclass(frozen=True)
class FaultCall:
    """A fault as Python says it; JSON can hold it.

    Attributes:
        method: the action's name in snake_case.
        number: how many calls there were before.
        options: the keys of a scenario's step.
    """

    method: str
    number: int
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def spoken(self) -> str:
        """Return how a message names it."""
        return f"faults.{self.method}"

    def step(self) -> dict[str, Any]:
        """Return the step as a scenario has it; UsageError for what a block makes needless."""
        __tracebackhide__ = True
        for key in self.options:
            if key in _NEEDLESS:
                raise UsageError(f"{self.spoken}: {key}: not here: {_NEEDLESS[key]}")
        action = self.method.replace("_", "-")
        return {"name": f"{action}-{self.number}", "action": action, **self.options}

    def named(self) -> dict[str, Any]:
        """Return the streams and consumers that it names, which are the test's own."""
        target, stream = self.options.get("target"), self.options.get("stream")
        led = parse_led(target) if isinstance(target, str) else None
        names = [name for name in (led and led.stream, stream) if isinstance(name, str)]
        found: dict[str, Any] = {"streams": list(dict.fromkeys(names))} if names else {}
        if led is not None and led.stream is not None and led.consumer is not None:
            found["consumers"] = {led.stream: [led.consumer]}
        return found


def require_method(name: str) -> str:
    """Return the action of a method's name; UsageError when there is none."""
    methods = [action.replace("-", "_") for action in FAULTS]
    if name not in methods:
        raise UsageError(f"unknown fault {name!r}{suggestion(name, methods)}")
    return name.replace("_", "-")
