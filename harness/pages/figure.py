"""The timeline as plotly.js is to draw it: one figure whose tracks share their time axis.

The layout (heights, margins, colours of text) is made in the page, by templates/timeline.js,
because it depends on the window and on the theme. All text here is plain; what plotly would
read as markup is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from statistics import median
from typing import Any

from harness.history.facts import Iteration
from harness.pages.lanes import LaneTrack, Segment, fault_parts, lay_out_lanes
from harness.pages.palette import (
    BLUE,
    BRIEF,
    GREY,
    LOOKS,
    MARKS,
    ORANGE,
    PURPLE,
    VERMILLION,
    server_looks,
)
from harness.pages.tracks import Latencies, Mark, Rates, Tracks, measure_tracks
from harness.report import model
from harness.units import human_duration

FAR = 5.0  # a peak so many times the usual rate is beyond the scale
GAP = 4.0  # a line has a gap where nothing was due for so many times the usual
MOST_SHADES = 150


def draw_iteration(
    iteration: Iteration,
    told: model.Iteration,
    scenario: Mapping[str, Any],
    servers: Sequence[str],
    bins: int,
) -> dict[str, Any]:
    """Return the figure of an iteration: ``data``, ``tracks``, ``shades``, ``view`` and ``span``.

    Raises:
        ValueError: the columns make no sense.
    """
    looks = {**server_looks(servers), **LOOKS}
    lanes = lay_out_lanes(iteration, told)
    tracks = measure_tracks(iteration, scenario, bins)
    top, rest = lanes[:1], lanes[1:]
    drawn: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    drawn += [_draw_lanes(one, looks) for one in top]
    drawn += [_draw_rates(tracks.rates)] if tracks.rates else []
    if tracks.latencies.at_s or tracks.unfinished:
        drawn.append(_draw_latencies(tracks.latencies, tracks.unfinished))
    drawn += [_draw_marks(tracks)] if tracks.marks else []
    drawn += [_draw_lanes(one, looks) for one in rest]
    data = []
    for number, (_, traces) in enumerate(drawn, start=1):
        data += [{**trace, "yaxis": "y" if number == 1 else f"y{number}"} for trace in traces]
    ends = [one.to_s for track in lanes for one in track.segments]
    return {
        "data": data,
        "tracks": [track for track, _ in drawn],
        "shades": list(_shade(iteration))[:MOST_SHADES],
        "view": _view(iteration),
        "span": [0, max([iteration.relative_s(iteration.end_ns), *ends])],
        "faults": _span_of_faults(iteration),
    }


def _view(iteration: Iteration) -> list[float]:
    """Return what is shown first: from just before the load to the end of drain."""
    end = iteration.relative_s(iteration.end_ns)
    if iteration.load_start_ns is None:
        return [0, end]
    begin = iteration.relative_s(iteration.load_start_ns)
    return [max(0.0, begin - 0.03 * (end - begin)), end]


def _span_of_faults(iteration: Iteration) -> list[float] | None:
    parts = [part for one in iteration.faults for part in fault_parts(iteration, one)]
    if not parts:
        return None
    begin, end = min(part[1] for part in parts), max(part[2] for part in parts)
    room = max(0.2, 0.15 * (end - begin))
    return [max(0.0, begin - room), end + room]


def _shade(iteration: Iteration) -> Iterator[dict[str, Any]]:
    for window in iteration.faults:
        for part, begin, end in fault_parts(iteration, window):
            yield {"from": round(begin, 6), "to": round(end, 6), "colour": LOOKS[part][0]}


def _draw_lanes(
    track: LaneTrack, looks: Mapping[str, tuple[str, str]]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a track of lanes, with one trace for each state in it."""
    places = {lane: place for place, lane in enumerate(track.lanes)}
    by_state: dict[str, list[Segment]] = {}
    for one in track.segments:
        by_state.setdefault(one.state, []).append(one)
    # What is wrong is drawn over what is not, so that it cannot be hidden.
    order = sorted(by_state, key=lambda state: list(LOOKS).index(state) if state in LOOKS else -1)
    traces = []
    for state in order:
        segments = by_state[state]
        colour, pattern = looks.get(state, (GREY, ""))
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": state,
                "base": [round(one.from_s, 6) for one in segments],
                "x": [round(max(0.0, one.to_s - one.from_s), 6) for one in segments],
                "y": [places[one.lane] for one in segments],
                "text": [escape(one.text, quote=False) for one in segments],
                "hovertext": [escape(one.story, quote=False) for one in segments],
                "hoverinfo": "text",
                "textposition": "inside",
                "insidetextanchor": "middle" if state == "up" else "start",
                "textangle": 0,
                "insidetextfont": {"color": "#fff" if colour == BLUE else "#111"},
                "width": 0.86,
                "marker": {
                    "color": colour,
                    "opacity": 0.4 if state == "phase" else 0.92,
                    # So that what lasted for milliseconds shows as well.
                    "line": {"color": colour, "width": 2 if state in BRIEF else 0},
                    "pattern": {
                        "shape": pattern,
                        "fillmode": "overlay",
                        "fgcolor": "#fff",
                        "fgopacity": 0.6,
                        "size": 6,
                    },
                },
            }
        )
    return {"title": track.title, "kind": "lanes", "labels": list(track.lanes)}, traces


