"""The page of a release check: one file, the decision first, then what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.pages.comparison import Compared, compare_scenarios
from harness.pages.templating import render
from harness.pages.words import ThresholdRow, read_threshold
from harness.release.model import Decision, ReleaseCheck, ThresholdLine

# What a decision looks like: a class of the style sheet, a sign, and a word.
LOOKS: Mapping[Decision, tuple[str, str, str]] = MappingProxyType(
    {
        "go": ("pass", "✓", "Go"),
        "no-go": ("fail", "✗", "No-go"),
        "not-enough-evidence": ("inconclusive", "?", "Not enough evidence"),
    }
)
SEVERITY = ("fail", "inconclusive", "pass")
TIGHT = 0.75  # of its limit: what uses more is shown among the first


@dataclass(frozen=True)
class Limit:
    """A condition over all runs of the candidate, with the worst of them as a row."""

    told: ThresholdLine
    row: ThresholdRow


def render_check(check: ReleaseCheck, links: Mapping[str, str]) -> str:
    """Return the page; pure.

    Args:
        check: what to tell.
        links: by a run's report, where the run's own page lies, relative to this one.
    """
    limits = [Limit(one, read_threshold(one.worst)) for one in check.thresholds]
    notable = [one for one in limits if _notable(one)]
    return render(
        "release.html",
        check=check,
        look=LOOKS[check.decision],
        notable=sorted(notable, key=_worry),
        kept=_by_scenario([one for one in limits if one not in notable]),
        kept_count=len(limits) - len(notable),
        compared=list(_order(check)),
        links=links,
        proof_rows=[
            (
                one.scenario,
                one.fault,
                one.action,
                one.side,
                one.intended,
                one.proven,
                one.example,
            )
            for one in check.proofs
        ],
        unproven=[one for one in check.proofs if one.proven < one.intended],
    )


def _notable(limit: Limit) -> bool:
    """Tell whether a limit was not kept in every run, or hardly."""
    used = limit.row.used
    statistic = limit.told.condition.partition(" ")[0]
    tight = used is not None and not limit.row.exact and statistic != "n" and used > TIGHT
    return limit.told.worst.verdict != "pass" or tight


def _worry(limit: Limit) -> tuple[int, float]:
    return SEVERITY.index(limit.told.worst.verdict), -(limit.row.used or 0.0)


def _by_scenario(limits: Sequence[Limit]) -> dict[str, list[Limit]]:
    grouped: dict[str, list[Limit]] = {}
    for one in limits:
        grouped.setdefault(one.told.scenario, []).append(one)
    return grouped


def _order(check: ReleaseCheck) -> Iterator[Compared]:
    """Yield the scenarios as they were compared, those with changes first."""
    if check.comparison is not None:
        yield from sorted(compare_scenarios(check.comparison), key=lambda one: -one.changed)
