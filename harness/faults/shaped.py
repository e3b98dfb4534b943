"""Faults that shape links: put on, measured, held, taken off, measured again.

A trial is made over every link of the fault before, during, right before the heal and after.
What it shows must fit what all shapes on that link do together at that moment; else the
fault is not proven. Over a link that another fault has cut nothing can be seen: it must be
seen at another moment.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, ClassVar

from harness.cluster.grudge import Between, Direction, around
from harness.cluster.links import Link, Links
from harness.cluster.protocols import Cluster
from harness.cluster.shapes import Sample, Shape, Shaper, Trial, includes
from harness.errors import FaultError
from harness.faults.base import Fault, Strike

CHANGES = 8  # of links by other faults, while they are measured
TRIES = 3  # a machine that is busy for a moment is not a link that is broken
PROBES_PER_S = 30_000  # what one process sends and receives without being late
LEAST_PROBES, MOST_PROBES = 200, 3000
NOTHING = Shape()

Judge = Callable[[Shape, Sample], str | None]


class ShapedFault(Fault):
    """Be the base of faults that shape the links of the struck nodes.

    `between` says which other ends count: other servers, client groups or both; or those
    joined by gateways or as leaf nodes.
    `direction` is seen from the target: packets ``to`` it, ``from`` it, or ``both``.
    """

    claims_nodes: ClassVar[bool] = False  # shapes add up, and each is taken off alone
    settle_s: ClassVar[float] = 6.0  # three measurements of up to two seconds, mostly far less
    between: Between = "all"
    direction: Direction = "both"

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Return what is asked of each link."""

    @abstractmethod
    def trial(self, expected: Shape) -> Trial:
        """Return what to send over a link of the shape `expected` to see the effect."""

    @abstractmethod
    def problem(self, expected: Shape, seen: Sample) -> str | None:
        """Say how a sample differs from what the effect of `expected` looks like; None: not."""

    @abstractmethod
    def lingering(self, expected: Shape, seen: Sample) -> str | None:
        """Say how a sample shows an effect that a link of the shape `expected` has not."""

    @abstractmethod
    def figure(self, seen: Sample) -> str:
        """Return what a sample shows of the effect, for people."""

    @asynccontextmanager
    async def active(self, cluster: Cluster, strike: Strike) -> AsyncIterator[None]:
        """Hold the links in shape, proven by trials over each of them."""
        shaper = cluster.shaper
        if shaper is None:
            raise FaultError("this backend cannot shape links")
        names = [node.name for node in strike.nodes]
        places = (shaper.nodes, shaper.groups)
        links = sorted(
            around(
                names,
                *places,
                direction=self.direction,
                between=self.between,
                sites=cluster.sites,
            )
        )
        if not links:
            raise FaultError(f"{', '.join(names)} has no link between {self.between}")
        measure = _Measurement(self, strike, shaper, links, cluster.links)
        await measure.run("before", self.lingering, {})
        for node in strike.nodes:
            how = f"{self.action} on {_count(_at(node.name, links))}"
            strike.hit(node, how, groups=())  # connections live on: nobody has to fail over
        async with shaper.shaped(dict.fromkeys(links, self.shape), strike.seed) as via:
            for link in links:
                # What is expected below must hold what was asked, or its absence would fit.
                if not includes(shaper.effective(link), self.shape):
                    raise FaultError(f"the shape asked for is not on {link}")
            samples = await measure.run("effect", self.problem, via)
            for node in strike.nodes:
                _require_seen(node.name, samples, "effect")
                strike.effect(node, f"{self._tell(node.name, samples)}, via {_means(via)}")

            async def look() -> None:
                samples = await measure.run("held", self.problem, via)
                measure.require_all(("effect", "held"), "cut by another fault all the while")
                for node in strike.nodes:
                    _require_seen(node.name, samples, "held")
                    strike.held(node, f"still so on {_probes(_at(node.name, samples), samples)}")

            strike.still(look, measure.takes_s)
            yield
        samples = await measure.run("undo", self.lingering, {})
        measure.require_all(("undo",), "cut by another fault, so that no end can be seen")
        for node in strike.nodes:
            strike.undo(node, self._tell(node.name, samples))

    def _tell(self, node: str, samples: Mapping[Link, Sample]) -> str:
        own = _at(node, samples)
        shown = ", ".join(f"{link} {self.figure(samples[link])}" for link in islice(own, 3))
        more = f" and {len(own) - 3} more" if len(own) > 3 else ""  # noqa: PLR2004 - as above
        return f"{_probes(own, samples)}: {shown}{more}"


