from __future__ import annotations

from typing import Any

import anyio
import pytest
from fake_links import FakeLinks
from fake_nodes import Events, FakeNode
from fake_shaper import FakeShaper
from fake_strikes import strike_on
from pydantic import ValidationError

from harness.cluster.grudge import around
from harness.cluster.links import Link
from harness.cluster.shapes import Arrival, Sample, Shape
from harness.errors import FaultError
from harness.faults import FAULTS
from harness.faults.base import Fault, Strike
from harness.faults.delay import Delay
from harness.faults.shaped import ShapedFault

pytestmark = pytest.mark.anyio

ASKED: dict[str, dict[str, Any]] = {
    "delay": {"action": "delay", "delay": "20ms"},
    "jitter": {"action": "delay", "delay": "20ms", "jitter": "10ms"},
    "reorder": {"action": "delay", "delay": "20ms", "reorder": "20%"},
    "loss": {"action": "loss", "loss": "20%"},
    "duplicate": {"action": "loss", "duplicate": "10%"},
    "both": {"action": "loss", "loss": "2%", "duplicate": "50%"},
    "bandwidth": {"action": "bandwidth", "rate": "10Mbit"},
    "narrow": {"action": "bandwidth", "rate": "64kbit"},
}
TO_SEED = Link("n2", "n1")


def make(kind: str, **fields: Any) -> Fault:
    facts = {"name": "f", **ASKED[kind], **fields}
    return FAULTS[facts["action"]].model_validate(facts)


def strike_at(*names: str) -> tuple[Strike, Events]:
    events = Events()
    nodes = tuple(FakeNode(name, []) for name in names)
    return strike_on(nodes, "some-action", events, seed=5), events


@pytest.mark.parametrize("kind", ASKED)
async def test_an_effect_is_measured_before_it_counts_and_after_it_is_gone(kind: str) -> None:
    shaper = FakeShaper()
    strike, events = strike_at("n1")
    async with make(kind).active(shaper.cluster, strike):
        assert events.kinds[:2] == ["fault.measured", "fault.hit"]
        (proof,) = events.proofs("effect")
        assert "6 links measured by" in proof
        assert proof.endswith("via wire")
        assert events.proofs("undo") == []
    assert len(events.proofs("undo")) == 1
    measured = [fact for fact in events.facts if "links" in fact]
    assert [fact["edge"] for fact in measured] == ["before", "effect", "undo"]
    for fact in measured:
        ends = {(one["from"], one["to"]) for one in fact["links"]}
        assert len(ends) == 6
        assert all("n1" in pair for pair in ends)
        assert all(one["sent"] and one["received"] for one in fact["links"])
    assert shaper.layers == []
    assert shaper.seeds == [5]


@pytest.mark.parametrize("kind", ASKED)
async def test_a_hit_strikes_no_connection_of_a_client(kind: str) -> None:
    strike, events = strike_at("n1", "n2")
    async with make(kind).active(FakeShaper().cluster, strike):
        pass
    pairs = zip(events.kinds, events.facts, strict=True)
    hits = [fact for one, fact in pairs if one == "fault.hit"]
    assert [hit["node"] for hit in hits] == ["n1", "n2"]
    assert [hit["groups"] for hit in hits] == [[], []]


@pytest.mark.parametrize("kind", ASKED)
def test_a_shape_takes_no_node_for_itself(kind: str) -> None:
    assert not make(kind).claims_nodes


@pytest.mark.parametrize("kind", ASKED)
async def test_an_effect_is_measured_again_before_it_is_taken_off(kind: str) -> None:
    shaper = FakeShaper()
    strike, events = strike_at("n1")
    async with make(kind).active(shaper.cluster, strike):
        await strike.looks[0].take()
        assert events.proofs("held")[0].startswith("n1: still so on 6 links measured by")
        shaper.truth = {TO_SEED: INEFFECTIVE[kind]}
        with pytest.raises(FaultError, match="held: n2->n1: "):
            await strike.looks[0].take()
    assert len(events.proofs("held")) == 1
    assert strike.look_s > 0


