from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.log import open_log


def log_failure(log: Any) -> None:
    try:
        int("x")
    except ValueError:
        log.exception("run.failed")


def test_what_is_logged_is_a_line_of_json_with_the_traceback(tmp_path: Path) -> None:
    path = tmp_path / "harness.log"
    with open_log(path) as log:
        log.info("run.judged", verdict="pass", name="n\udc80")
        log_failure(log)
    first, second = map(json.loads, path.read_text().splitlines())
    assert (first["event"], first["level"], first["verdict"]) == ("run.judged", "info", "pass")
    assert "ValueError: invalid literal" in second["exception"]


def test_a_log_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "harness.log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open_log(path) as log:
        os.close(reader)
        log_failure(log)
