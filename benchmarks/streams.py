"""What judging a run with streams takes: seconds and memory, three replicas audited."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from figure import Figure

from harness.history.columns import ColumnsWriter
from harness.history.tables import ACKS, CONSUMED, SENT, STORED, Integrity, Outcome

MESSAGES = 1_000_000
NODES = ("n1", "n2", "n3")
LACKING = 1_000
RATE = 50_000
AIMS = {"s": 60.0, "MiB": 1024.0}
METHOD = (
    "a run folder is written as a run would leave it: {count:,} messages of four publishers that "
    "were acknowledged, each stored on three replicas, of which one lacks {lacking:,}, and "
    "delivered once by a consumer. Value: {what} of a process that reads, judges and reports it"
)
WHAT = {"s": "the time", "MiB": "the peak resident memory"}
JUDGE = """
import pathlib, sys
from harness.judging import judge_folder
report = judge_folder(pathlib.Path(sys.argv[1]))
print(report.metrics["stream_lost"].count, report.metrics["consumer_lost"].count)
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""
SCENARIO = """\
name: judged
seed: 1
repeat: 1
streams: [{name: ORDERS, replicas: 3}]
workloads: [{name: orders, kind: jetstream, stream: ORDERS, subject: orders}]
"""


def measure_streams(folder: Path, runs: int, count: int, unit: Literal["s", "MiB"]) -> Figure:
    """Measure the judging of one run folder `runs` times; RuntimeError when it judges wrongly."""
    write_run(folder, count)
    values = []
    for _ in range(runs):
        started = time.monotonic()
        argv = [sys.executable, "-c", JUDGE, str(folder)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        took_s = time.monotonic() - started
        lost, unheard, peak_kib = map(int, done.stdout.split())
        if (lost, unheard) != (min(LACKING, count), 0):
            raise RuntimeError(f"{lost} lost and {unheard} not delivered are not what was written")
        values.append(took_s if unit == "s" else peak_kib / 1024)
    method = METHOD.format(count=count, lacking=LACKING, what=WHAT[unit])
    return Figure(f"judging {count:,} stored", unit, AIMS[unit], "lower", method, values)


def write_run(folder: Path, count: int) -> None:
    """Write a run folder with `count` messages."""
    clients = [_publisher(number) for number in range(4)]
    consumer = {"id": 4, "name": "orders-C1-1", "role": "consumer", "worker": "consumers"}
    clients.append(_client(consumer | {"consumer": "C1", "senders": [0, 1, 2, 3]}))
    (folder / "scenario.yaml").write_text(SCENARIO, encoding="utf-8")
    messages = folder / "messages" / "0"
    (messages / "audit").mkdir(parents=True)
    events = list(_events(count, clients))
    number = np.arange(count, dtype=np.uint64)
    sender, sequence = (number % 4).astype(np.uint32), number // 4
    due = 2_000_000_000 + (number * (1_000_000_000 // RATE)).astype(np.int64)
    with ColumnsWriter(messages / "publishers.columns") as writer:
        done, once = np.full(count, Outcome.ACKED, np.uint8), np.ones(count, np.uint8)
        writer.append_block(SENT, [sender, sequence, due, due, due + 1_000_000, done, once])
        none, first = np.zeros(count, np.uint8), np.ones(count, np.uint16)
        writer.append_block(ACKS, [sender, sequence, number + 1, none, first])
        events.append(_event(60.1, "worker.done", worker="publishers", rows=dict(writer.rows)))
    intact = np.full(count, Integrity.INTACT, np.uint8)
    with ColumnsWriter(messages / "consumers.columns") as writer:
        taker, times = np.full(count, 4, np.uint32), np.ones(count, np.uint32)
        acked, place = np.ones(count, np.uint8), number + 1
        came = due + 2_000_000
        writer.append_block(
            CONSUMED, [taker, sender, sequence, place, place, times, came, acked, intact]
        )
        events.append(_event(60.1, "worker.done", worker="consumers", rows=dict(writer.rows)))
    for node in NODES:
        name = f"audit/ORDERS@{node}.columns"
        kept = number >= LACKING if node == "n2" else number >= 0
        with ColumnsWriter(messages / name) as writer:
            writer.append_block(
                STORED, [sender[kept], sequence[kept], number[kept] + 1, intact[kept]]
            )
        found = {"rows": int(kept.sum()), "led": True, "absent": [], "first_seq": 1}
        found |= {"absent_count": count - int(kept.sum()), "last_seq": count, "file": name}
        events.append(_event(61.0, "audit.read", stream="ORDERS", node=node, **found))
    events.sort(key=lambda one: int(one["at_ns"]))
    lines = "".join(json.dumps(one) + "\n" for one in events)
    (folder / "events.jsonl").write_text(lines, encoding="utf-8")


def _publisher(number: int) -> dict[str, Any]:
    name = f"orders-publisher-{number + 1}"
    facts = {"id": number, "name": name, "role": "publisher", "worker": "publishers"}
    return _client(facts | {"rate": RATE / 4, "offset_s": number / RATE})


def _client(facts: dict[str, Any]) -> dict[str, Any]:
    return {"workload": "orders", "stream": "ORDERS", "senders": [], "queue": None} | facts


def _event(at_s: float, kind: str, **facts: Any) -> dict[str, Any]:
    return {"at_ns": round(at_s * 1e9), "kind": kind, "iteration": 0, **facts}


def _events(count: int, clients: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stop_s = 2.0 + count / RATE
    spans = {
        "setup": (0.1, 1.0),
        "warmup": (2.0, 2.5),
        "steady": (2.5, stop_s),
        "drain": (stop_s, 60.0),
        "collect": (60.0, 60.5),
    }
    config = {"retention": "limits", "max_msgs": -1}
    made = {"ack_policy": "explicit", "deliver_policy": "all"}
    return [
        *(_event(start, "phase.started", phase=name) for name, (start, _) in spans.items()),
        *(_event(end, "phase.ended", phase=name) for name, (_, end) in spans.items()),
        _event(0.2, "stream.created", stream="ORDERS", config=config, replicas=list(NODES)),
        _event(0.3, "consumer.created", stream="ORDERS", consumer="C1", config=made),
        _event(0.4, "load.planned", run=1, clients=clients),
        _event(2.0, "load.started", start_ns=2_000_000_000),
        _event(stop_s, "load.stopped", stop_ns=round(stop_s * 1e9)),
        _event(60.0, "load.drained", complete=True, waited_s=0.1),
    ]
