"""Delay: packets take longer on the links of a server."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.cluster.protocols import Capability
from harness.cluster.shapes import Sample, Shape, Trial
from harness.faults.shaped import ShapedFault, probes_for, share_problem
from harness.scenario.quantities import Duration, Share
from harness.units import format_duration, human_duration

LEAST_DELAY_S = 0.001
LEAST_REORDERED_DELAY_S = 0.005
MOST_DELAY_S = 5.0
LEAST_REORDER = 0.05  # fewer cannot be told from none in about a second
PROBES = 30
GAP_S = 0.005
MOST_GAP_S = 0.05
REORDER_GAP_S = 0.001
EARLY_S = 0.0002  # clocks are read before the packet is sent and after it came
LATE_S = 0.02
PATIENCE_S = 0.2
PROBE_FRAME_BYTES = 74


class Delay(ShapedFault):
    """Hold every packet on the links for `delay`, one way.

    `jitter` lets the delay wander by up to that much both ways without reordering.
    `reorder` is the share of packets that are not held, and so overtake others.
    """

    action: Literal["delay"]
    delay: Duration
    jitter: Duration = 0.0
    reorder: Share = Field(default=0.0, le=0.5)
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SHAPE})

    @model_validator(mode="after")
    def _require_provable(self) -> Delay:
        if not LEAST_DELAY_S <= self.delay <= MOST_DELAY_S:
            raise ValueError(
                f"delay: expected {format_duration(LEAST_DELAY_S)} to "
                f"{format_duration(MOST_DELAY_S)}, found {format_duration(self.delay)}"
            )
        if self.jitter > self.delay:
            raise ValueError("jitter: a packet cannot come before it was sent; at most `delay`")
        if self.reorder and self.delay < LEAST_REORDERED_DELAY_S:
            raise ValueError(
                f"reorder: needs a delay of at least {format_duration(LEAST_REORDERED_DELAY_S)}, "
                "or nothing is there to overtake"
            )
        if 0 < self.reorder < LEAST_REORDER:
            raise ValueError(
                f"reorder: expected at least {LEAST_REORDER:.0%}, so that it can be proven"
            )
        return self

    @property
    def needed(self) -> frozenset[Capability]:
        """Return less where only clients' links are delayed, and nothing overtakes."""
        if self.between == "clients" and not self.reorder:
            return frozenset({Capability.CLIENT_DELAY})
        return self.needs

    @property
    def shape(self) -> Shape:
        """Return what is asked of each link."""
        return Shape(delay_s=self.delay, jitter_s=self.jitter, reorder=self.reorder)

    def trial(self, expected: Shape) -> Trial:
        """Return enough probes for a median, far enough apart to see the delay wander."""
        gap_s = min(MOST_GAP_S, max(GAP_S, 2 * self.jitter))
        count = PROBES
        if self.reorder:
            count, gap_s = probes_for(self.reorder), REORDER_GAP_S
        if expected.rate_bytes_s is not None:
            gap_s = max(gap_s, PROBE_FRAME_BYTES / (0.3 * expected.rate_bytes_s))
        return Trial(count, gap_s, patience_s=expected.latest_s + PATIENCE_S)

    def problem(self, expected: Shape, seen: Sample) -> str | None:
        """Compare the median with what is expected; it may be late, but never early.

        On a busy machine all probes may be late by themselves, so not even the fastest may
        be early where nothing overtakes.
        """
        median = seen.delay(0.5 + expected.reorder / 2)
        if math.isnan(median):
            return "no probe came through"
        low = expected.delay_s - expected.jitter_s - EARLY_S
        high = expected.delay_s + expected.jitter_s + max(LATE_S, expected.delay_s)
        if not low <= median <= high + _queued_s(expected):
            return (
                f"delayed by {human_duration(median)}, expected {human_duration(expected.delay_s)}"
            )
        if not expected.reorder and (fastest := seen.delay(0.0)) < low:
            return f"one probe took {human_duration(fastest)} only"
        if self.jitter and (spread := seen.delay(1.0) - seen.delay(0.0)) < self.jitter / 10:
            return f"the delay wanders by {human_duration(spread)} only"
        if self.reorder:
            early = sum(one.delay_s < expected.delay_s / 2 for one in seen.arrivals)
            count = len(seen.arrivals)
            return share_problem("overtaking", expected.reorder, early / count, count)
        return None

    def lingering(self, expected: Shape, seen: Sample) -> str | None:
        """Tell a median that is above the expected one by half the delay or more."""
        median = seen.delay()
        if math.isnan(median):
            return "no probe came through"
        high = expected.delay_s + expected.jitter_s + self.delay / 2 + _queued_s(expected)
        if median < high:
            return None
        return (
            f"delayed by {human_duration(median)} without this fault, "
            f"expected less than {human_duration(high)}"
        )

    def figure(self, seen: Sample) -> str:
        """Return the median delay."""
        return human_duration(seen.delay())


def _queued_s(shape: Shape) -> float:
    return 0.0 if shape.rate_bytes_s is None else shape.queue_bytes / shape.rate_bytes_s
