"""Users and watchers of buckets against a real nats-server: every operation is written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from harness.checks.base import Case, Verdict
from harness.checks.kv import judge_kv
from harness.checks.linearizability.recorded import FINAL
from harness.checks.objects import judge_objects
from harness.clock import now_ns, to_ns
from harness.errors import WorkerError
from harness.history.columns import Columns, read_columns
from harness.history.model import History
from harness.history.tables import Answer, Operation, Outcome
from harness.load.fleet import Fleet, fleet
from harness.load.stores import StorePlan
from harness.scenario.model import Phases
from harness.workloads.base import Workload
from harness.workloads.kv import Kv
from harness.workloads.object import Object

pytestmark = pytest.mark.anyio
LIMIT_S = 15.0


@pytest.fixture
def keeper(serve: Callable, tmp_path: Path):
    return serve("n1", "--jetstream", "--store_dir", str(tmp_path / "js"))


async def end(crew: Fleet, length_s: float = 1.0) -> bool:
    stop_ns = now_ns() + to_ns(length_s)
    await anyio.sleep(length_s - 0.05)
    await crew.stop(stop_ns, LIMIT_S)
    complete = await crew.drain(LIMIT_S)
    await crew.finish(LIMIT_S)
    return complete


def lay_out(workload: Workload, url: str):
    return workload.clients(0, lambda _, __: (url,), Phases())


def history(office, workload: Workload, columns: dict[str, Columns]) -> Case:
    clients = lay_out(workload, "")
    planned = [{"worker": one.worker, **one.describe()} for one in clients]
    events = [{"kind": "load.planned", "at_ns": 1, "iteration": 0, "run": 1, "clients": planned}]
    events += [
        {"kind": kind, "at_ns": facts["at_ns"], "iteration": 0, **facts}
        for kind, facts in office.events
    ]
    scenario = {"workloads": [workload.model_dump(mode="json")]}
    told = History.of(scenario, events, {0: columns})
    return Case(told.iterations[0], scenario)


async def test_a_bucket_on_one_server_is_linearizable(office, keeper, at_work) -> None:
    workload = Kv(name="cfg", users=3, watchers=2, rate="300/s", keys=5)
    async with at_work(office, office.plans(*lay_out(workload, keeper.url))) as crew:
        assert await end(crew)
    users = read_columns(office.columns("cfg-users"))
    watchers = read_columns(office.columns("cfg-watchers"))
    rows = users.tables["operations"]
    assert users.complete
    assert len(rows["client"]) == len(users.sent["client"]) + 5
    assert (rows["sequence"] == FINAL).sum() == 5
    done = Counter(zip(rows["operation"].tolist(), rows["answer"].tolist(), strict=True))
    for operation in (Operation.PUT, Operation.GET, Operation.UPDATE, Operation.DELETE):
        assert done[operation, Answer.DONE] > 0
    assert set(users.sent["outcome"].tolist()) == {Outcome.ACKED}
    assert len(watchers.tables["operations"]["client"]) > 100
    case = history(office, workload, {"cfg-users": users, "cfg-watchers": watchers})
    result = judge_kv(case)
    assert [one.verdict for one in result.findings] == ["pass"]
    assert result.notes == ()
    assert result.tallies["kv_lost"].select({}).of > 100
    assert not result.tallies["kv_lost"].select({}).at_least
    for tally in result.tallies.values():
        assert tally.select({}).count == 0


async def test_updates_of_users_who_know_of_nothing_conflict(office, keeper, at_work) -> None:
    # Users in two workers do not know what the others see.
    one = Kv(name="one", bucket="same", users=1, rate="200/s", keys=1, mix={"update": 1})
    other = Kv(name="other", bucket="same", users=1, rate="200/s", keys=1, mix={"update": 1})
    clients = [*lay_out(one, keeper.url), *other.clients(1, lambda _, __: (keeper.url,), Phases())]
    async with at_work(office, office.plans(*clients)) as crew:
        assert await end(crew)
    answers: Counter[int] = Counter()
    for worker in ("one-users", "other-users"):
        rows = read_columns(office.columns(worker)).tables["operations"]
        answers.update(rows["answer"][rows["sequence"] != FINAL].tolist())
        # A conflict answers the operation, so the load has succeeded.
        assert set(read_columns(office.columns(worker)).sent["outcome"].tolist()) == {Outcome.ACKED}
    assert answers[Answer.CONFLICT] > 10
    assert answers[Answer.DONE] > 0


async def test_objects_come_back_with_their_digests(office, keeper, at_work) -> None:
    workload = Object(name="blobs", users=2, rate="20/s", payload="300KiB")
    async with at_work(office, office.plans(*lay_out(workload, keeper.url))) as crew:
        assert await end(crew)
    users = read_columns(office.columns("blobs-users"))
    result = judge_objects(history(office, workload, {"blobs-users": users}))
    assert [one.verdict for one in result.findings] == ["pass"]
    lost, corrupted = (
        result.tallies[f"object_{what}"].select({}) for what in ("lost", "corrupted")
    )
    assert (lost.count, corrupted.count) == (0, 0)
    assert lost.of >= 5
    assert corrupted.of == lost.of
    assert result.tallies["object_misread"].select({}).of > lost.of
    assert not lost.at_least


async def test_chunks_that_are_gone_are_a_lost_object(office, keeper, at_work) -> None:
    from nats.aio.client import Client as Nats

    workload = Object(name="blobs", users=1, rate="20/s", payload="300KiB", timeout="1s")
    async with at_work(office, office.plans(*lay_out(workload, keeper.url))) as crew:
        stop_ns = now_ns() + to_ns(0.5)
        await crew.stop(stop_ns, LIMIT_S)
        nats = Nats()
        await nats.connect(keeper.url)
        jetstream = nats.jetstream()
        store = await jetstream.object_store("blobs")
        info = await store.get_info("object-0-0")
        await jetstream.purge_stream("OBJ_blobs", subject=f"$O.blobs.C.{info.nuid}")
        await nats.close()
        assert await crew.drain(LIMIT_S)
        await crew.finish(LIMIT_S)
    users = read_columns(office.columns("blobs-users"))
    result = judge_objects(history(office, workload, {"blobs-users": users}))
    assert [one.verdict for one in result.findings] == ["fail"]
    assert result.tallies["object_lost"].select({}).count == 1


async def test_a_chunk_that_is_gone_is_a_lost_object_and_none_that_is_damaged(
    office, keeper, at_work
) -> None:
    from nats.aio.client import Client as Nats

    workload = Object(name="blobs", users=1, rate="20/s", payload="300KiB", timeout="2s")
    async with at_work(office, office.plans(*lay_out(workload, keeper.url))) as crew:
        stop_ns = now_ns() + to_ns(0.5)
        await crew.stop(stop_ns, LIMIT_S)
        nats = Nats()
        await nats.connect(keeper.url)
        jetstream = nats.jetstream()
        store = await jetstream.object_store("blobs")
        info = await store.get_info("object-0-0")
        last = await jetstream.get_last_msg("OBJ_blobs", f"$O.blobs.C.{info.nuid}")
        assert last.seq is not None
        assert await jetstream.delete_msg("OBJ_blobs", last.seq)
        await nats.close()
        assert await crew.drain(LIMIT_S)
        await crew.finish(LIMIT_S)
    users = read_columns(office.columns("blobs-users"))
    result = judge_objects(history(office, workload, {"blobs-users": users}))
    assert [one.verdict for one in result.findings] == ["fail"]
    lost, corrupted = (
        result.tallies[f"object_{what}"].select({}) for what in ("lost", "corrupted")
    )
    assert (lost.count, corrupted.count) == (1, 0)


async def test_the_last_look_waits_for_a_bucket_of_which_the_server_has_not_heard(
    office, keeper, at_work
) -> None:
    from nats.aio.client import Client as Nats

    workload = Kv(name="cfg", users=1, rate="100/s", keys=2, mix={"put": 1})
    async with at_work(office, office.plans(*lay_out(workload, keeper.url))) as crew:
        stop_ns = now_ns() + to_ns(0.5)
        await crew.stop(stop_ns, LIMIT_S)
        nats = Nats()
        await nats.connect(keeper.url)
        await nats.jetstream().delete_stream("KV_cfg")
        await nats.close()
        assert not await crew.drain(1.5)
        await crew.finish(LIMIT_S)
    users = read_columns(office.columns("cfg-users"))
    rows = users.tables["operations"]
    assert not (rows["answer"] == Answer.ABSENT).any()
    result = judge_kv(history(office, workload, {"cfg-users": users}))
    assert result.findings[0].verdict is Verdict.INCONCLUSIVE
    assert "the last state of 2 key(s) could not be read" in result.findings[0].detail
    assert result.tallies["kv_lost"].select({}).at_least


async def test_a_server_that_loses_what_it_acknowledged_is_found_out(
    office, serve, at_work, tmp_path
) -> None:
    store = ["--jetstream", "--store_dir", str(tmp_path / "js")]
    keeper = serve("n1", *store)
    workload = Kv(name="cfg", users=2, rate="200/s", keys=3, storage="memory", mix={"put": 1})
    async with at_work(office, office.plans(*lay_out(workload, keeper.url))) as crew:
        stop_ns = now_ns() + to_ns(0.5)
        await crew.stop(stop_ns, LIMIT_S)
        await _forget_last(keeper.url, "KV_cfg", "$KV.cfg.key-1")
        assert await crew.drain(LIMIT_S)
        await crew.finish(LIMIT_S)
    users = read_columns(office.columns("cfg-users"))
    result = judge_kv(history(office, workload, {"cfg-users": users}))
    assert [one.verdict for one in result.findings] == ["fail"]
    assert result.tallies["kv_lost"].select({}).count >= 1
    assert "get (at the end) -> never written" in result.findings[0].detail


async def _forget_last(url: str, stream: str, subject: str) -> None:
    """Purge a key, which is what a store that forgot its writes looks like."""
    from nats.aio.client import Client as Nats

    nats = Nats()
    await nats.connect(url)
    await nats.jetstream().purge_stream(stream, subject=subject)
    await nats.close()


async def test_a_bucket_that_is_in_use_is_refused(office, keeper) -> None:
    from nats.aio.client import Client as Nats

    nats = Nats()
    await nats.connect(keeper.url)
    bucket = await nats.jetstream().create_key_value(bucket="cfg")
    await bucket.put("other", b"thing")
    await nats.close()
    clients = lay_out(Kv(name="cfg", users=1), keeper.url)
    async with fleet(
        office.plans(*clients), office.spawn, on_event=office.on_event, logs=office.folder
    ) as crew:
        await crew.ready(LIMIT_S)
        with pytest.raises(WorkerError, match=r"bucket cfg (holds 1 message|cannot be made)"):
            await crew.connect(LIMIT_S)


async def test_without_jetstream_a_bucket_cannot_be_made(server, monkeypatch) -> None:
    from harness.load.adapters import nats_py_stores
    from harness.load.adapters.base import ClientFailure
    from harness.load.adapters.nats_py import ADAPTER

    monkeypatch.setattr(nats_py_stores, "MAKE_LIMIT_S", 0.5)
    client = ADAPTER.client("c", [server.url], {}, None, lambda *_, **__: None)
    await client.connect()
    try:
        bucket = client.key_value(StorePlan(kind="kv", bucket="cfg", keys=1), 0.2)
        with pytest.raises(ClientFailure, match=r"cfg could not be made within 0\.5 s: nats"):
            await bucket.make()
    finally:
        await client.close(1.0)
