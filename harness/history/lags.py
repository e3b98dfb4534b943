"""When parts of the harness stood still, by their own clocks."""

from __future__ import annotations

from dataclasses import dataclass

from harness.history.facts import Event, Iteration

HARNESS = "the harness"
WIRE, PROXIES = "the wire", "the proxies"
REPORT_PERIOD_NS = 250_000_000
_EXACT = {"harness.lagged": HARNESS, "wire.lagged": WIRE, "proxies.lagged": PROXIES}


@dataclass(frozen=True)
class Lag:
    """A part of the harness did nothing for `lag_s`, though something was due.

    Attributes:
        part: `HARNESS`, its main process, which times faults and looks at servers; `WIRE` or
            `PROXIES`, which carry packets or clients' connections; or "worker W".
        from_ns, to_ns: between which times it lies. A worker tells of its greatest lag every
            250 ms, so that is not exact.
    """

    part: str
    lag_s: float
    from_ns: int
    to_ns: int

    def within_s(self, from_ns: int, to_ns: int) -> float:
        """Return how much of it lies between two times for certain."""
        lag_ns = round(self.lag_s * 1e9)
        begun_ns, ended_ns = self.to_ns - lag_ns, self.from_ns + lag_ns
        return max(0, min(ended_ns, to_ns) - max(begun_ns, from_ns)) / 1e9


def lags_of(iteration: Iteration, *parts: str) -> tuple[Lag, ...]:
    """Return the lags of parts of the harness but workers, in the order they were recorded."""
    found = (_exact(event) for event in iteration.of_kind(*_EXACT))
    return tuple(one for one in found if one.part in parts)


def worker_lags(iteration: Iteration) -> dict[str, tuple[Lag, ...]]:
    """Return the lags of workers by their names, in the order they were recorded."""
    found: dict[str, tuple[Lag, ...]] = {}
    for event in iteration.of_kind("worker.lagged"):
        worker, lag_s, at_ns = str(event["worker"]), float(event["max_lag_s"]), event["at_ns"]
        from_ns = at_ns - REPORT_PERIOD_NS - round(lag_s * 1e9)
        lag = Lag(f"worker {worker}", lag_s, from_ns, at_ns)
        found[worker] = (*found.get(worker, ()), lag)
    return found


def _exact(event: Event) -> Lag:
    from_ns, at_ns = event["from_ns"], event["at_ns"]
    return Lag(_EXACT[event["kind"]], (at_ns - from_ns) / 1e9, from_ns, at_ns)
