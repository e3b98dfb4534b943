"""A real cluster for a user's own clients, and the faults that can be put upon it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import anyio.lowlevel

from harness.errors import HarnessError, UsageError
from harness.hosting.block import Block
from harness.hosting.faults import Faults
from harness.hosting.plan import Plan
from harness.hosting.remote import Remote, Reply, outcome
from harness.scopes import in_thread
from harness.scratch import scratch

HostedBackend = Literal["auto", "local", "lab"]
AUTO = "auto"


@dataclass(frozen=True)
class Node:
    """A server of a hosted cluster.

    Attributes:
        url: where clients connect, without a login.
        monitor_url: where it is asked about itself (NATS docs, Monitoring).
        log: the file that it logs into.
    """

    name: str
    url: str
    monitor_url: str
    log: Path
    _state: Callable[[], Reply]

    @property
    def running(self) -> bool:
        """Tell whether its process exists now; a paused one does."""
        return bool(self._state()[self.name]["running"])

    @property
    def version(self) -> str:
        """Return the version that it is now; an upgrade changes it."""
        return str(self._state()[self.name]["version"])


class HostedCluster(Block):
    """Real servers on this machine, running while a block does: `with` it, or `async with` it.

    Servers die with this process, however it ends. A server that ended though no fault asked
    for it is told by a ServerError, at the next fault and at the end of the block.
    """

    def __init__(self, cluster: Mapping[str, Any], backend: str, seed: int, **rest: Any) -> None:
        """Make a cluster that is not started; see `harness.nats_cluster`.

        Raises:
            UsageError: there is no such backend. ScenarioError: the cluster cannot be.
        """
        __tracebackhide__ = True
        if backend not in (AUTO, "local", "lab"):
            raise UsageError(f"unknown backend {backend!r}; a cluster is hosted on local or lab")
        folder: Path | None = rest.pop("folder")
        self._plan = Plan(
            cluster=cluster,
            backend="local" if backend == AUTO else backend,
            seed=seed,
            folder="" if folder is None else str(folder.absolute()),
            **rest,
        )
        self._plan.load()
        self._held: ExitStack | None = None
        self._remote: Remote | None = None
        self._nodes: dict[str, Node] = {}
        self._told = False
        self._running: list[HostedCluster] = []
        self.faults = Faults(self)

    @property
    def plan(self) -> Plan:
        """Return what it was asked to be."""
        return self._plan

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Return the servers by name, the seed (``n1``) first."""
        self.remote  # noqa: B018 - raises unless it is started
        return self._nodes

    @property
    def urls(self) -> list[str]:
        """Return where clients connect, of every server, the seed's first."""
        return [node.url for node in self.nodes.values()]

    @property
    def url(self) -> str:
        """Return where clients connect to the seed."""
        return self.urls[0]

    @property
    def seed(self) -> int:
        """Return what every random choice of faults comes from."""
        return self._plan.seed

    @property
    def backend(self) -> str:
        """Return where it runs: ``local`` or ``lab``."""
        return self._plan.backend

    @property
    def folder(self) -> Path:
        """Return the folder of configurations, logs and ``events.jsonl``."""
        return Path(self._plan.folder)

    @property
    def remote(self) -> Remote:
        """Return who is told what to do; UsageError when it is not started."""
        if self._remote is None:
            raise UsageError("the cluster does not run: enter it by `with` or `async with`")
        return self._remote

    def follow(self, running: list[HostedCluster]) -> None:
        """Be in the list for as long as it runs."""
        self._running = running

    def check(self) -> None:
        """Raise ServerError when a server ended unasked, UsageError when a fault was not used."""
        __tracebackhide__ = True
        _, answer = self.remote.ask("check")
        try:
            outcome(answer)
        except HarnessError:
            self._told = True
            raise
        self.faults.require_used()

    def start(self) -> Self:
        """Start every server; return once the cluster, and JetStream where it is on, is ready.

        Raises:
            HarnessError: it cannot be, or has not formed.
        """
        __tracebackhide__ = True
        if self._held is not None:
            raise UsageError("the cluster was started already; make another one")
        with ExitStack() as held:
            if not self._plan.folder:
                folder = held.enter_context(scratch())
                self._plan = Plan(**{**vars(self._plan), "folder": str(folder)})
            remote = Remote(self._plan)
            try:
                said = outcome(remote.started)
            except BaseException:
                remote.hang_up()
                raise
            held.callback(remote.end)
            self._nodes = {
                name: Node(
                    name,
                    f"nats://{facts['client']}",
                    f"http://{facts['monitor']}",
                    self.folder / f"{name}.log",
                    self._state,
                )
                for name, facts in said["nodes"].items()
            }
            self._remote = remote
            self._running.append(self)
            held.callback(self._running.remove, self)
            self._held = held.pop_all()
        return self

    def close(self, *, judge: bool = True) -> None:
        """End every server, and what still holds is healed; with `judge`, `check` before."""
        __tracebackhide__ = True
        held, self._held = self._held, None
        if held is None:
            return
        with held:
            try:
                if judge and not self._told:
                    self.check()
            finally:
                self._remote = None

    def _state(self) -> Reply:
        _, answer = self.remote.ask("state")
        return outcome(answer)

    def __enter__(self) -> Self:
        __tracebackhide__ = True
        return self.start()

    async def __aenter__(self) -> Self:
        __tracebackhide__ = True
        await anyio.lowlevel.checkpoint_if_cancelled()
        try:
            return await in_thread(self.start)
        except HarnessError:
            raise  # it was not started
        except BaseException:
            await in_thread(lambda: self.close(judge=False))
            raise

    def _leave(self, error: BaseException | None) -> None:
        __tracebackhide__ = True
        self.close(judge=error is None)


def describe(
    servers: int,
    version: str | Mapping[str, str],
    jetstream: bool | Mapping[str, Any],  # noqa: FBT001 - as a scenario has it
    config: Mapping[str, Any] | None,
    spec: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return a scenario's `cluster`; UsageError where `spec` is about something else."""
    __tracebackhide__ = True
    if spec is not None and not isinstance(spec, Mapping):
        raise UsageError(f"spec: expected a mapping, found {type(spec).__name__}")
    more = dict(spec or {})
    for key in more:
        if key in ("servers", "version", "jetstream", "config"):
            raise UsageError(f"spec: {key} is an option of its own")
        if key in ("image", "container", "compose", "services", "attach"):
            raise UsageError(f"spec: {key}: only servers that the harness starts can be hosted")
    counted = {} if "clusters" in more else {"servers": servers}
    found = {**counted, "version": version, "jetstream": jetstream, **more}
    return found if config is None else {**found, "config": config}
