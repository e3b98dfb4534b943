"""What is said of a server that ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.backends.server_log import explain_exit, last_error, tail
from harness.cluster.protocols import Address, Endpoints

ENDPOINTS = Endpoints(*(Address("127.0.0.1", port) for port in (4222, 6222, 8222)))


def test_only_the_last_lines_are_read(tmp_path: Path) -> None:
    log = tmp_path / "n1.log"
    log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(10_000)))
    lines = tail(log)
    assert len(lines) == 10
    assert lines[-1] == "line 9999 \ufffd"
    assert tail(tmp_path / "none") == []


@pytest.mark.parametrize(
    ("returncode", "said"),
    [
        (1, "n1 exited with status 1"),
        (-9, "n1 was ended by SIGKILL"),
        (-99, "n1 was ended by signal 99"),
        (None, "n1 was never started"),
    ],
)
def test_how_it_ended_is_said(returncode: int | None, said: str, tmp_path: Path) -> None:
    empty = explain_exit("n1", returncode, tmp_path / "none", ENDPOINTS)
    assert empty == f"{said}; its log is empty"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("listen tcp 127.0.0.1:4222: bind: address already in use", "4222 (client port): it is"),
        ("listen tcp 127.0.0.1:8222: bind: address already in use", "8222 (monitoring port): it"),
        ("listen tcp 127.0.0.1:7422: bind: address already in use", "7422: it is taken"),
    ],
)
def test_a_taken_port_is_named(line: str, said: str, tmp_path: Path) -> None:
    log = tmp_path / "n1.log"
    log.write_text(f"[1] [FTL] Error listening: {line}\n")
    text = explain_exit("n1", 1, log, ENDPOINTS)
    assert said in text.splitlines()[0]
    assert text.splitlines()[-1].endswith(line)


def test_the_last_words_hold_no_login(tmp_path: Path) -> None:
    log = tmp_path / "n1.log"
    log.write_text("[1] [ERR] no route to nats://u:SECRET@n1:1\n[1] [FTL] bad\n")
    text = explain_exit("n1", 1, log, ENDPOINTS)
    assert text.endswith("no route to nats://***@n1:1\n  [1] [FTL] bad")
    assert "SECRET" not in text


def test_the_last_error_is_told_without_time_and_secrets(tmp_path: Path) -> None:
    log = tmp_path / "n1.log"
    assert last_error(log) == ""
    log.write_text(
        "[1] 2026/11/23 09:00:00.1 [ERR] first\n"
        "[1] 2026/11/23 09:00:00.2 [ERR] no route to nats://u:SECRET@n1:1\n"
        "[1] 2026/11/23 09:00:00.3 [INF] fine\n"
    )
    assert last_error(log) == "no route to nats://***@n1:1"
    log.write_text("[1] 2026/11/23 09:00:00.3 [INF] fine\n")
    assert last_error(log) == ""
