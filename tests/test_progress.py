from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from harness.api import load
from harness.clock import now_ns
from harness.progress import Narrator

NS = 1_000_000_000
EVENTS: list[tuple[float, str, dict[str, Any]]] = [
    (0.0, "run.started", {}),
    (0.0, "faults.scheduled", {"steps": [{"name": "stop-seed"}], "drawn": False}),
    (0.0, "phase.started", {"phase": "setup"}),
    (0.32, "cluster.formed", {"took_s": 0.178}),
    (1.0, "worker.stats", {"worker": "w", "attempted": 1}),
    (1.0, "phase.started", {"phase": "warmup"}),
    (2.0, "phase.started", {"phase": "steady"}),
    (4.0, "phase.started", {"phase": "fault"}),
    (4.1, "fault.inject_started", {"fault": "stop-seed", "action": "stop", "targets": ["n1"]}),
    (
        4.11,
        "fault.inject_started",
        {
            "fault": "again",
            "action": "kill",
            "targets": ["n1"],
            "late_s": 0.5,
            "waited_for": ["stop-seed"],
        },
    ),
    (4.12, "client.sign", {"client": "[b]c[/b]", "sign": "EOF"}),
    (4.2, "fault.failed", {"fault": "stop-seed", "message": "it lives"}),
    (9.0, "phase.started", {"phase": "drain"}),
    (9.1, "phase.started", {"phase": "collect"}),
]
PLAIN = """\
   0.00s  starting servers and clients
   0.32s  cluster formed in 178 ms
   1.00s  warmup for 1 s
   2.00s  steady for 2 s
   4.00s  fault phase: stop-seed
   4.10s  stop-seed: stop n1
   4.11s  again: kill n1, 500 ms late: stop-seed had to be healed first
   4.12s  [b]c[/b] noticed: EOF
   4.20s  stop-seed FAILED: it lives
   9.00s  drain, up to 2 s
   9.10s  collecting
"""


def narrated(*, quiet: bool) -> str:
    out = io.StringIO()
    narrator = Narrator(load("seed-failover"), Console(file=out, highlight=False), quiet=quiet)
    for at, kind, facts in EVENTS:
        narrator(kind, round((50 + at) * NS), facts)
    return out.getvalue()


def test_a_pipe_gets_one_plain_line_for_what_matters() -> None:
    assert narrated(quiet=False) == PLAIN


def test_what_is_told_before_its_time_is_printed_at_its_time() -> None:
    out = io.StringIO()
    narrator = Narrator(load("seed-failover"), Console(file=out, highlight=False))
    start = now_ns()
    struck = {"fault": "stop-seed", "action": "stop", "targets": ["n1"]}
    narrator("run.started", start, {})
    narrator("fault.inject_started", start + 3600 * NS, struck)
    narrator("phase.started", start, {"phase": "fault"})
    assert "stop n1" not in out.getvalue()
    narrator("fault.hit", start + 3600 * NS + 1, {})
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["fault", "stop-seed:"]


def test_a_quiet_run_tells_only_what_went_wrong() -> None:
    assert narrated(quiet=True) == "   4.20s  stop-seed FAILED: it lives\n"
