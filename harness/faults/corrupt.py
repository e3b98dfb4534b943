"""Corrupt: files of a server's store are damaged while it is down, and it is started again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Annotated, Any, ClassVar, Literal

import anyio.to_thread
from pydantic import Field

from harness.cluster.damage import PAGE_BYTES, Damage, How, Recipe, Trace
from harness.cluster.monitor import Monitor
from harness.cluster.protocols import Capability, Cluster, Node
from harness.cluster.store import (
    BY_RAFT_GROUP,
    IN_BLOCKS,
    OF_STREAMS,
    Block,
    Part,
    find,
    index_of,
    names_no_stream,
    shown,
)
from harness.errors import FaultError, ServerError
from harness.faults.base import (
    EFFECT_LIMIT_S,
    Fault,
    Strike,
    describe_exit,
    on_each,
    require_healthy,
    require_running,
    undone,
)
from harness.scenario.quantities import Flag, Offset, Size
from harness.scenario.sites import NOWHERE, Sites

ASK_LIMIT_S = 2.0
START_LIMIT_S = 25.0  # what is damaged may have to be read through, or fetched from peers
MOST_FLIPS = 1000
NAMED = 4  # files that proof names one by one
SUMMARY = "/jsz"
STREAMS = "/jsz?accounts=1&streams=1&raft=1"

ApiName = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s.*>/\\]+$")]


class Corrupt(Fault):
    """Damage files of the server's store while it is down; start it again after `duration`.

    It models what a disk does without telling: rotten bits (`bit-flip`), an end that was
    never written (`truncate`), a page that was lost (`zero`), a file that is gone
    (`remove`). Bytes on the disk change, not what a running server holds in memory, so the
    server is brought down first, and reads the damage when it starts. Only its being down is
    undone: the damage stays, and whether the server finds and repairs it is what is tested.

    One that refuses to start, with a fatal error and of its own accord, or that starts and
    goes on saying that it is not healthy, leaves the fault unproven, unless `refusal` is
    ``allowed``: then it stays as it is to the end of the run.
    """

    action: Literal["corrupt"]
    part: Part
    stream: ApiName | None = None
    consumer: ApiName | None = None
    block: (
        Annotated[int, Field(strict=True, ge=1)] | Literal["first", "middle", "last", "all"] | None
    ) = None
    how: How = "bit-flip"
    flips: Annotated[int, Field(strict=True, ge=1, le=MOST_FLIPS)] | None = None
    offset: Offset | None = None
    length: Size | None = None
    drop_index: Flag = False
    down_by: Literal["kill", "stop"] = "kill"
    refusal: Literal["not-allowed", "allowed"] = "not-allowed"
    self_timed: ClassVar[bool] = True
    settle_s: ClassVar[float] = 10.0
    needs_files: ClassVar[bool] = True
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.STORE})

    @property
    def needed(self) -> frozenset[Capability]:
        """Return what a backend must be able to do for it with the keys that it has."""
        return self.needs | {Capability.KILL if self.down_by == "kill" else Capability.STOP}

    def impossibilities(
        self, nodes: Sequence[str], groups: Mapping[str, Sequence[str]], sites: Sites = NOWHERE
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield the keys that say nothing beside the others, and why."""
        yield from super().impossibilities(nodes, groups, sites)
        part, how = self.part, self.how
        if self.stream is not None and part not in OF_STREAMS:
            yield ("stream",), f"{part} is about all streams at once; remove the key"
        if self.consumer is not None and part != "consumer-state":
            yield ("consumer",), f"{part} belongs to no consumer; only consumer-state does"
        if self.block is not None and part not in IN_BLOCKS:
            yield ("block",), f"{part} is no block; blocks are {', '.join(sorted(IN_BLOCKS))}"
        if self.drop_index and part not in IN_BLOCKS:
            yield ("drop_index",), f"an index is of blocks ({', '.join(sorted(IN_BLOCKS))})"
        if self.flips is not None and how != "bit-flip":
            yield ("flips",), f"how: {how} turns no bits over; remove the key"
        if self.flips is not None and self.flips > 1 and self.offset is not None:
            yield ("flips",), "one offset is one flip; remove flips or offset"
        if self.length is not None and how != "zero":
            yield ("length",), f"says how much is made zero, and how is {how}; remove the key"
        if self.length == 0:
            yield ("length",), "no bytes would be made zero; expected at least 1B"
        if self.offset is not None and how == "remove":
            yield ("offset",), "a file is removed as a whole; remove the key"

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the damaged nodes down, proven by their exits and by what their files hold now."""
        del cluster
        require_running(strike.nodes)
        scenes = {node.name: await self._look_around(node) for node in strike.nodes}

        async def strike_one(node: Node) -> None:
            scene = scenes[node.name]
            strike.hit(node, "SIGKILL" if self.down_by == "kill" else node.stop_signal)
            end = node.kill if self.down_by == "kill" else node.stop
            exit_ = await end(EFFECT_LIMIT_S)
            done = await anyio.to_thread.run_sync(self._damage, scene, _dice(strike, node))
            for one in done:
                strike.record("fault.damaged", **_facts(strike, scene, one))
            strike.effect(node, f"{describe_exit(exit_)}; {_tell(scene, done)}")

        async def look(node: Node) -> None:
            scene = scenes[node.name]
            if node.running:
                raise FaultError(f"{node.name} runs again, though nobody started it")
            for trace in scene.traces:
                if not await anyio.to_thread.run_sync(trace.intact):
                    raise FaultError(f"{scene.name(trace.path)} is not as it was left")
            strike.held(node, "still down, its files as they were left")

        async def revive(node: Node) -> None:
            await self._revive(strike, scenes[node.name])

        undo = undone(
            lambda: on_each(strike.nodes, revive),
            f"{self.name}: starting again",
            START_LIMIT_S + EFFECT_LIMIT_S,
        )
        async with undo:
            await on_each(strike.nodes, strike_one)
            strike.still(lambda: on_each(strike.nodes, look))
            yield

    async def _look_around(self, node: Node) -> _Scene:
        """Return where the node's files are; it runs still, and tells what its groups are called.

        Raises:
            FaultError: it has no files, or does not know the stream.
        """
        if node.store is None:
            raise FaultError(f"{node.name} has no files that can be reached")
        groups = None
        if self.stream is not None and self.part in BY_RAFT_GROUP:
            groups = await _groups_of(node, self.stream)
        streams = 0
        if self.part == "meta-snapshot":
            streams = int((await _ask(node, SUMMARY)).get("streams", 0))
        return _Scene(node, node.store, groups, streams)

    def _damage(self, scene: _Scene, dice: Random) -> list[Damage]:
        """Damage what there is of the part; runs in a thread."""
        block: Block = "first" if self.block is None else self.block
        files = find(
            scene.store,
            self.part,
            stream=self.stream,
            consumer=self.consumer,
            groups=scene.groups,
            block=block,
        )
        if not files:
            raise FaultError(f"{scene.node.name} has no {self._wanted()}{self._hint()}")
        for path in files:
            if scene.streams and names_no_stream(path):
                raise FaultError(
                    f"{scene.node.name} has {scene.streams} streams and a snapshot of all streams "
                    f"that is older and names none ({scene.name(path)}): damage to it would say "
                    "nothing; a clean stop writes it anew (down_by: stop, or a stop before)"
                )
        recipe = Recipe(
            self.how,
            flips=self.flips or 1,
            offset=self.offset,
            length=PAGE_BYTES if self.length is None else self.length,
        )
        done = [self._apply(recipe, scene, path, dice) for path in files]
        indexes = dict.fromkeys(index_of(path) for path in files if self.drop_index)
        there = [path for path in indexes if path.exists()]  # after a kill there need not be one
        return done + [self._apply(Recipe("remove"), scene, path, dice) for path in there]

    def _apply(self, recipe: Recipe, scene: _Scene, path: Path, dice: Random) -> Damage:
        try:
            damage = recipe.apply(path, dice)
        except FaultError as error:
            raise FaultError(f"{scene.node.name}: {error} ({scene.name(path)})") from error
        scene.traces.append(Trace(path, damage.sha256_after))
        return damage

    def _wanted(self) -> str:
        of = "" if self.stream is None else f" of stream {self.stream}"
        whose = "" if self.consumer is None else f" of consumer {self.consumer}"
        which = "" if self.block is None else f", block {self.block}"
        return f"{self.part}{whose}{of}{which}"

    def _hint(self) -> str:
        if self.part in ("stream-index", "stream-snapshot") and self.down_by == "kill":
            return "; such files are written by a clean stop: down_by: stop"
        if self.part in BY_RAFT_GROUP:
            return "; only a stream with several replicas has one"
        return ""

    async def _revive(self, strike: Strike, scene: _Scene) -> None:
        """Start a node that is down, and see it healthy, or see it refuse where it may."""
        node = scene.node
        if not scene.traces:
            if not node.running:  # one that would not end is still there
                await node.start()
            await require_healthy(node)
            strike.undo(node, "started again, healthy and routed to every running peer")
            return
        try:
            allowed = self.refusal == "allowed"
            why = await node.try_start(START_LIMIT_S, may_refuse=allowed)
        except ServerError as error:
            raise FaultError(str(error)) from error
        if why is None:
            strike.undo(
                node, "started again on its damaged files, healthy and routed to every running peer"
            )
            return
        refusal = "says that it is not healthy" if node.running else "refuses to start"
        if not allowed:
            raise FaultError(
                f"{node.name} {refusal}: {why}; where that is as it should be, say refusal: allowed"
            )
        strike.undo(node, f"{refusal}, as it may, and is left so: {why}")


@dataclass
class _Scene:
    """A node, its files, and what became of them.

    Attributes:
        groups: the Raft groups that are meant; None for all.
        streams: how many streams a snapshot of all streams must not be silent of; 0 for any.
        traces: the damaged files as they were left.
    """

    node: Node
    store: Path
    groups: frozenset[str] | None
    streams: int = 0
    traces: list[Trace] = field(default_factory=list)

    def name(self, path: Path) -> str:
        """Return how a file is named to people."""
        return f"{self.node.name}: {shown(self.store, path)}"


async def _groups_of(node: Node, stream: str) -> frozenset[str]:
    """Return the Raft groups of the streams with this name; FaultError where there is none."""
    said = await _ask(node, STREAMS)
    known = [
        one
        for account in said.get("account_details") or ()
        for one in account.get("stream_detail") or ()
        if one.get("name") == stream
    ]
    if not known:
        raise FaultError(f"{node.name} has no stream {stream}")
    return frozenset(str(one["stream_raft_group"]) for one in known if "stream_raft_group" in one)


async def _ask(node: Node, path: str) -> Mapping[str, Any]:
    try:
        return (await Monitor(node.endpoints.monitor).get(path, ASK_LIMIT_S)).body
    except ServerError as error:
        raise FaultError(str(error)) from error


def _dice(strike: Strike, node: Node) -> Random:
    return Random(f"{strike.seed}/{node.name}")


def _facts(strike: Strike, scene: _Scene, damage: Damage) -> dict[str, Any]:
    facts = asdict(damage) | {"file": shown(scene.store, damage.path)}
    del facts["path"]
    return {"fault": strike.fault, "node": scene.node.name, **facts}


def _tell(scene: _Scene, done: Sequence[Damage]) -> str:
    """Return what was done to the files, the first few by name."""
    told = [f"{shown(scene.store, one.path)}: {one}" for one in done[:NAMED]]
    more = [f"{len(done) - NAMED} more files"] if len(done) > NAMED else []
    return f"{'; '.join([*told, *more])}; read again as written"
