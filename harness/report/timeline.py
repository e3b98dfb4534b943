"""A small timeline of an iteration in plain text: phases, faults, arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from harness.report.model import Fault, Iteration

BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN = " .:-=+*#@"
INJECT, HOLD, HEAL = "!", "=", "~"
LABEL = 10


@dataclass(frozen=True)
class _Axis:
    """Time laid out over `width` columns."""

    start: float
    end: float
    width: int

    def column(self, at: float) -> int:
        share = (at - self.start) / (self.end - self.start)
        return min(self.width, max(0, round(share * self.width)))


def draw_timeline(iteration: Iteration, width: int, *, unicode: bool) -> list[str]:
    """Return the lines of the timeline, each at most `width` characters; none without load.

    Of a fault, ``!`` is injecting, ``=`` holding and ``~`` healing. The last line shows
    first arrivals over time: the highest block is the peak, or twice the usual rate and more.
    """
    rate = iteration.rate
    if not rate.delivered:
        return []
    end = rate.start + rate.width * len(rate.delivered)
    axis = _Axis(rate.start, end, max(10, width - LABEL))
    lines = [_line("phases", _draw_phases(iteration, axis))]
    lines += [_line(fault.name, _draw_fault(fault, axis)) for fault in iteration.faults]
    peak = max(rate.delivered)
    lines.append(_line("arrivals", _draw_rate(rate.delivered, axis.width, unicode=unicode)))
    per_s = peak / rate.width
    edge = f"{end:.1f} s"
    middle = f"peak {per_s:,.0f}/s".center(max(0, axis.width - len(edge) - 6))
    lines.append(_line("", f"{rate.start:<6.1f}{middle}{edge}"[: axis.width]))
    return lines


def _line(label: str, content: str) -> str:
    short = label if len(label) < LABEL else label[: LABEL - 2] + "."
    return f"{short:<{LABEL}}{content}".rstrip()


def _draw_phases(iteration: Iteration, axis: _Axis) -> str:
    starts = [
        (one.at, str((one.model_extra or {}).get("phase")))
        for one in iteration.timeline
        if one.kind == "phase.started"
    ]
    starts = [(at, name) for at, name in starts if name not in ("setup", "collect")]
    cells = [" "] * axis.width
    for place, (at, name) in enumerate(starts):
        begin = axis.column(at)
        end = axis.column(starts[place + 1][0]) if place + 1 < len(starts) else axis.width
        room = end - begin
        if room > 0:
            cells[begin:end] = f"|{name[: room - 1]:.<{room - 1}}"
    return "".join(cells)


def _draw_fault(fault: Fault, axis: _Axis) -> str:
    cells = [" "] * axis.width
    edges = [fault.inject_start, fault.inject_done, fault.heal_start, fault.heal_done]
    known = [axis.end if edge is None else edge for edge in edges]
    if fault.inject_start is None:
        return ""
    spans = list(zip((INJECT, HOLD, HEAL), known, known[1:], strict=False))
    for mark, begin, end in (*spans[1:], spans[0]):  # a short injection must still show
        first = min(axis.width - 1, axis.column(begin))
        last = max(first + 1, axis.column(end))
        if begin < axis.end or mark == INJECT:
            cells[first:last] = mark * (last - first)
    return "".join(cells)


def _draw_rate(counts: Sequence[int], width: int, *, unicode: bool) -> str:
    """Draw the mean of the bins under each column; what is not zero is never blank."""
    blocks = BLOCKS if unicode else PLAIN
    # A burst after an outage would press all the rest to the ground.
    usual = median([count for count in counts if count] or [0])
    top = min(max(counts), 2 * usual)
    drawn = []
    for column in range(width):
        first = column * len(counts) // width
        last = max(first + 1, (column + 1) * len(counts) // width)
        mean = sum(counts[first:last]) / (last - first)
        level = round(min(1.0, mean / top) * (len(blocks) - 1)) if top else 0
        drawn.append(blocks[max(level, 1 if mean else 0)])
    return "".join(drawn)
