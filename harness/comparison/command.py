"""The commands `compare` and `baseline`."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.comparison.compare import compare_runs
from harness.comparison.metrics import known
from harness.comparison.model import Comparison
from harness.comparison.sources import Baseline, read_runs
from harness.comparison.table import print_comparison
from harness.errors import EXIT_PASS, ReportError, UsageError
from harness.report.write import write_json
from harness.units import parse_share

STANDARD_OUTPUT = "-"


def compare_command(
    baseline: str,
    candidate: str,
    console: Console,
    *,
    practical: Sequence[str],
    alpha: float,
    everything: bool,
    json_to: str | None,
) -> int:
    """Compare two sets of runs and print what changed; return the comparison's exit code.

    With JSON on standard output nothing else is printed there.

    Raises:
        UsageError: an option is wrong, or the sides have nothing in common.
        ReportError: what is to be read or written cannot be.
    """
    target = _find_target(json_to)
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha: expected a chance between 0 and 1, found {alpha:g}")
    limits = dict(_parse_practical(text) for text in practical)
    options = [f"--practical={text}" for text in practical]
    command = ["nats-harness", "compare", baseline, candidate, *options, f"--alpha={alpha:g}"]
    comparison = compare_runs(
        [baseline],
        [candidate],
        alpha=alpha,
        practical=limits,
        reproduce=shlex.join(command),
    )
    if json_to == STANDARD_OUTPUT:
        console.out(_as_json(comparison), highlight=False)
        return comparison.exit_code
    if target is not None:
        write_json(comparison, target)
    print_comparison(comparison, console, everything=everything)
    return comparison.exit_code


def baseline_command(runs: Sequence[str], out: Path, console: Console) -> int:
    """Store what a comparison needs of runs in one small file.

    Raises:
        ReportError: the runs cannot be read, or the file cannot be written.
    """
    found = read_runs(runs)
    if not any(one.trust != "none" for run in found for one in run.iterations):
        raise ReportError("not one of these runs has an iteration that ran to its end")
    _find_target(str(out))
    write_json(Baseline(runs=found), out, compact=True)
    counts = Counter(run.name for run in found for one in run.iterations if one.trust != "none")
    for name, count in sorted(counts.items()):
        console.print(Text(f"{name}: {count} iterations"))
    console.print(Text(str(out.absolute())), soft_wrap=True)
    return EXIT_PASS


def _as_json(comparison: Comparison) -> str:
    return comparison.model_dump_json(indent=2)


def _find_target(path: str | None) -> Path | None:
    target = None if path in (None, STANDARD_OUTPUT) else Path(str(path))
    if target is not None and not target.parent.is_dir():
        raise ReportError(f"{target} cannot be written: there is no folder {target.parent}")
    return target


def _parse_practical(text: str) -> tuple[str, float]:
    """Return the metric, empty for all, and the share of ``20%`` or ``failover_time=20%``."""
    metric, _, share = text.rpartition("=")
    if metric and not known(metric):
        raise UsageError(f"--practical: there is no metric {metric!r} to compare")
    try:
        return metric, parse_share(share)
    except ValueError as error:
        raise UsageError(f"--practical {text}: {error}") from error
