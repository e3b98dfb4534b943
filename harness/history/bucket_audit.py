"""What an audit found of the stream in which a bucket is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.history.facts import Columns, Iteration
from harness.history.stream_audit import Audit, read_audit
from harness.history.tables import STORED

PREFIXES = {"kv": "KV_", "object": "OBJ_"}


@dataclass(frozen=True)
class BucketAudit:
    """The audit of one bucket.

    Attributes:
        stream: its stream's name.
        replicas: how many the scenario asks for.
        audit: which replicas were read.
        tables: the columns of `STORED` of each of these, by node; no rows of one that is gone.
        gone_ns: when there was no such stream any more, by all servers' word; 0 where there was.
    """

    stream: str
    replicas: int
    audit: Audit
    tables: Mapping[str, Columns]
    gone_ns: int

    @property
    def gone(self) -> bool:
        """Tell whether the stream is gone altogether."""
        return self.gone_ns > 0


def read_bucket_audit(iteration: Iteration, workload: Mapping[str, Any]) -> BucketAudit:
    """Return the audit of the bucket of a `kv` or `object` workload of the scenario."""
    stream = PREFIXES[workload["kind"]] + str(workload.get("bucket") or workload["name"])
    replicas = int(workload.get("replicas") or 1)
    asked = {"streams": [{"name": stream, "replicas": replicas}]}
    audit = read_audit(iteration, asked, stream)
    gone_ns = [
        event["at_ns"]
        for event in iteration.of_kind("audit.gone")
        if event.get("stream") == stream and event.get("node") is None
    ]
    tables = {
        node: _nothing() if reading.gone else iteration.stored[stream, node]
        for node, reading in sorted(audit.readings.items())
    }
    return BucketAudit(stream, replicas, audit, tables, max(gone_ns, default=0))


def _nothing() -> Columns:
    return {name: np.empty(0, dtype) for name, dtype in STORED.columns}
