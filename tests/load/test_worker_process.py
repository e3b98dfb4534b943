"""The worker process, spoken to line by line."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.history.columns import read_columns
from harness.load.plan import ClientPlan, WorkerPlan

LIMIT_S = 15.0
ARGV = [sys.executable, "-m", "harness.load.worker"]


class Talk:
    """A worker on pipes: any descriptor will do, not only the fleet's sockets."""

    def __init__(self, stderr: Path) -> None:
        self.stderr = stderr
        with stderr.open("wb") as log:
            self.process = subprocess.Popen(
                ARGV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._rest = b""

    def say(self, **message: Any) -> None:
        self.write(json.dumps(message).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def hear(self, kind: str) -> dict[str, Any]:
        """Return the next message of a kind; fail at the end of the stream."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + LIMIT_S
        while True:
            while b"\n" in self._rest:
                line, self._rest = self._rest.split(b"\n", 1)
                message = json.loads(line)
                if message["type"] == kind:
                    return dict(message)
            readable, _, _ = select.select(
                [self.process.stdout], [], [], max(0.0, deadline - time.monotonic())
            )
            assert readable, f"no {kind} in time"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"ended before {kind}: {self.stderr.read_text()}"
            self._rest += data

    def hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def end(self) -> int:
        return self.process.wait(LIMIT_S)

    def dispose(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def talk(tmp_path: Path) -> Iterator[Callable[[], Talk]]:
    with ExitStack() as ends:

        def begin() -> Talk:
            worker = Talk(tmp_path / "worker.log")
            ends.callback(worker.dispose)
            return worker

        yield begin


def plan_of(tmp_path: Path, *clients: ClientPlan, **more: Any) -> dict[str, Any]:
    plan = WorkerPlan("w", 7, str(tmp_path / "w.columns"), clients, **more)
    return dict(json.loads(plan.to_json()))


def test_it_says_ready_with_its_library_and_all_options(talk, tmp_path: Path) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path, options={"ping_interval": 0.5}, user="u", password="hunter2"))
    ready = worker.hear("ready")
    assert ready["adapter"]["name"] == "nats-py"
    assert ready["adapter"]["options"]["ping_interval"] == 0.5
    assert ready["adapter"]["options"]["max_outstanding_pings"] == 2
    assert "hunter2" not in json.dumps(ready)
    assert ready["pid"] == worker.process.pid


def test_it_finishes_whenever_it_is_told_to(talk, tmp_path: Path) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path))
    worker.say(type="finish")
    assert worker.hear("done")["rows"] == {"sent": 0, "delivered": 0}
    assert worker.end() == 0
    assert read_columns(tmp_path / "w.columns").complete


def test_the_end_of_its_input_ends_it(talk, tmp_path: Path) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path))
    worker.hear("ready")
    worker.hang_up()
    assert worker.end() == 1
    assert not read_columns(tmp_path / "w.columns").complete


def test_it_tells_its_figures_while_nothing_happens(talk, tmp_path: Path) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path))
    stats = worker.hear("stats")
    assert {stats[name] for name in ("attempted", "accepted", "delivered", "in_flight")} == {0}
    assert stats["max_lag_s"] >= 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"hello\n", "not a JSON object"),
        (b"[1]\n", "not a JSON object"),
        (b'{"type": "connect"}\n', "'connect' is unknown or came out of turn"),
        (b'{"type": "plan", "protocol": 9}\n', "speaks protocol 1, the plan is for 9"),
        (b'{"type": "plan", "protocol": 1}\n', "the plan lacks 'worker'"),
    ],
)
def test_what_it_does_not_understand_ends_it_with_one_clear_line(talk, line, message) -> None:
    worker = talk()
    worker.write(line)
    error = worker.hear("error")["message"]
    assert message in error
    assert "\n" not in error
    assert worker.end() == 1


def test_a_second_plan_is_out_of_turn(talk, tmp_path: Path) -> None:
    worker = talk()
    for _ in range(2):
        worker.say(**plan_of(tmp_path))
    assert "out of turn" in worker.hear("error")["message"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"ping_intervall": 1.0}}, "has no client option 'ping_intervall'"),
        ({"options": {"user": "joe"}}, "has no client option 'user'"),
        ({"adapter": "nats.js"}, "there is no adapter 'nats.js'; there is nats-py"),
    ],
)
def test_a_plan_it_cannot_follow_ends_it_with_the_reason(
    talk, tmp_path: Path, change, message
) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path) | change)
    assert message in worker.hear("error")["message"]
    assert worker.end() == 1


def test_columns_that_cannot_be_opened_end_it_with_the_reason(talk, tmp_path: Path) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path) | {"columns": str(tmp_path / "missing" / "w")})
    assert "cannot write the message columns" in worker.hear("error")["message"]
    assert worker.end() == 1


def test_ctrl_c_does_not_end_it(talk, tmp_path: Path) -> None:
    worker = talk()
    worker.say(**plan_of(tmp_path))
    worker.hear("ready")
    worker.process.send_signal(signal.SIGINT)
    worker.say(type="finish")
    worker.hear("done")
    assert worker.end() == 0


def test_a_server_that_is_not_there_is_named(talk, tmp_path: Path, server) -> None:
    server.signal(signal.SIGKILL)
    client = ClientPlan(0, "p-1", "subscriber", "w", "w", (server.url,), "s", senders=())
    options = {"allow_reconnect": False}
    worker = talk()
    worker.say(**plan_of(tmp_path, client, options=options | {"max_reconnect_attempts": 1}))
    worker.hear("ready")
    worker.say(type="connect")
    error = worker.hear("error")["message"]
    assert f"p-1 could not connect to {server.address}" in error
    assert "refused" in error.lower()
    assert worker.end() == 1


def test_it_imports_nothing_heavy() -> None:
    script = (
        "import sys, harness.load.worker\n"
        "print([m for m in ('pydantic', 'numpy', 'typer', 'rich', 'nats', 'anyio') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
