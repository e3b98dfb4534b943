"""Shapes by netem, on a kernel that is told: what is chosen, how it is asked for, how it goes."""

from __future__ import annotations

import errno
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_kernel import FakeKernel, FakeNetlink, kernel_in_place
from fake_nodes import FakeNode
from fake_shaper import FakeShaper
from fake_strikes import injection_on

from harness.backends.lab.shaper import LabShaper, find_means
from harness.checks.base import Case, Verdict
from harness.checks.proof import judge_proof
from harness.clock import now_ns
from harness.cluster.links import Link
from harness.cluster.shapes import Sample, Shape, Trial
from harness.errors import FaultError
from harness.faults import FAULTS
from harness.history.assemble import assemble
from harness.scenario.sites import NOWHERE

pytestmark = pytest.mark.anyio

INTO_N2, ALSO_INTO_N2 = Link("n1", "n2"), Link("load", "n2")
SLOW = Shape(delay_s=0.005, jitter_s=0.001, loss=0.2, duplicate=0.1, reorder=0.25)
RATE = Shape(rate_bytes_s=1e6)
BOTH = Shape(delay_s=0.005, rate_bytes_s=1e6)
OURS = {"htb", "netem", "u32"}


def make(network: Any, kind: type[LabShaper] = LabShaper) -> LabShaper:
    return kind(network, ("n1", "n2"), Path("unused.log"))


@pytest.mark.parametrize(
    ("lacks", "netem", "tbf"),
    [
        ({}, True, True),
        ({"netem": errno.ENOENT}, False, True),
        ({"netem": errno.EOPNOTSUPP, "tbf": errno.ENOENT}, False, False),
    ],
)
async def test_what_the_kernel_has_is_found_by_trying_and_nothing_stays(
    lacks: dict[str, int], netem: bool, tbf: bool
) -> None:
    kernel = FakeKernel(lacks=lacks)
    netlink: Any = FakeNetlink(kernel)
    with kernel_in_place(kernel):
        means = await find_means(netlink)
    assert (means.netem, means.tbf) == (netem, tbf)
    assert kernel.there == {}


async def test_a_kernel_that_forbids_to_try_is_an_error_not_a_kernel_without() -> None:
    kernel = FakeKernel(lacks={"netem": errno.EPERM})
    netlink: Any = FakeNetlink(kernel)
    with kernel_in_place(kernel), pytest.raises(FaultError, match="traffic control does not work"):
        await find_means(netlink)


@pytest.mark.parametrize(("shape", "via"), [(SLOW, "netem"), (BOTH, "netem"), (RATE, "tbf")])
async def test_netem_does_all_but_a_rate_alone_and_is_taken_off(shape: Shape, via: str) -> None:
    kernel = FakeKernel()
    with kernel_in_place(kernel) as network:
        shaper = make(network)
        async with shaper.shaped({INTO_N2: shape}, 1) as chosen:
            assert chosen == {INTO_N2: via}
            assert kernel.kinds() == sorted(["htb", "htb", via, "u32"])
            assert {key[1] for key in kernel.there} == {12}
        assert kernel.there == {}
        assert shaper._wire is None


async def test_netem_is_asked_for_exactly_what_the_shape_says() -> None:
    kernel = FakeKernel()
    with kernel_in_place(kernel) as network:
        async with make(network).shaped({INTO_N2: SLOW}, 1):
            asked = kernel.options("netem")
            assert (asked["delay"], asked["jitter"]) == (5000, 1000)
            assert (asked["loss"], asked["duplicate"], asked["prob_reorder"]) == (20, 10, 25)
            assert "rate" not in asked
            assert asked["limit"] >= 100_000
            (key,) = kernel.options("u32")["keys"]
            assert key.startswith("0xc6120001/0xffffffff+12")
        async with make(network).shaped({INTO_N2: BOTH}, 1):
            assert kernel.options("netem")["rate"] == 1_000_000


