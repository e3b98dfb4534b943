"""How exact shaped links are: delay, loss and bandwidth, measured by probes in the lab.

Run by bench.py; as a script, ``python benchmarks/shapes.py KIND RUNS`` prints what was
measured as JSON, since the lab must be entered before threads exist.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
from apart import measure_apart, tell_from_lab
from figure import Figure

from harness.backends.lab.shaping import shaping
from harness.cluster.links import Link
from harness.cluster.shapes import Sample, Shape, Trial

LINK = Link("n1", "n2")
LIMIT_S = 120.0
RATE_BYTES_S = 1_250_000.0  # 10 Mbit/s
HEAD_BYTES = 30_000.0  # what a token bucket lets through before its rate holds, and some


@dataclass(frozen=True)
class Accuracy:
    """A shape, how it is measured, and how far off it may be.

    Attributes:
        error: the distance between what was asked and a sample, in `unit`.
    """

    name: str
    unit: str
    aim: float
    shape: Shape
    trial: Trial
    error: Callable[[Sample], float]
    method: str


def _delay(milliseconds: int) -> Accuracy:
    asked_s = milliseconds / 1000
    return Accuracy(
        f"delay of {milliseconds} ms, error of the median",
        "ms",
        1.0,
        Shape(delay_s=asked_s),
        Trial(200, 0.002, patience_s=asked_s + 0.2),
        lambda sample: abs(sample.delay() - asked_s) * 1000,
        "lab: 200 stamped UDP datagrams one way over a shaped link, 2 ms apart; "
        "the median delay less what was asked",
    )


ACCURACIES = {
    "delay-5ms": _delay(5),
    "delay-50ms": _delay(50),
    "loss": Accuracy(
        "loss of 20 %, error",
        "points",
        2.0,
        Shape(loss=0.2),
        Trial(10_000, 0.0002),
        lambda sample: abs(sample.lost - 0.2) * 100,
        "lab: 10,000 numbered UDP datagrams one way over a shaped link; the share that never "
        "came less 20 %",
    ),
    "bandwidth": Accuracy(
        "bandwidth of 10 Mbit/s, error",
        "%",
        10.0,
        Shape(rate_bytes_s=RATE_BYTES_S),
        Trial(1000, 1442 / (1.5 * RATE_BYTES_S), 1400, 0.5),
        lambda sample: abs(sample.rate_bytes_s(HEAD_BYTES) / RATE_BYTES_S - 1) * 100,
        "lab: 1,000 UDP datagrams of 1,442-byte frames at 15 Mbit/s over a shaped link; what came "
        "in a second, after the first 30 kB, against 1.25 MB/s",
    ),
}


def measure_shape(kind: str, runs: int) -> Figure:
    """Shape a link `runs` times in one lab and measure it each time."""
    wanted = ACCURACIES[kind]
    told = measure_apart(__file__, kind, runs, limit_s=LIMIT_S)
    return Figure(
        wanted.name,
        wanted.unit,
        wanted.aim,
        "lower",
        wanted.method,
        told.get("values", ()),
        {"via": told.get("via")},
        told.get("skipped"),
    )


async def _measure(wanted: Accuracy, runs: int) -> dict[str, Any]:
    from harness.backends.lab.network import lab_network  # noqa: PLC0415 - needs a lab
    from harness.backends.lab.shaper import lab_shaper  # noqa: PLC0415 - the same

    values, via = [], ""
    with TemporaryDirectory(prefix="nats-harness-bench-") as folder:
        async with (
            lab_network([LINK.source, LINK.target], []) as network,
            lab_shaper(network, tuple(network.places), Path(folder, "wire.log")) as shaper,
        ):
            for run in range(runs):
                async with shaper.shaped({LINK: wanted.shape}, run) as by:
                    via = by[LINK]
                    values.append(wanted.error((await shaper.probe([LINK], wanted.trial))[LINK]))
    return {"values": values, "via": via}


if __name__ == "__main__":
    chosen, count = ACCURACIES[sys.argv[1]], int(sys.argv[2])
    sys.exit(tell_from_lab(shaping().reason, lambda: anyio.run(_measure, chosen, count)))
