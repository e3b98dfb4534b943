"""Modes: clusters of values with empty room between them.

A client that reconnects at once and one that first has to wait differ in kind. A mean or a
median over both says mostly how many were of which kind; told apart, each says something.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.stats.permutation import Floats

LEAST = 0.1  # of a side's values: what makes a cluster worth to be told apart
EMPTY = 0.5  # of the clusters' own spread (10th to 90th percentile): how wide the gap must be
MOST = 4  # clusters; more than that is a spread with gaps in it


@dataclass(frozen=True)
class Cluster:
    """Where a mode lies: from its least value to its greatest, both included."""

    low: float
    high: float


def find_modes(baseline: Floats, candidate: Floats, least_gap: float) -> tuple[Cluster, ...]:
    """Return the modes of the finite values of two sides, ascending; one where there is no gap.

    Two clusters are told apart only where one side by itself has both: what lies apart because
    the candidate as a whole moved is a shift, not a mode. Swapped sides give the same.

    Args:
        baseline: values, at least one on both sides together.
        candidate: the other side's.
        least_gap: narrower gaps tell nothing apart, in the values' unit.
    """
    pooled = np.sort(np.concatenate([baseline, candidate]))
    clusters = [Cluster(float(part[0]), float(part[-1])) for part in _split(pooled, least_gap)]
    apart = 0
    while apart < len(clusters) - 1:
        pair = clusters[apart : apart + 2]
        if any(_has_both(side, *pair) for side in (baseline, candidate)):
            apart += 1
        else:
            clusters[apart : apart + 2] = [Cluster(pair[0].low, pair[1].high)]
            apart = max(0, apart - 1)
    if len(clusters) > MOST:
        return (Cluster(float(pooled[0]), float(pooled[-1])),)
    return tuple(clusters)


def within(values: Floats, cluster: Cluster) -> Floats:
    """Return the values that lie in a mode."""
    return values[(values >= cluster.low) & (values <= cluster.high)]


def _split(ordered: Floats, least_gap: float) -> list[Floats]:
    """Split at the widest gap that is wide beside what lies on either side of it, and again."""
    few = max(2, round(LEAST / 2 * len(ordered)))
    gaps = np.diff(ordered)
    for place in np.argsort(-gaps, kind="stable").tolist():
        if gaps[place] <= least_gap:
            break
        left, right = ordered[: place + 1], ordered[place + 1 :]
        if min(len(left), len(right)) < few:
            continue
        if gaps[place] >= EMPTY * max(_spread(left), _spread(right)):
            return [*_split(left, least_gap), *_split(right, least_gap)]
    return [ordered]


def _spread(ordered: Floats) -> float:
    low, high = np.quantile(ordered, [0.1, 0.9])
    return float(high - low)


def _has_both(side: Floats, *clusters: Cluster) -> bool:
    least = max(2.0, LEAST * len(side))
    return all(len(within(side, cluster)) >= least for cluster in clusters)
