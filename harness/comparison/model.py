"""What a comparison says, version 1: what comparison.json holds.

The unit that is counted is the iteration, since clients and messages of one iteration share
a fate: an iteration gives one value of each metric. Values are in the metric's unit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from harness.report.model import Count, Part, VerdictName

VERSION: Literal["1"] = "1"

Change = Literal["regressed", "improved", "unchanged", "too-few-runs", "not-comparable"]
Outcome = Literal["regression", "no-regression", "too-few-runs"]
Share = Annotated[float, Field(ge=0, le=1)]


class Side(Part):
    """One side: what ran, and how it went.

    Attributes:
        label: what to call it, such as a release, or where it was read from.
        servers: the server releases that it ran, sorted, each once.
        clients: the client libraries, as ``nats-py 2.16.0``, sorted.
        runs: how many reports were read.
        iterations: how many of their iterations count: those not cut off before their end.
        verdicts: how many of the reports have which verdict.
        sources: the report files.
    """

    label: str
    servers: list[str]
    clients: list[str]
    runs: Count
    iterations: Count
    verdicts: dict[VerdictName, Count]
    sources: list[str]


class Summary(Part):
    """The values of a metric on one side, one from each iteration.

    `values` are in the order of the iterations; null is an iteration whose value is not known
    or is a lower bound only, which counts as longer than any (see `censored`). `p50` is null
    where half of them or more are such.
    """

    n: Count
    censored: Count
    min: float | None
    p50: float | None
    max: float | None
    values: list[float | None]


class Mode(Part):
    """A cluster of values on both sides together, where the values are not of one hump.

    `low` to `high` is where it lies; the shares say how many of the values of each side,
    over all iterations, lie in it.
    """

    low: float
    high: float
    baseline: Share
    candidate: Share


class MetricChange(Part):
    """A metric on both sides.

    Attributes:
        metric: as in report.json, with labels where a threshold has them.
        unit: of all values here; ``share`` for parts of one, whatever the metric's own is.
        statistic: what is taken of each iteration: ``mean``, ``p50``, ``p99`` or ``max`` of a
            distribution, or where there are modes ``share beyond mode 1`` and ``mean in mode 1``
            and so on; ``count``, ``any`` (0 or 1) or ``ratio`` of a counter.
        lower_is_better: false for what grows as things go well.
        shift: candidate less baseline: the Hodges-Lehmann estimate, or the difference of the
            means for counts; null where it cannot be estimated.
        shift_low, shift_high: its confidence interval, at `confidence`.
        relative: `shift` as a share of the baseline's p50; null where that is zero.
        test: what the p-value is from.
        p_value: two-sided, before correction.
        p_adjusted: corrected for all metrics that were compared.
        practical_limit: a shift up to this does not matter, in the metric's unit.
        noise_floor: what the measurement itself may be off by, in the metric's unit.
        runs_needed: with ``too-few-runs``: how many iterations a side would need.
        why: the change in one sentence for a person.
    """

    metric: str
    unit: str
    statistic: str
    lower_is_better: bool = True
    baseline: Summary
    candidate: Summary
    change: Change
    shift: float | None = None
    shift_low: float | None = None
    shift_high: float | None = None
    confidence: Share = 0.95
    relative: float | None = None
    test: str | None = None
    p_value: Share | None = None
    p_adjusted: Share | None = None
    practical_limit: float | None = None
    noise_floor: float | None = None
    modes: list[Mode] = Field(default_factory=list)
    runs_needed: Count | None = None
    why: str


class ScenarioChange(Part):
    """One scenario on both sides; `notes` say what differs beside the release.

    `unmeasured` are metrics of the candidate that the baseline's harness did not know yet.
    """

    scenario: str
    baseline: Side
    candidate: Side
    metrics: list[MetricChange]
    notes: list[str] = Field(default_factory=list)
    unmeasured: list[str] = Field(default_factory=list)


class Comparison(Part):
    """Two sets of runs compared, scenario by scenario.

    `missing` are scenarios that only one side has, as ``NAME: only in the baseline``. The exit
    code is 0 without a regression, 4 with one, 3 where there were too few runs to tell.
    """

    schema_version: Literal["1"] = VERSION
    nats_harness_version: str
    outcome: Outcome
    exit_code: int
    baseline: Side
    candidate: Side
    scenarios: list[ScenarioChange]
    missing: list[str]
    compared: Count
    alpha: float
    reproduce: str