async def test_a_link_that_another_fault_has_cut_must_be_seen_at_another_moment() -> None:
    shaper = FakeShaper(network=FakeLinks(groups=("load",)))
    assert shaper.network is not None
    own, cut = frozenset({TO_SEED}), shaper.network.counts
    strike, events = strike_at("n1")
    fault = make("delay")
    cut.update(own)
    async with fault.active(shaper.cluster, strike):
        (proof,) = events.proofs("effect")
        assert "5 links measured" in proof
        with pytest.raises(FaultError, match="held: n2->n1: cut by another fault all the while"):
            await strike.looks[0].take()
        cut.clear()
        await strike.looks[0].take()
    told = [fact["cut"] for fact in events.facts if "cut" in fact]
    assert told == [["n2->n1"]] * 3 + [[], []]

    async def leave_while_it_is_cut() -> None:
        async with fault.active(shaper.cluster, strike):
            cut.update(own)

    with pytest.raises(FaultError, match="undo: n2->n1: cut by another fault, so that no end"):
        await leave_while_it_is_cut()
    assert shaper.layers == []


async def test_a_shape_of_which_nothing_can_be_seen_is_no_fault() -> None:
    shaper = FakeShaper(network=FakeLinks(groups=("load",)))
    strike, events = strike_at("n1")
    fault = make("delay")
    assert shaper.network is not None
    every = around(["n1"], shaper.nodes, shaper.groups)
    shaper.network.counts.update(every)
    with pytest.raises(FaultError, match="effect: every link of n1 is cut by another fault"):
        async with fault.active(shaper.cluster, strike):
            pytest.fail("entered")
    shaper.network.counts.clear()
    async with fault.active(shaper.cluster, strike):
        shaper.network.counts.update(every)
        with pytest.raises(FaultError, match="held: every link of n1 is cut by another fault"):
            await strike.looks[0].take()
        shaper.network.counts.clear()
    assert events.proofs("held") == []


INEFFECTIVE = {
    "delay": Shape(delay_s=0.015),
    "jitter": Shape(delay_s=0.02),
    "reorder": Shape(delay_s=0.02),
    "loss": Shape(loss=0.01),
    "duplicate": Shape(),
    "both": Shape(duplicate=0.5),
    "bandwidth": Shape(rate_bytes_s=2_500_000),
    "narrow": Shape(),
}
OVERDONE = {
    "delay": Shape(delay_s=0.1),
    "jitter": Shape(delay_s=0.1, jitter_s=0.01),
    "reorder": Shape(delay_s=0.02, reorder=0.9),
    "loss": Shape(loss=0.6),
    "duplicate": Shape(duplicate=0.1, loss=0.2),
    "both": Shape(loss=1.0),
    "bandwidth": Shape(rate_bytes_s=100_000),
    "narrow": Shape(rate_bytes_s=8000, loss=1.0),
}


