"""Bandwidth: the links of a server let through only so much in a second."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import field_validator

from harness.cluster.protocols import Capability
from harness.cluster.shapes import Sample, Shape, Trial
from harness.faults.shaped import ShapedFault
from harness.scenario.quantities import BitRate
from harness.units import format_bit_rate, human_duration, parse_bit_rate

LEAST = "64kbit"  # a burst that shows it takes two seconds there
MOST = "100Mbit"  # beyond it the harness may be the narrower one
LONG_S = 0.3
PRESSURE = 1.5  # the burst comes this much faster than the link lets through
# Where bytes take long, fewer of them show it if they come faster: the bucket is empty sooner.
SLOW_BELOW_BYTES_S, SLOW_PRESSURE = 25_000, 4.0
FREE = 1.25  # after it, at least this much of the rate must pass
FEWEST = 30
HEADERS = 42
SMALL, LARGE = 200, 1400
LARGE_FROM_BYTES_S = 125_000
AT_MOST, AT_LEAST = 1.15, 0.2  # real traffic shares the link with the burst
BUCKET_BYTES, BUCKET_S = 3200, 0.005  # of tokens, that let the head of a burst pass at once
PATIENCE_S = 0.2
LATE, WAITED = 0.75, 0.1  # the later quarter of a burst waits at least a tenth of its length


class Bandwidth(ShapedFault):
    """Let through at most `rate` on each of the links.

    Bits count in Ethernet frames: headers belong to them. What waits for its turn takes up to a
    tenth of a second or 64 KiB; what comes beyond that is lost, and TCP slows down.
    """

    action: Literal["bandwidth"]
    rate: BitRate
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.BANDWIDTH})

    @field_validator("rate")
    @classmethod
    def _require_provable(cls, rate: float) -> float:
        if not parse_bit_rate(LEAST) <= rate <= parse_bit_rate(MOST):
            raise ValueError(f"expected {LEAST} to {MOST}, so that it can be proven")
        return rate

    @property
    def needed(self) -> frozenset[Capability]:
        """Return less where only clients' links are limited."""
        if self.between == "clients":
            return frozenset({Capability.CLIENT_BANDWIDTH})
        return self.needs

    @property
    def shape(self) -> Shape:
        """Return what is asked of each link."""
        return Shape(rate_bytes_s=self.rate)

    def trial(self, expected: Shape) -> Trial:
        """Return a burst that is faster than the rate."""
        payload_bytes = LARGE if self.rate >= LARGE_FROM_BYTES_S else SMALL
        frame_bytes = payload_bytes + HEADERS
        gap_s = frame_bytes / (self._pressure * self.rate)
        head = math.ceil(self._head_bytes / frame_bytes)
        count = max(2 * head + FEWEST, math.ceil(LONG_S / gap_s))
        through = min(self.rate, expected.rate_bytes_s or self.rate)
        queue_s, burst_s = (
            size / through
            for size in (Shape(rate_bytes_s=through).queue_bytes, count * frame_bytes)
        )
        patience_s = PATIENCE_S + min(burst_s, queue_s) + expected.delay_s + expected.jitter_s
        crowd_s = max(0.0, queue_s - burst_s) if self._slow else 0.0
        return Trial(count, gap_s, payload_bytes, patience_s, crowd_s)

    def problem(self, expected: Shape, seen: Sample) -> str | None:
        """Compare what came through in a second with the lowest rate on the link."""
        rate = self._measured(seen)
        asked = self.rate if expected.rate_bytes_s is None else expected.rate_bytes_s
        least = AT_LEAST * (1 - expected.loss) * asked
        if expected.rate_bytes_s is not None and least <= rate <= AT_MOST * asked:
            return _missing_queue(expected, seen)
        return f"let through {_shown(rate)}, expected {_shown(asked)}"

    def lingering(self, expected: Shape, seen: Sample) -> str | None:
        """Expect more than the rate, unless another shape limits the link as well."""
        if expected.rate_bytes_s is not None and expected.rate_bytes_s <= FREE * self.rate:
            return self.problem(expected, seen)
        rate = self._measured(seen)
        if rate >= FREE * (1 - expected.loss) * self.rate:
            return None
        return (
            f"let through {_shown(rate)} without this fault, "
            f"expected more than {_shown(FREE * self.rate)}"
        )

    def figure(self, seen: Sample) -> str:
        """Return the rate."""
        return _shown(self._measured(seen))

    def _measured(self, seen: Sample) -> float:
        return seen.rate_bytes_s(self._head_bytes)

    @property
    def _slow(self) -> bool:
        return self.rate < SLOW_BELOW_BYTES_S

    @property
    def _pressure(self) -> float:
        return SLOW_PRESSURE if self._slow else PRESSURE

    @property
    def _head_bytes(self) -> float:
        """Return what comes before the rate shows: the bucket fills while it is emptied."""
        bucket_bytes = max(BUCKET_BYTES, BUCKET_S * self.rate)
        return bucket_bytes * self._pressure / (self._pressure - 1)


def _missing_queue(expected: Shape, seen: Sample) -> str | None:
    """Say when probes did not wait for their turn: then it was not the link that slowed them.

    A burst that is faster than a link waits longer and longer, while a machine that is busy
    holds up some of it only.
    """
    sent = [one.sent_ns for one in seen.arrivals]
    least_s = expected.delay_s - expected.jitter_s + WAITED * (max(sent) - min(sent)) / 1e9
    waited_s = seen.delay(LATE)
    if waited_s >= least_s:
        return None
    return (
        f"most probes took less than {human_duration(waited_s)}, expected a queue in which they "
        f"take {human_duration(least_s)}"
    )


def _shown(rate: float) -> str:
    if math.isnan(rate):
        return "nothing"
    return format_bit_rate(float(f"{rate:.3g}"))
