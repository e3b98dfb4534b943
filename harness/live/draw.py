"""Draw the state of a run as lines that fit a terminal, however narrow and low it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.clock import NS_PER_S, seconds
from harness.live.picture import FaultPicture, Picture
from harness.plain import plain

MIN_WIDTH = 20
MOST_FAULTS = 8
MOST_AWAY = 6
ACTIVE = frozenset({"injecting", "holding", "healing"})
STYLES = {
    "scheduled": "dim",
    "injecting": "red",
    "holding": "red",
    "healing": "yellow",
    "healed": "green",
    "failed": "bold red",
}


@dataclass(frozen=True)
class Row:
    """A line of the view; of rows that do not fit, those of the greatest `rank` go first."""

    text: str
    style: str = ""
    rank: int = 0


def draw(
    picture: Picture, recent: Sequence[str], now_ns: int, width: int, height: int
) -> list[Row]:
    """Return at most `height` rows of at most `width` characters.

    What is left of the height is filled with `recent`, the latest lines of the narration.
    """
    rows = [
        *_head(picture, now_ns),
        *_faults(picture, now_ns),
        *_traffic(picture),
        *_clients(picture, now_ns),
        *_servers(picture),
    ]
    while len(rows) > height:
        last = max(range(len(rows)), key=lambda index: (rows[index].rank, index))
        del rows[last]
    room = height - len(rows) - 1
    if room > 0 and recent:
        rows += [Row(""), *(Row(line, "dim") for line in recent[-room:])]
    return [Row(_cut(one.text, max(width, MIN_WIDTH)), one.style, one.rank) for one in rows]


def _head(picture: Picture, now_ns: int) -> Iterator[Row]:
    scenario = picture.scenario
    elapsed = "" if picture.zero_ns is None else f"  {seconds(now_ns - picture.zero_ns):.1f} s"
    which = f"  iteration {picture.iteration} of {scenario.repeat}" if scenario.repeat > 1 else ""
    stopped = f"  INTERRUPTED by {picture.interrupted}" if picture.interrupted else ""
    yield Row(f"{scenario.name}{which}{elapsed}{stopped}", "bold red" if stopped else "bold")
    shown = (f"[{one}]" if one == picture.phase else one for one in picture.phases)
    yield Row(" ".join(shown), "", 3)
    yield Row(f"now   {_phase(picture, now_ns)}")
    yield Row(f"next  {_next(picture, now_ns)}", "", 1)


def _phase(picture: Picture, now_ns: int) -> str:
    if not picture.phase:
        return "starting"
    gone_s = max(0.0, seconds(now_ns - picture.phase_ns))
    length_s = picture.phase_length_s()
    if length_s is None:
        return f"{picture.phase} for {gone_s:.1f} s"
    bound = {"drain": "at most ", "fault": "about "}.get(picture.phase, "")
    if picture.phase == "fault" and picture.scenario.phases.fault is not None:
        bound = "at least "
    left_s = length_s - gone_s
    rest = f", {left_s:.1f} s left" if left_s >= 0 else f", {-left_s:.1f} s over"
    return f"{picture.phase}: {gone_s:.1f} s of {bound}{length_s:.1f} s{rest}"


def _next(picture: Picture, now_ns: int) -> str:
    """Return the next thing that is to happen, and when, where that is known."""
    ahead: list[tuple[int, str]] = []
    zero_ns = picture.fault_zero_ns()
    for fault in picture.faults.values():
        if fault.state == "scheduled" and zero_ns is not None:
            at_ns = zero_ns + round(fault.at_s * NS_PER_S)
            ahead.append((at_ns, f"{fault.name}: {fault.action} {fault.targets}"))
        elif (heal_ns := picture.heal_ns(fault)) is not None:
            ahead.append((heal_ns, f"{fault.name} heals"))
    length_s = picture.phase_length_s()
    after = _after(picture)
    by_event = picture.phase == "drain" or (picture.phase == "fault" and ahead)
    if length_s is not None and not by_event:
        ahead.append((picture.phase_ns + round(length_s * NS_PER_S), after))
    if not ahead:
        return after
    at_ns, what = min(ahead)
    left_s = seconds(at_ns - now_ns)
    return f"{what} {f'in {left_s:.1f} s' if left_s > 0 else 'now'}"


def _after(picture: Picture) -> str:
    phases = picture.phases
    following = phases.index(picture.phase) + 1 if picture.phase in phases else 0
    if following < len(phases):
        return phases[following]
    repeat = picture.scenario.repeat
    return f"iteration {picture.iteration + 1}" if picture.iteration < repeat else "the verdict"


def _faults(picture: Picture, now_ns: int) -> Iterator[Row]:
    faults = list(picture.faults.values())
    if len(faults) > MOST_FAULTS:
        late = [one for one in faults if one.state not in ("healed", "scheduled")]
        coming = [one for one in faults if one.state == "scheduled"]
        kept = [*late, *coming][:MOST_FAULTS]
        done = sum(one.state == "healed" for one in faults)
        failed = sum(one.state == "failed" for one in faults)
        yield Row(f"faults  {len(faults)}, {done} healed, {failed} failed", "", 1)
        faults = kept
    for one in faults:
        rank = 0 if one.state in ACTIVE or one.state == "failed" else 2
        yield Row(f"  {_fault(picture, one, now_ns)}", STYLES[one.state], rank)


def _fault(picture: Picture, fault: FaultPicture, now_ns: int) -> str:
    what = f"{fault.name} ({fault.action} {fault.targets})"
    since_s = seconds(now_ns - fault.since_ns)
    if fault.state == "scheduled":
        zero_ns = picture.fault_zero_ns()
        if zero_ns is None:
            return f"{what}: scheduled"
        left_s = seconds(zero_ns - now_ns) + fault.at_s
        return f"{what}: scheduled, in {max(0.0, left_s):.1f} s"
    if fault.state == "failed":
        return f"{what}: FAILED: {fault.trouble}"
    if fault.state == "healed":
        return f"{what}: healed{f', but {fault.trouble}' if fault.trouble else ''}"
    until = ""
    if (heal_ns := picture.heal_ns(fault)) is not None:
        until = f", heals in {max(0.0, seconds(heal_ns - now_ns)):.1f} s"
    doubt = f", but {fault.trouble}" if fault.trouble else ""
    return f"{what}: {fault.state} for {since_s:.1f} s{until}{doubt}"


def _traffic(picture: Picture) -> Iterator[Row]:
    if not picture.workers:
        return
    sent, arrived = picture.rate("accepted"), picture.rate("delivered")
    waiting = picture.total("in_flight")
    under_way = f", {waiting:,} in flight" if waiting else ""
    yield Row(f"rates   {sent:,.0f}/s published, {arrived:,.0f}/s delivered{under_way}")
    names = ("attempted", "accepted", "delivered")
    counts = ", ".join(f"{picture.total(name):,} {name}" for name in names)
    yield Row(f"counts  {counts}", "", 2)
    refused, unknown = picture.total("refused"), picture.unknown()
    style = "red" if refused or unknown else ""
    yield Row(
        f"so far  {refused:,} refused, {unknown:,} unknown; lost: known after the drain", style, 1
    )


def _clients(picture: Picture, now_ns: int) -> Iterator[Row]:
    if not picture.clients:
        return
    style = "red" if picture.away else ""
    yield Row(f"clients {len(picture.connected)} of {len(picture.clients)} connected", style)
    away = sorted(picture.away.items(), key=lambda one: one[1])
    for name, since_ns in away[:MOST_AWAY]:
        how = "gave up" if name in picture.gave_up else "away"
        yield Row(f"  {name} {how} for {seconds(now_ns - since_ns):.1f} s", "red", 2)
    if len(away) > MOST_AWAY:
        yield Row(f"  and {len(away) - MOST_AWAY} more", "red", 2)


def _servers(picture: Picture) -> Iterator[Row]:
    if picture.servers:
        down = any(state != "up" for state in picture.servers.values())
        states = ", ".join(f"{name} {state}" for name, state in sorted(picture.servers.items()))
        yield Row(f"servers {states}", "red" if down else "", 1)
    for group, said in sorted(picture.leaders.items()):
        names = sorted({leader or "nobody" for leader in said.values()})
        if names:
            doubt = " (servers differ)" if len(names) > 1 else ""
            yield Row(f"leader  {group}: {', '.join(names)}{doubt}", "red" if doubt else "", 3)


def _cut(text: str, width: int) -> str:
    text = plain(text, keep="")
    return text if len(text) <= width else f"{text[: width - 3]}..."