async def test_shapes_on_one_link_are_one_netem_and_each_is_taken_off_alone() -> None:
    kernel = FakeKernel()
    with kernel_in_place(kernel) as network:
        shaper = make(network)
        first, second = (shaper.shaped({INTO_N2: Shape(delay_s=s)}, 1) for s in (0.03, 0.04))
        await first.__aenter__()
        await second.__aenter__()
        assert kernel.options("netem")["delay"] == 70_000
        await first.__aexit__(None, None, None)
        assert kernel.options("netem")["delay"] == 40_000
        await second.__aexit__(None, None, None)
        assert kernel.there == {}


async def test_two_links_into_one_place_share_the_port_and_part_again() -> None:
    kernel = FakeKernel()
    with kernel_in_place(kernel) as network:
        shaper = make(network)
        async with shaper.shaped({INTO_N2: Shape(delay_s=0.03)}, 1):
            async with shaper.shaped({ALSO_INTO_N2: Shape(delay_s=0.04)}, 2):
                assert kernel.kinds().count("u32") == 2
            assert kernel.kinds().count("u32") == 1
        assert kernel.there == {}


@pytest.mark.parametrize("refused", ["add htb", "add-class htb", "add netem", "add-filter u32"])
async def test_a_kernel_that_refuses_halfway_is_no_fault_and_nothing_stays(refused: str) -> None:
    kernel = FakeKernel()
    with kernel_in_place(kernel) as network:
        shaper = make(network)
        async with shaper.shaped({ALSO_INTO_N2: RATE}, 1):
            pass  # what there is to be found out is known from now on
        kernel.refuses = refused

        async def shape() -> None:
            async with shaper.shaped({INTO_N2: SLOW}, 1):
                pytest.fail("entered")

        with pytest.raises(FaultError, match="the kernel refuses to shape a link"):
            await shape()
    assert kernel.there == {}


async def test_an_aborted_hold_takes_netem_off() -> None:
    kernel = FakeKernel()
    with kernel_in_place(kernel) as network, anyio.move_on_after(0.02):
        async with make(network).shaped({INTO_N2: SLOW}, 1):
            await anyio.sleep_forever()
    assert kernel.there == {}


class Idle(LabShaper):
    """A shaper whose kernel takes every order and does nothing to any packet."""

    async def probe(self, links: Collection[Link], trial: Trial) -> Mapping[Link, Sample]:
        return await FakeShaper().probe(links, trial)


class Recorder:
    def __init__(self, shaper: LabShaper) -> None:
        self.shaper, self.links = shaper, None
        self.nodes = {name: FakeNode(name, []) for name in shaper.nodes}
        self.sites = NOWHERE
        self.events: list[dict[str, Any]] = []

    def record(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        at_ns = now_ns() if at_ns is None else at_ns
        self.events.append({"kind": kind, "iteration": 0, "at_ns": at_ns, **facts})


@pytest.mark.parametrize(
    "step",
    [
        {"action": "delay", "delay": "20ms"},
        {"action": "delay", "delay": "20ms", "jitter": "10ms"},
        {"action": "loss", "loss": "20%"},
        {"action": "loss", "duplicate": "20%"},
    ],
    ids=["delay", "jitter", "loss", "duplicate"],
)
async def test_a_netem_that_does_nothing_is_found_by_the_measurement(step: dict[str, str]) -> None:
    kernel = FakeKernel()
    fault = FAULTS[step["action"]].model_validate(
        {"name": "far", "target": "n2", "between": "servers", "duration": "1ms", **step}
    )
    with kernel_in_place(kernel) as network:
        cluster = Recorder(make(network, Idle))
        await injection_on(cluster, fault).run()
    measured = [one for one in cluster.events if one["kind"] == "fault.measured"]
    assert {
        link["via"] for one in measured if one["edge"] == "effect" for link in one["links"]
    } == {"netem"}
    scenario = {"faults": [{"name": "far"}]}
    (finding,) = judge_proof(Case(assemble(0, cluster.events, {}), scenario)).findings
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "injecting failed: effect: " in finding.detail
    assert kernel.there == {}
