"""Bandwidth: the links of a server let through only so much in a second."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import field_validator

from harness.cluster.protocols import Capability
from harness.cluster.shapes import Sample, Shape, Trial
from harness.faults.shaped import ShapedFault
from harness.scenario.quantities import BitRate
from harness.units import format_bit_rate, parse_bit_rate

LEAST = "64kbit"  # a burst that shows it takes some seconds there
MOST = "100Mbit"  # beyond it the harness may be the narrower one
LONG_S = 0.3
PRESSURE = 1.5  # the burst comes this much faster than the link lets through
FREE = 1.25  # after it, at least this much of the rate must pass
FEWEST = 30
HEADERS = 42
SMALL, LARGE = 200, 1400
LARGE_FROM_BYTES_S = 125_000
AT_MOST, AT_LEAST = 1.15, 0.2  # real traffic shares the link with the burst
# A token bucket of 3200 bytes, or 5 ms, is empty when three times as much came at that pressure.
HEAD_BYTES, HEAD_S = 9600, 0.015
PATIENCE_S = 0.2


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
    def shape(self) -> Shape:
        """Return what is asked of each link."""
        return Shape(rate_bytes_s=self.rate)

    def trial(self, expected: Shape) -> Trial:
        """Return a burst that is faster than the rate."""
        payload_bytes = LARGE if self.rate >= LARGE_FROM_BYTES_S else SMALL
        frame_bytes = payload_bytes + HEADERS
        gap_s = frame_bytes / (PRESSURE * self.rate)
        head = math.ceil(self._head_bytes / frame_bytes)
        count = max(2 * head + FEWEST, math.ceil(LONG_S / gap_s))
        through = min(self.rate, expected.rate_bytes_s or self.rate)
        waiting_s = min(count * frame_bytes, Shape(rate_bytes_s=through).queue_bytes) / through
        patience_s = PATIENCE_S + waiting_s + expected.delay_s + expected.jitter_s
        return Trial(count, gap_s, payload_bytes, patience_s)

    def problem(self, expected: Shape, seen: Sample) -> str | None:
        """Compare what came through in a second with the lowest rate on the link."""
        rate = self._measured(seen)
        asked = self.rate if expected.rate_bytes_s is None else expected.rate_bytes_s
        least = AT_LEAST * (1 - expected.loss) * asked
        if expected.rate_bytes_s is not None and least <= rate <= AT_MOST * asked:
            return None
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
    def _head_bytes(self) -> float:
        """Return what comes before the rate shows."""
        return max(HEAD_BYTES, HEAD_S * self.rate)


def _shown(rate: float) -> str:
    if math.isnan(rate):
        return "nothing"
    return format_bit_rate(float(f"{rate:.3g}"))
