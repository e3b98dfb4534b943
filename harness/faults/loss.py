"""Loss: packets vanish on the links of a server."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from harness.cluster.protocols import Capability
from harness.cluster.shapes import Sample, Shape, Trial
from harness.faults.shaped import ShapedFault, chance, probes_for, share_problem
from harness.scenario.quantities import Share

LEAST = 0.02  # fewer cannot be told from none by as many probes as fit into a second
GAP_S = 0.0005
PATIENCE_S = 0.2
PROBE_FRAME_BYTES = 74


class Loss(ShapedFault):
    """Lose a share of the packets on the links, each by a throw of its own.

    `duplicate` is the share that arrives twice. TCP hides both from servers and clients
    and gets slower; what is lost for good is a message only where a connection breaks.
    """

    action: Literal["loss"]
    loss: Share = Field(default=0.0, le=0.9)
    duplicate: Share = Field(default=0.0, le=0.9)
    needs: ClassVar[frozenset[Capability]] = frozenset({Capability.SHAPE})

    @model_validator(mode="after")
    def _require_provable(self) -> Loss:
        if not self.loss and not self.duplicate:
            raise ValueError("expected loss, duplicate or both, such as loss: 20%")
        for name, share in (("loss", self.loss), ("duplicate", self.duplicate)):
            if 0 < share < LEAST:
                raise ValueError(f"{name}: expected at least {LEAST:.0%}, so that it can be proven")
        return self

    @property
    def shape(self) -> Shape:
        """Return what is asked of each link."""
        return Shape(loss=self.loss, duplicate=self.duplicate)

    def trial(self, expected: Shape) -> Trial:
        """Return enough probes to tell the shares from none."""
        gap_s = GAP_S
        if expected.rate_bytes_s is not None:
            gap_s = max(gap_s, PROBE_FRAME_BYTES / (0.3 * expected.rate_bytes_s))
        patience_s = PATIENCE_S + expected.delay_s + expected.jitter_s
        return Trial(probes_for(self.loss, self.duplicate), gap_s, patience_s=patience_s)

    def problem(self, expected: Shape, seen: Sample) -> str | None:
        """Compare both shares with what chance allows around those expected."""
        came = max(1, len(seen.numbers))
        return share_problem("lost", expected.loss, seen.lost, seen.sent) or share_problem(
            "duplicated", expected.duplicate, seen.duplicated, came
        )

    def lingering(self, expected: Shape, seen: Sample) -> str | None:
        """Tell shares that are above the expected ones by a quarter of what was asked."""
        compared = (
            ("lost", self.loss, expected.loss, seen.lost),
            ("duplicated", self.duplicate, expected.duplicate, seen.duplicated),
        )
        for what, asked, rest, share in compared:
            if asked and share > rest + asked / 4 + chance(rest, seen.sent):
                return f"{what} {share:.1%} without this fault, expected {rest:.1%}"
        return None

    def figure(self, seen: Sample) -> str:
        """Return the shares."""
        shown = [f"lost {seen.lost:.1%}"] if self.loss else []
        return " and ".join(
            [*shown, *([f"doubled {seen.duplicated:.1%}"] if self.duplicate else [])]
        )
