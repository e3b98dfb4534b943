"""The command line as a user runs it: real processes, real servers, real signals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHORT = """
name: {name}
seed: 7
cluster: {{servers: 3}}
client: {{servers: [n1], options: {{reconnect_time_wait: 100ms, max_reconnect_attempts: -1}}}}
workloads:
  - {{name: hello, kind: core, publishers: 2, subscribers: 2, rate: 200/s, payload: 128B}}
  - {{name: ask, kind: request, requesters: 1, responders: 1, rate: 20/s, timeout: 500ms}}
phases: {{warmup: 200ms, steady: 500ms, recovery: 700ms, drain: 1s}}
faults:
  - {{name: kill-seed, action: kill, target: seed, duration: 500ms}}
thresholds:
  "lost{{phase:steady}}": ["count == 0"]
  failover_time: ["censored == 0"]
"""
MARKER = "NATS_HARNESS_TEST_MARKER"


@dataclass
class Harness:
    """Start the harness with a mark that all its descendants inherit."""

    folder: Path
    marker: str = field(default_factory=lambda: uuid.uuid4().hex)
    pids: set[int] = field(default_factory=set)

    def start(
        self, *arguments: str, planted: str | None = None, **options: Any
    ) -> subprocess.Popen[str]:
        """Start the command; code that is `planted` runs in its process before it."""
        program = ["-m", "harness"]
        if planted is not None:
            program = ["-c", f"{planted}\nfrom harness.__main__ import main\nmain()"]
        environment = {
            **os.environ,
            MARKER: self.marker,
            "COLUMNS": "120",
            **options.pop("env", {}),
        }
        process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            text=True,
            **options,
        )
        self.pids.add(process.pid)
        return process

    def run(
        self, *arguments: str, limit_s: float = 90, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, **options) as process:
            out, err = process.communicate(timeout=limit_s)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def scenario(self, text: str = SHORT, name: str = "short") -> str:
        path = self.folder / f"{name}.yaml"
        path.write_text(text.format(name=name) if "{name}" in text else text, encoding="utf-8")
        return str(path)

    def leftovers(self) -> list[str]:
        """Return the command lines of all processes that carry the mark."""
        found = []
        wanted = f"{MARKER}={self.marker}".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    found.append(f"{entry.name} {command}")
            except OSError:
                continue  # it has ended meanwhile, or is not ours to read
        return found

    def reports(self) -> list[Path]:
        return sorted((self.folder / "reports").glob("*/report.json"))

    def report(self) -> dict[str, Any]:
        (path,) = self.reports()
        loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return loaded


def eventually(condition: Callable[[], bool], limit_s: float = 20.0) -> bool:
    """Tell whether the condition comes true within the limit."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def lab_interfaces() -> list[str]:
    """Return the interfaces of this network namespace that have names as a lab gives them."""
    names = (path.name for path in Path("/sys/class/net").iterdir())
    return sorted(name for name in names if re.fullmatch(r"br-lab|v-[ng]\d+|w-in|w-out", name))
