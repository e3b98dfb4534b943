"""Measured values that carry labels, so that a selector can pick some of them.

`Samples` is for distributions, `Tally` for counters. Both of several iterations can be
pooled: samples are put together, tallies are summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from harness.stats.distribution import Distribution, Flags, Floats

Wanted = Mapping[str, str | frozenset[str]]  # by label: the value, or any one of several
Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Labels:
    """One label of n values: value i has `names[codes[i]]`; codes have shape (n,)."""

    names: tuple[str, ...]
    codes: Codes

    @classmethod
    def of(cls, values: Sequence[str]) -> Labels:
        """Encode a short list of label values."""
        names = tuple(dict.fromkeys(values))
        places = {name: place for place, name in enumerate(names)}
        return cls(names, np.array([places[value] for value in values], dtype=np.uint16))

    def matching(self, value: str | frozenset[str]) -> Flags:
        """Return which values carry the label value, or one of several."""
        wanted = [place for place, name in enumerate(self.names) if _fits(name, value)]
        return np.isin(self.codes, wanted)


@dataclass(frozen=True)
class Samples:
    """Values of shape (n,), which of them are lower bounds, and their labels.

    Attributes:
        censored: None when every value is exact.
    """

    values: Floats
    censored: Flags | None
    labels: Mapping[str, Labels]

    @classmethod
    def of(cls, rows: Iterable[tuple[float, bool, Mapping[str, str]]]) -> Samples:
        """Build from few rows of (value, censored, labels); all rows have the same labels."""
        listed = list(rows)
        keys = listed[0][2] if listed else ()
        return cls(
            np.array([value for value, _, _ in listed], dtype=np.float64),
            np.array([censored for _, censored, _ in listed], dtype=np.bool_),
            {key: Labels.of([labels[key] for _, _, labels in listed]) for key in keys},
        )

    def select(self, wanted: Wanted) -> Distribution:
        """Return the distribution of the values that carry all wanted labels."""
        if len(self.values) == 0 or not wanted:
            return Distribution.of(self.values, self.censored)
        mask = np.ones(len(self.values), dtype=np.bool_)
        for label, value in wanted.items():
            mask &= self.labels[label].matching(value)
        return Distribution.of(
            self.values[mask], None if self.censored is None else self.censored[mask]
        )


@dataclass(frozen=True)
class PooledSamples:
    """The samples of several iterations."""

    parts: tuple[Samples, ...]

    def select(self, wanted: Wanted) -> Distribution:
        """Return the distribution over all iterations of the values with all wanted labels."""
        found = [part.select(wanted) for part in self.parts]
        if len(found) == 1:
            return found[0]
        empty = np.empty(0, dtype=np.float64)
        bounds = np.sort(np.concatenate([empty, *(one.bounds for one in found)]))
        if not any(one.censored for one in found):
            return Distribution(bounds, bounds)
        return Distribution(bounds, np.sort(np.concatenate([one.exact for one in found])))


@dataclass(frozen=True)
class Count:
    """How often something happened, out of how many chances.

    Attributes:
        count: how often, at most.
        of: how many could have been counted.
        uncertain: how many of `count` may yet turn out not to be any.
        seen: how many messages were looked at; 0 means that nothing is known.
        at_least: the true count may be higher, since some of the evidence is missing.
    """

    count: int = 0
    of: int = 0
    uncertain: int = 0
    seen: int = 0
    at_least: bool = False

    def __add__(self, other: Count) -> Count:
        return Count(
            self.count + other.count,
            self.of + other.of,
            self.uncertain + other.uncertain,
            self.seen + other.seen,
            self.at_least or other.at_least,
        )


@dataclass(frozen=True)
class Tally:
    """Counts by labels.

    `exposure` names labels that say how a message was sent rather than which message it
    was: selecting by them narrows `count` and `of` but not `seen`, for "none was sent
    while disconnected" is something that was seen. `outcomes` names labels that say what
    became of one: selecting by them narrows `count` alone.
    """

    cells: tuple[tuple[Mapping[str, str], Count], ...]
    exposure: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()

    def select(self, wanted: Wanted) -> Count:
        """Return the sum over the cells that carry all wanted labels."""
        chances = {key: value for key, value in wanted.items() if key not in self.outcomes}
        which = {key: value for key, value in chances.items() if key not in self.exposure}
        total, of, seen = Count(), 0, 0
        for labels, count in self.cells:
            seen += count.seen if _carries(labels, which) else 0
            of += count.of if _carries(labels, chances) else 0
            total += count if _carries(labels, wanted) else Count()
        return Count(total.count, of, total.uncertain, seen, total.at_least)

    def outside(self, several: Iterable[Wanted]) -> Count:
        """Return the sum over the cells that none of several selections takes."""
        chosen = list(several)
        return sum(
            (
                count
                for labels, count in self.cells
                if not any(_carries(labels, wanted) for wanted in chosen)
            ),
            Count(),
        )

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            (*self.cells, *other.cells),
            self.exposure | other.exposure,
            self.outcomes | other.outcomes,
        )


@dataclass(frozen=True)
class PooledTally:
    """The tallies of several iterations."""

    parts: tuple[Tally, ...]

    def select(self, wanted: Wanted) -> Count:
        """Return the sum over all iterations."""
        return sum((part.select(wanted) for part in self.parts), Count())


def _carries(labels: Mapping[str, str], wanted: Wanted) -> bool:
    return all(_fits(labels.get(key), value) for key, value in wanted.items())


def _fits(name: str | None, wanted: str | frozenset[str]) -> bool:
    return name == wanted if isinstance(wanted, str) else name in wanted


NO_LABELS: Mapping[str, str] = MappingProxyType({})