def _draw_rates(rates: Sequence[Rates]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the track of rates; a peak far beyond the usual is a mark at the edge.

    A burst after an outage would press all the rest to the ground.
    """
    traces: list[dict[str, Any]] = []
    track = {"title": "Messages a second", "kind": "value", "least": 0}
    peak = max(max(one.high, default=0.0) for one in rates)
    usual = max(median([value for value in one.mean if value] or [0.0]) for one in rates)
    if peak > FAR * usual > 0:
        track |= {"title": f"Messages a second (▲ up to {peak:,.0f})"}
        track |= {"most": FAR / 2 * usual}
        traces.append(_draw_peaks(rates, FAR / 2 * usual))
    for one, colour, dash in zip(rates, (GREY, BLUE), ("dot", "solid"), strict=True):
        at = [round(one.start_s + place * one.width_s, 6) for place in range(len(one.mean) + 1)]
        line = {"shape": "hv", "color": colour, "width": 1.6, "dash": dash}
        if one.low != one.high:
            thin = {**line, "width": 0, "dash": "solid"}
            edge = {"type": "scatter", "mode": "lines", "x": at, "line": thin, "hoverinfo": "skip"}
            traces.append({**edge, "y": _closed(one.low), "name": f"{one.name}, least"})
            traces.append(
                {**edge, "y": _closed(one.high), "fill": "tonexty", "fillcolor": f"{colour}33",
                 "name": f"{one.name}, greatest"}
            )  # fmt: skip
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": one.name,
                "x": at,
                "y": _closed(one.mean),
                "line": line,
                "hovertemplate": f"%{{y:,.0f}}/s {one.name} at %{{x:.2f}} s<extra></extra>",
            }
        )
    return track, traces


def _draw_peaks(rates: Sequence[Rates], most: float) -> dict[str, Any]:
    peaks = [
        (round(one.start_s + (place + 0.5) * one.width_s, 6), f"{value:,.0f}/s {one.name}")
        for one in rates
        for place, value in enumerate(one.high)
        if value > most
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "beyond the scale",
        "x": [at for at, _ in peaks],
        "y": [most * 0.96] * len(peaks),
        "marker": {"symbol": "triangle-up", "size": 8, "color": PURPLE},
        "hovertext": [text for _, text in peaks],
        "hoverinfo": "text",
    }


def _closed(values: Sequence[float]) -> list[float]:
    """Repeat the last value, so that steps show the last bin as wide as the others."""
    return [*values, *values[-1:]]


def _draw_latencies(
    latencies: Latencies, unfinished: Sequence[Mark]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    ms = 1e3
    tooltip = "%{y:,.4~g} ms, due at %{x:.3f} s<extra></extra>"
    breaks = _find_breaks(latencies.at_s)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": _broken(latencies.at_s, breaks),
            "y": _broken([round(one * ms, 4) for one in values], breaks),
            "line": {"color": colour, "width": 1.6, "dash": dash},
            "hovertemplate": f"{name} {tooltip}",
        }
        for name, values, colour, dash in (
            ("p50", latencies.p50, BLUE, "solid"),
            ("p99", latencies.p99, PURPLE, "dash"),
        )
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "slowest",
            "x": latencies.slowest_at_s,
            "y": [round(one * ms, 4) for one in latencies.slowest],
            "marker": {"symbol": "circle", "size": 4.5, "color": ORANGE},
            "hovertemplate": f"slowest {tooltip}",
        }
    )
    if unfinished:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "never ended",
                "x": [one.at_s for one in unfinished],
                "y": [round((one.bound_s or 0.0) * ms, 4) for one in unfinished],
                "marker": {"symbol": "triangle-up", "size": 7, "color": VERMILLION},
                "hovertext": [
                    f"{one.count} message(s) without an end, for at least "
                    f"{human_duration(one.bound_s or 0.0)}"
                    for one in unfinished
                ],
                "hoverinfo": "text",
            }
        )
    return {"title": "Latency", "kind": "value", "unit": "ms", "log": True}, traces


def _find_breaks(at_s: Sequence[float]) -> frozenset[int]:
    """Return the places before which a line must not go on: for long, nothing was due."""
    steps = [after - before for before, after in pairwise(at_s)]
    usual = median(steps) if steps else 0.0
    return frozenset(place for place, step in enumerate(steps, start=1) if step > GAP * usual)


def _broken(values: Sequence[float], breaks: frozenset[int]) -> list[float | None]:
    """Put a gap, which plotly draws as one, before the places."""
    found: list[float | None] = []
    for place, value in enumerate(values):
        found += [None, value] if place in breaks else [value]
    return found


def _draw_marks(tracks: Tracks) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    traces = []
    for place, (name, marks) in enumerate(tracks.marks.items()):
        symbol, colour = MARKS[name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [one.at_s for one in marks],
                "y": [place] * len(marks),
                "customdata": [one.count for one in marks],
                "marker": {"symbol": symbol, "size": 8, "color": colour},
                "hovertext": [escape(_tell_mark(name, one), quote=False) for one in marks],
                "hoverinfo": "text",
            }
        )
    labels = [
        f"{name} ({sum(mark.count for mark in marks):,})" for name, marks in tracks.marks.items()
    ]
    return {"title": "Messages in trouble, when sent", "kind": "lanes", "labels": labels}, traces


def _tell_mark(name: str, mark: Mark) -> str:
    if mark.what:
        return f"{name}, sent at {mark.at_s:.3f} s: {mark.what}"
    return f"{mark.count} {name}, sent from {mark.at_s:.3f} s to {mark.to_s:.3f} s"