class _Measurement:
    """The trials of one use of a fault."""

    def __init__(
        self,
        fault: ShapedFault,
        strike: Strike,
        shaper: Shaper,
        links: Collection[Link],
        network: Links | None,
    ) -> None:
        self._fault = fault
        self._strike = strike
        self._shaper = shaper
        self._links = tuple(links)
        self._network = network
        self._seen: dict[str, Collection[Link]] = {}

    async def run(self, edge: str, judge: Judge, via: Mapping[Link, str]) -> Mapping[Link, Sample]:
        """Return the first samples that `judge` accepts on every link that is not cut.

        Raises:
            FaultError: none of `TRIES` trials was accepted; says what is wrong on which link.
        """
        problems: list[str] = []
        changes = tries = 0
        while tries < TRIES and changes < CHANGES:
            before = self._passable()
            samples = await self._sample(before)
            after = self._passable()
            if before != after:  # another fault came or went meanwhile
                problems = ["a link changed while it was measured"]
                changes += 1
                continue
            tries += 1
            found = {link: judge(after[link], samples[link]) for link in after}
            self._record(edge, samples, after, via)
            problems = [f"{link}: {what}" for link, what in found.items() if what is not None]
            if not problems:
                self._seen[edge] = samples
                return samples
        raise FaultError(f"{edge}: {'; '.join(problems)}")

    def require_all(self, edges: tuple[str, ...], why: str) -> None:
        """Raise FaultError unless every link was seen at one of the edges."""
        seen = {link for edge in edges for link in self._seen[edge]}
        if unseen := [str(link) for link in self._links if link not in seen]:
            raise FaultError(f"{edges[-1]}: {', '.join(unseen)}: {why}")

    def _passable(self) -> Mapping[Link, Shape]:
        """Return what each link that no fault has cut is to do now."""
        cut = frozenset() if self._network is None else self._network.severed
        return {link: self._shaper.effective(link) for link in self._links if link not in cut}

    @property
    def takes_s(self) -> float:
        """Return how long one trial on each link takes, as they are shaped now."""
        shapes = {link: self._shaper.effective(link) for link in self._links}
        return sum(trial.takes_s for trial, _ in self._batches(shapes))

    async def _sample(self, shapes: Mapping[Link, Shape]) -> Mapping[Link, Sample]:
        samples: dict[Link, Sample] = {}
        for trial, links in self._batches(shapes):
            samples.update(await self._shaper.probe(links, trial))
        return samples

    def _batches(self, shapes: Mapping[Link, Shape]) -> Iterator[tuple[Trial, tuple[Link, ...]]]:
        """Yield links that can be tried at once, each with the trial that fits it."""
        by_trial: dict[Trial, list[Link]] = {}
        for link, shape in shapes.items():
            by_trial.setdefault(self._fault.trial(shape), []).append(link)
        for trial, links in by_trial.items():
            at_once = max(1, int(PROBES_PER_S * trial.gap_s))
            for start in range(0, len(links), at_once):
                yield trial, tuple(links[start : start + at_once])

    def _record(
        self,
        edge: str,
        samples: Mapping[Link, Sample],
        shapes: Mapping[Link, Shape],
        via: Mapping[Link, str],
    ) -> None:
        told = [
            _facts(link, sample, shapes[link], via.get(link)) for link, sample in samples.items()
        ]
        cut = [str(link) for link in self._links if link not in samples]
        self._strike.record(
            "fault.measured", fault=self._fault.name, edge=edge, links=told, cut=cut
        )


def _facts(link: Link, sample: Sample, shape: Shape, via: str | None) -> dict[str, Any]:
    asked = {name: value for name, value in vars(shape).items() if value != vars(NOTHING)[name]}
    median = sample.delay()
    rate = sample.rate_bytes_s()
    return {
        "from": link.source,
        "to": link.target,
        "via": via,
        "asked": asked,
        "sent": sample.sent,
        "received": len(sample.numbers),
        "lost": round(sample.lost, 6),
        "duplicated": round(sample.duplicated, 6),
        "overtaking": sample.overtaking,
        "delay_s": None if median != median else round(median, 9),  # noqa: PLR0124 - NaN
        "rate_bytes_s": None if rate != rate else round(rate, 1),  # noqa: PLR0124 - NaN
    }


def _at(node: str, links: Collection[Link]) -> tuple[Link, ...]:
    return tuple(link for link in links if node in (link.source, link.target))


def _count(links: Collection[Link]) -> str:
    return f"{len(links)} link{'' if len(links) == 1 else 's'}"


def _probes(links: Collection[Link], samples: Mapping[Link, Sample]) -> str:
    probes = sum(samples[link].sent for link in links)
    return f"{_count(links)} measured by {probes} probes"


def _require_seen(node: str, samples: Collection[Link], edge: str) -> None:
    if not _at(node, samples):
        raise FaultError(f"{edge}: every link of {node} is cut by another fault")


def _means(via: Mapping[Link, str]) -> str:
    return ", ".join(sorted(set(via.values())))


def chance(share: float, count: int) -> float:
    """Return how far a share of `count` throws may be off by chance: five deviations."""
    return 5 * float((share * (1 - share) / count) ** 0.5)


def share_problem(what: str, asked: float, seen: float, count: int) -> str | None:
    """Compare a share with the one asked for; chance and half a percent are allowed."""
    allowed = chance(asked, count) + 0.005
    if abs(seen - asked) <= allowed:
        return None
    return f"{what} {seen:.1%}, expected {asked:.1%} within {allowed:.1%}"


def probes_for(*shares: float) -> int:
    """Return how many probes tell each of the shares from none, by `share_problem`.

    The smallest share that `MOST_PROBES` can tell is 2 %.
    """
    least = min((share for share in shares if share > 0), default=1.0)
    return min(MOST_PROBES, max(LEAST_PROBES, int(60 / least)))
