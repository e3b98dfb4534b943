"""Shapes on links of a real lab. Each case is one coroutine; this file runs itself inside."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pyroute2 import AsyncIPRoute

from harness.backends.lab import shaping
from harness.backends.lab.enter import run_in_lab
from harness.backends.lab.links import lab_links
from harness.backends.lab.network import lab_network
from harness.backends.lab.shaper import LabShaper, Means, lab_shaper
from harness.backends.lab.traffic_control import TrafficControl, _netem
from harness.cluster.links import Link
from harness.cluster.protocols import Capability
from harness.cluster.shapes import Sample, Shape, Trial, combine
from harness.errors import FaultError

THERE, BACK, ASIDE = Link("n1", "n2"), Link("n2", "n1"), Link("load", "n2")
LINKS = (THERE, BACK, ASIDE)
PING = Trial(20, 0.005)
MANY = Trial(1000, 0.0005)
BURST = Trial(200, 0.001, 1400, 0.4)
UNTOUCHED_S = 0.015
LINKS_LIMIT_S = 20.0
LOOKS = 5


async def look(
    shaper: LabShaper, trial: Trial = PING, *, plain: tuple[Link, ...] = ()
) -> dict[Link, Sample]:
    """Make a trial, again while a machine that is busy with others shows on the plain links.

    What a shape does to a link that it is not on, it does in each of the trials.
    """
    for _ in range(LOOKS):
        seen = dict(await shaper.probe(LINKS, trial))
        problems = [found for link in plain for found in unlike_plain(link, seen[link])]
        if not problems:
            return seen
    raise AssertionError(problems)


def unlike_plain(link: Link, sample: Sample) -> list[str]:
    facts = {"delay": sample.delay(), "lost": sample.lost, "doubled": sample.duplicated}
    late = not facts["delay"] < UNTOUCHED_S
    wrong = late or sample.lost or sample.duplicated or sample.overtaking
    return [f"{link}: {facts}, {sample.overtaking} overtaking"] if wrong else []


async def require_plain(shaper: LabShaper) -> None:
    await look(shaper, plain=LINKS)


async def links_pass(shaper: LabShaper) -> None:
    """Return once every link lets packets through at once.

    Those just made may lose their first, or hold it until an address is known.
    """
    with anyio.move_on_after(LINKS_LIMIT_S):
        while True:
            seen = (await look(shaper, Trial(3, 0.001))).values()
            if all(one.lost == 0 and one.delay(1.0) < UNTOUCHED_S for one in seen):
                return
    raise AssertionError("the links of a new lab do not come to rest")


async def a_delay_is_on_one_link_alone(shaper: LabShaper) -> None:
    await require_plain(shaper)
    async with shaper.shaped({THERE: Shape(delay_s=0.05)}, 1):
        assert shaper.effective(THERE) == Shape(delay_s=0.05)
        seen = await look(shaper, plain=(BACK, ASIDE))
        assert 0.0498 < seen[THERE].delay() < 0.075
        assert seen[THERE].lost == 0
    assert shaper.effective(THERE).plain
    await require_plain(shaper)


async def losses_and_duplicates_are_on_one_link_alone(shaper: LabShaper) -> None:
    async with shaper.shaped({ASIDE: Shape(loss=0.2, duplicate=0.2)}, 1):
        seen = await look(shaper, MANY, plain=(THERE, BACK))
        assert 0.1 < seen[ASIDE].lost < 0.3
        assert 0.1 < seen[ASIDE].duplicated < 0.3
    await require_plain(shaper)


async def a_rate_is_on_one_link_alone(shaper: LabShaper) -> None:
    for extra in (Shape(), Shape(delay_s=0.01)):
        async with (
            shaper.shaped({THERE: Shape(rate_bytes_s=500_000.0)}, 1),
            shaper.shaped({THERE: extra}, 1),
        ):
            seen = await look(shaper, BURST, plain=(BACK, ASIDE))
            assert 425_000 < seen[THERE].rate_bytes_s(6400) < 575_000
            assert seen[BACK].rate_bytes_s() > 900_000
            assert seen[ASIDE].rate_bytes_s() > 900_000
    await require_plain(shaper)


async def shapes_overlap_and_each_is_taken_off_alone(shaper: LabShaper) -> None:
    async with shaper.shaped({THERE: Shape(delay_s=0.03), BACK: Shape(delay_s=0.03)}, 1):
        async with shaper.shaped({THERE: Shape(delay_s=0.04)}, 2):
            seen = await look(shaper)
            assert 0.0698 < seen[THERE].delay() < 0.095
            assert 0.0298 < seen[BACK].delay() < 0.055
        seen = await look(shaper)
        assert 0.0298 < seen[THERE].delay() < 0.055
    await require_plain(shaper)


async def either_of_two_shapes_can_go_first(shaper: LabShaper) -> None:
    slow, slower = {THERE: Shape(delay_s=0.03)}, {THERE: Shape(delay_s=0.06, loss=0.2)}
    narrow = {THERE: Shape(rate_bytes_s=500_000.0)}
    for first, second in ((slow, slower), (slower, slow), (narrow, slow), (slow, narrow)):
        early, late = shaper.shaped(first, 1), shaper.shaped(second, 2)
        await early.__aenter__()
        await late.__aenter__()
        assert shaper.effective(THERE) == combine((first[THERE], second[THERE]))
        await early.__aexit__(None, None, None)
        assert shaper.effective(THERE) == second[THERE]
        await settled(shaper)
        seen = await look(shaper, BURST, plain=(BACK, ASIDE))
        assert seen[THERE].delay() > second[THERE].delay_s - 0.0002
        if second is narrow:
            assert seen[THERE].rate_bytes_s(6400) < 575_000
        await late.__aexit__(None, None, None)
        await settled(shaper)
    await require_plain(shaper)


async def a_cut_and_a_shape_hold_on_one_link_and_end_in_any_order(shaper: LabShaper) -> None:
    with lab_links(shaper._network) as links:

        async def passing() -> set[Link]:
            found = await links.probe(LINKS, 3, 0.2)
            return {link for link, one in found.items() if one.received}

        for shape in (Shape(delay_s=0.03), Shape(rate_bytes_s=500_000.0)):
            for cut_first, heal_first in itertools.product((True, False), repeat=2):
                shaped = shaper.shaped({THERE: shape}, 1)
                if cut_first:
                    links.cut([THERE])
                await shaped.__aenter__()
                if not cut_first:
                    links.cut([THERE])
                await settled(shaper)
                assert await passing() == {BACK, ASIDE}
                assert (await look(shaper))[THERE].lost == 1
                if heal_first:
                    links.heal([THERE])
                    assert await passing() == set(LINKS)
                    assert (await look(shaper))[THERE].delay() > shape.delay_s - 0.0002
                    await shaped.__aexit__(None, None, None)
                else:
                    await shaped.__aexit__(None, None, None)
                    assert await passing() == {BACK, ASIDE}
                    links.heal([THERE])
                assert await passing() == set(LINKS)
                assert await queues() == 0
    await require_plain(shaper)


async def settled(shaper: LabShaper) -> None:
    """Return once what was on its way over the links has come, however slow it was."""
    await shaper.probe([BACK], Trial(2, 0.1))


async def two_links_into_one_place_are_freed_one_by_one(shaper: LabShaper) -> None:
    for shape in (Shape(rate_bytes_s=500_000.0), Shape(delay_s=0.03)):
        for first, second in ((THERE, ASIDE), (ASIDE, THERE)) * 3:
            async with shaper.shaped({first: shape}, 1):
                async with shaper.shaped({second: shape}, 2):
                    assert await queues() > 0
                await anyio.lowlevel.checkpoint()
            assert await queues() == 0
        async with shaper.shaped({THERE: shape}, 1):
            async with shaper.shaped({ASIDE: shape}, 2):
                pass
            seen = await look(shaper, BURST, plain=(BACK, ASIDE))
            shaped = seen[THERE].delay() > 0.0298
            assert shaped or seen[THERE].rate_bytes_s(6400) < 575_000
    await require_plain(shaper)


async def reordered_packets_overtake_on_one_link_alone(shaper: LabShaper) -> None:
    async with shaper.shaped({THERE: Shape(delay_s=0.03, reorder=0.3)}, 1):
        seen = await look(shaper, Trial(200, 0.002), plain=(BACK, ASIDE))
        assert seen[THERE].overtaking > 20


async def a_cancelled_body_leaves_nothing_in_the_kernel(shaper: LabShaper) -> None:
    shapes = {
        THERE: Shape(delay_s=0.01),
        BACK: Shape(rate_bytes_s=1e6),
        ASIDE: Shape(rate_bytes_s=1e6),
    }
    with anyio.move_on_after(0.3):
        async with shaper.shaped(shapes, 1):
            assert await queues() > 0
            await anyio.sleep_forever()
    assert await queues() == 0
    await require_plain(shaper)


async def queues() -> int:
    """Return how many queueing disciplines and filters are on ports of the bridge."""
    async with AsyncIPRoute() as netlink:
        found = [one async for one in await netlink.get_qdiscs()]
        kinds = [one.get_attr("TCA_KIND") for one in found]
    return sum(kind in ("clsact", "htb", "tbf", "netem") for kind in kinds)


async def a_wire_that_dies_is_a_fault_that_failed(shaper: LabShaper) -> None:
    if shaper._means is not None and shaper._means.netem:
        return  # no wire is needed on this kernel

    async def hold() -> None:
        async with shaper.shaped({THERE: Shape(delay_s=0.01)}, 1):
            assert shaper._wire is not None
            os.kill(shaper._wire._process.pid, signal.SIGKILL)
            await shaper._wire._process.wait()
            assert (await look(shaper))[THERE].lost == 1

    with pytest.raises(FaultError, match="the wire ended"):
        await hold()


async def a_wire_that_stood_still_says_from_when_to_when(shaper: LabShaper) -> None:
    if shaper._means is not None and shaper._means.netem:
        return  # no wire is needed on this kernel
    told: list[dict[str, Any]] = []
    shaper._record = lambda kind, **facts: told.append({"kind": kind, **facts})
    async with shaper.shaped({THERE: Shape(delay_s=0.01)}, 1):
        assert shaper._wire is not None
        os.kill(shaper._wire._process.pid, signal.SIGSTOP)
        await anyio.sleep(0.4)
        os.kill(shaper._wire._process.pid, signal.SIGCONT)
    longest = max(told, key=lambda one: float(one["max_lag_s"]))
    assert longest["kind"] == "wire.lagged"
    assert longest["max_lag_s"] > 0.3
    assert longest["from_ns"] < longest["at_ns"] <= time.monotonic_ns()


async def an_overloaded_wire_is_a_fault_that_failed(shaper: LabShaper) -> None:
    with pytest.raises(FaultError, match="could not keep up: 50 packets"):
        await shaper._require_room({"overflowed": 50, "carried": 1000})
    await shaper._require_room({"overflowed": 1, "carried": 1000})


async def a_refusing_kernel_is_a_fault_that_failed(shaper: LabShaper) -> None:
    async with AsyncIPRoute() as netlink:
        control = TrafficControl(netlink)
        with pytest.raises(FaultError, match="there is no port nowhere"):
            await control.restore("nowhere", "198.18.0.1")
        with pytest.raises(FaultError, match="the kernel refuses"):
            await control.unqueue("v-n1", "198.18.0.1")


async def hold_until_killed(shaper: LabShaper) -> None:
    shapes = {THERE: Shape(delay_s=0.01), BACK: Shape(rate_bytes_s=1e6)}
    async with shaper.shaped(shapes, 1):
        assert (await look(shaper))[THERE].lost == 0
        sys.stdout.write("shaped\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


CASES: dict[str, Callable[[LabShaper], Awaitable[None]]] = {
    case.__name__: case
    for case in (
        a_delay_is_on_one_link_alone,
        losses_and_duplicates_are_on_one_link_alone,
        a_rate_is_on_one_link_alone,
        shapes_overlap_and_each_is_taken_off_alone,
        either_of_two_shapes_can_go_first,
        a_cut_and_a_shape_hold_on_one_link_and_end_in_any_order,
        two_links_into_one_place_are_freed_one_by_one,
        reordered_packets_overtake_on_one_link_alone,
        a_cancelled_body_leaves_nothing_in_the_kernel,
        a_wire_that_dies_is_a_fault_that_failed,
        a_wire_that_stood_still_says_from_when_to_when,
        an_overloaded_wire_is_a_fault_that_failed,
        a_refusing_kernel_is_a_fault_that_failed,
    )
}


def command(case: str, folder: Path) -> list[str]:
    return [sys.executable, "-W", "error", __file__, case, str(folder)]


@pytest.mark.lab
@pytest.mark.parametrize("case", CASES)
def test_in_the_lab(case: str, tmp_path: Path) -> None:
    argv = command(case, tmp_path)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.lab
def test_sigkill_leaves_no_wire(tmp_path: Path) -> None:
    def left() -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if entry.name.isdigit() and f"SHAPER_MARK={tmp_path}".encode() in environment:
                found.append(entry.name)
        return found

    environment = {**os.environ, "SHAPER_MARK": str(tmp_path)}
    argv = command("hold_until_killed", tmp_path)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"shaped\n"
        assert left()
        process.kill()
    deadline = time.monotonic() + 20
    while left() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert left() == []


def test_the_kernel_does_what_it_can_and_the_wire_the_rest() -> None:
    delay, rate, both = Shape(delay_s=1), Shape(rate_bytes_s=1), Shape(delay_s=1, rate_bytes_s=1)
    assert [Means(netem=True, tbf=True).choose(one) for one in (delay, rate, both)] == [
        "netem",
        "tbf",
        "netem",
    ]
    assert [Means(netem=False, tbf=True).choose(one) for one in (delay, rate, both)] == [
        "wire",
        "tbf",
        "wire",
    ]
    assert Means(netem=False, tbf=False).choose(rate) == "wire"
    assert Means(netem=True, tbf=True).choose(Shape()) is None


def test_netem_is_told_in_its_own_units() -> None:
    shape = Shape(0.005, 0.001, loss=0.2, duplicate=0.1, reorder=0.25, rate_bytes_s=1e6)
    assert _netem(shape) == {
        "delay": 5000,
        "jitter": 1000,
        "loss": 20,
        "duplicate": 10,
        "limit": 100_000,
        "prob_reorder": 25,
        "rate": 1_000_000,
    }


def test_what_is_lacking_is_said_with_its_fix() -> None:
    whole = shaping.Shaping(shape="wire", bandwidth="tbf")
    half = shaping.Shaping(bandwidth="tbf", reason="no filters")
    assert whole.lacks(Capability.SHAPE) is None
    assert half.lacks(Capability.BANDWIDTH) is None
    assert half.lacks(Capability.KILL) is None
    said = half.lacks(Capability.SHAPE)
    assert said is not None
    assert said.startswith("no filters; ")
    assert "modprobe" in said


if __name__ == "__main__":
    cases = {**CASES, "hold_until_killed": hold_until_killed}

    async def run() -> None:
        async with (
            lab_network(["n1", "n2"], ["load"]) as network,
            lab_shaper(network, ("n1", "n2"), Path(sys.argv[2], "wire.log")) as shaper,
        ):
            assert shaper.nodes == ("n1", "n2")
            assert shaper.groups == ("load",)
            await links_pass(shaper)
            await cases[sys.argv[1]](shaper)

    def main() -> int:
        anyio.run(run)
        return 0

    sys.exit(run_in_lab(main))