@pytest.mark.parametrize("truth", [INEFFECTIVE, OVERDONE], ids=["ineffective", "overdone"])
@pytest.mark.parametrize("kind", ASKED)
async def test_an_effect_that_differs_on_one_link_is_no_proof(
    kind: str, truth: dict[str, Shape]
) -> None:
    shaper = FakeShaper(truth={TO_SEED: truth[kind]})
    strike, events = strike_at("n1")
    with pytest.raises(FaultError, match="effect: n2->n1: "):
        async with make(kind).active(shaper.cluster, strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []
    assert shaper.layers == []


@pytest.mark.parametrize("kind", ASKED)
async def test_an_effect_that_lingers_is_a_failed_undo(kind: str) -> None:
    shaper = FakeShaper(lingers=True)
    strike, events = strike_at("n1")
    with pytest.raises(FaultError, match=r"undo: .* without this fault"):
        async with make(kind).active(shaper.cluster, strike):
            pass
    assert events.proofs("undo") == []


@pytest.mark.parametrize("kind", ["delay", "bandwidth"])
async def test_a_link_that_was_bad_before_proves_nothing(kind: str) -> None:
    shaper = FakeShaper()
    shaper._left[TO_SEED] = Shape(delay_s=0.5, loss=1.0)
    strike, events = strike_at("n1")
    with pytest.raises(FaultError, match="before: n2->n1: "):
        async with make(kind).active(shaper.cluster, strike):
            pytest.fail("entered")
    assert "fault.hit" not in events.kinds


async def test_what_other_shapes_do_on_the_link_is_expected_as_well() -> None:
    shaper = FakeShaper()
    links = dict.fromkeys([TO_SEED, Link("n1", "n2")], Shape(delay_s=0.3, loss=0.1))
    strike, events = strike_at("n1")
    async with shaper.shaped(links, 1):
        for kind in ("delay", "loss", "bandwidth"):
            async with make(kind).active(shaper.cluster, strike):
                pass
    assert len(events.proofs("undo")) == 3
    narrower = shaper.shaped({TO_SEED: Shape(rate_bytes_s=600_000)}, 1)
    async with narrower, make("bandwidth").active(shaper.cluster, strike):
        pass


async def test_a_link_that_changes_all_the_time_cannot_be_measured() -> None:
    strike, _ = strike_at("n1")
    with pytest.raises(FaultError, match="changed while it was measured"):
        async with make("delay").active(FakeShaper(changes=True).cluster, strike):
            pytest.fail("entered")


@pytest.mark.parametrize("kind", ASKED)
async def test_a_shaper_that_forgets_what_was_asked_proves_nothing(kind: str) -> None:
    strike, events = strike_at("n1")
    with pytest.raises(FaultError, match="is not on load->n1"):
        async with make(kind).active(FakeShaper(forgets=True).cluster, strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []


async def test_an_aborted_hold_takes_the_shape_off() -> None:
    shaper = FakeShaper()
    strike, _ = strike_at("n1")
    with anyio.move_on_after(0.01):
        async with make("delay").active(shaper.cluster, strike):
            await anyio.sleep_forever()
    assert shaper.layers == []


async def test_a_kernel_that_refuses_is_no_effect() -> None:
    strike, events = strike_at("n1")
    with pytest.raises(FaultError, match="the kernel refuses"):
        async with make("loss").active(FakeShaper(refuses=True).cluster, strike):
            pytest.fail("entered")
    assert events.proofs("effect") == []


async def test_without_a_shaper_or_a_link_there_is_nothing_to_strike() -> None:
    strike, events = strike_at("n1")
    for shaper, why in (
        (None, "cannot shape links"),
        (FakeShaper(nodes=("n1",), groups=()), "n1 has no link between all"),
    ):
        cluster: Any = FakeShaper().cluster if shaper is None else shaper.cluster
        cluster.shaper = shaper
        with pytest.raises(FaultError, match=why):
            async with make("loss").active(cluster, strike):
                pytest.fail("entered")
    assert events.kinds == []


async def test_only_the_links_that_were_asked_for_are_shaped_and_measured() -> None:
    shaper = FakeShaper()
    strike, _ = strike_at("n1")
    async with make("delay", between="clients", direction="from").active(shaper.cluster, strike):
        (layer,) = shaper.layers
        assert set(layer) == {Link("n1", "load")}
    assert {links for links, _ in shaper.asked} == {frozenset({Link("n1", "load")})}


async def test_links_are_measured_in_batches_that_one_process_can_send() -> None:
    shaper = FakeShaper(nodes=tuple(f"n{number}" for number in range(1, 12)))
    strike, _ = strike_at("n1")
    async with make("bandwidth", rate="100Mbit").active(shaper.cluster, strike):
        pass
    for links, trial in shaper.asked:
        assert len(links) / trial.gap_s < 31_000
    assert sum(len(links) for links, _ in shaper.asked) == 3 * 22


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("delay", {"delay": "0.5ms"}, "expected 1ms to 5s"),
        ("delay", {"delay": "6s"}, "expected 1ms to 5s"),
        ("delay", {"jitter": "21ms"}, "before it was sent"),
        ("delay", {"reorder": "4%"}, "at least 5%"),
        ("delay", {"reorder": "60%"}, "less than or equal to 0.5"),
        ("delay", {"delay": "2ms", "reorder": "10%"}, "nothing is there to overtake"),
        ("loss", {"loss": "0%"}, "expected loss, duplicate or both"),
        ("loss", {"loss": "1%"}, "at least 2%"),
        ("loss", {"duplicate": "1%"}, "at least 2%"),
        ("loss", {"loss": "95%"}, "less than or equal to 0.9"),
        ("bandwidth", {"rate": "10kbit"}, "expected 64kbit to 100Mbit"),
        ("bandwidth", {"rate": "1Gbit"}, "expected 64kbit to 100Mbit"),
        ("bandwidth", {"rate": "10MB"}, "such as 512kbit or 10Mbit"),
        ("bandwidth", {"direction": "sideways"}, "'both', 'to' or 'from'"),
        ("bandwidth", {"between": "friends"}, "'gateways', 'leafnodes' or 'all'"),
    ],
)
def test_what_could_not_be_proven_is_refused(kind: str, fields: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        make(kind, **fields)


@pytest.mark.parametrize("rate", ["64kbit", "100kbit", "199kbit", "200kbit", "999kbit", "1Mbit"])
def test_a_look_at_a_narrow_link_takes_two_seconds_at_most(rate: str) -> None:
    fault = make("bandwidth", rate=rate)
    assert isinstance(fault, ShapedFault)
    trial, through = fault.trial(fault.shape), fault.shape.rate_bytes_s
    assert through is not None
    assert trial.count * (trial.payload_bytes + 42) / through <= 2.0


def test_probes_of_a_narrow_link_are_waited_for_behind_a_full_queue() -> None:
    fault = make("narrow")
    assert isinstance(fault, ShapedFault)
    trial, through = fault.trial(fault.shape), fault.shape.rate_bytes_s
    assert through is not None
    assert trial.wait_s > fault.shape.queue_bytes / through
    assert trial.takes_s < 3.0  # so that the last look is not long before the heal


def test_a_machine_that_is_late_by_itself_is_no_delay() -> None:
    fault = make("delay")
    assert isinstance(fault, Delay)
    late = [Arrival(number, 0, 25_000_000) for number in range(30)]
    expected = Shape(delay_s=0.02)
    assert fault.problem(expected, Sample(30, 74, tuple(late))) is None
    late[3] = Arrival(3, 0, 1_000_000)
    said = fault.problem(expected, Sample(30, 74, tuple(late)))
    assert said == "one probe took 1 ms only"


def test_a_busy_machine_is_no_narrow_link() -> None:
    fault = make("bandwidth")
    assert isinstance(fault, ShapedFault)
    trial, shape = fault.trial(fault.shape), fault.shape
    gap_ns, stall_ns = int(trial.gap_s * 1e9), int(trial.gap_s * trial.count * 0.5e9)
    sent_ns = [number * gap_ns for number in range(trial.count)]
    last = int(trial.count * 0.95)  # what comes later waits until the machine has time again
    arrivals = [
        Arrival(number, at, at + 100_000 + (stall_ns if number > last else 0))
        for number, at in enumerate(sent_ns)
    ]
    seen = Sample(trial.count, trial.payload_bytes + 42, tuple(arrivals))
    assert seen.rate_bytes_s() < 1.1 * (shape.rate_bytes_s or 0)
    assert "expected a queue" in (fault.problem(shape, seen) or "")


def test_a_busy_machine_is_no_slow_link() -> None:
    fault = make("delay")
    assert isinstance(fault, ShapedFault)
    late_ns = [25_000_000 if number % 3 else 100_000 for number in range(30)]
    arrivals = [Arrival(number, 0, late) for number, late in enumerate(late_ns)]
    seen = Sample(30, 74, tuple(arrivals))
    assert fault.problem(fault.shape, seen) == "one probe took 100 us only"
    on_time = Sample(30, 74, tuple(Arrival(one.number, 0, 20_100_000) for one in arrivals))
    assert fault.problem(fault.shape, on_time) is None
