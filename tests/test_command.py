from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

import pytest

from harness import cli
from harness.errors import EXIT_INCONCLUSIVE, EXIT_USAGE, ServerError


def end_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> int:
    """Return the exit code of a command that ends with an error."""

    def run(**_: object) -> int:
        raise error

    monkeypatch.setattr(cli, "app", run)
    return cli.command()


@pytest.mark.parametrize(
    "error", [TypeError("what\nis this"), ExceptionGroup("several", [ValueError("x")])]
)
def test_a_defect_is_one_line_and_no_verdict(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert end_with(monkeypatch, error) == EXIT_INCONCLUSIVE
    said = capsys.readouterr().err
    assert said.startswith("nats-harness: a defect of the harness, please report it: ")
    assert said.count("\n") == 1
    found = re.search(r"Traceback: (.*)$", said)
    assert found is not None
    assert "Traceback (most recent call last)" in Path(found[1]).read_text()


def test_a_defect_is_told_whole_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert end_with(monkeypatch, TypeError("x")) == EXIT_INCONCLUSIVE
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said", "code"),
    [
        (PermissionError(13, "Permission denied", "a.yaml"), "a.yaml: Permission denied", 2),
        (OSError(28, "No space left on device"), "cannot print: No space left on device", 2),
        (ServerError("n1 did not start"), "n1 did not start", 3),
    ],
)
def test_what_the_system_refuses_is_said_of_the_file_it_was_refused_of(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    said: str,
    code: int,
) -> None:
    assert end_with(monkeypatch, error) == code
    assert capsys.readouterr().err == f"nats-harness: {said}\n"


def test_where_nobody_can_be_told_the_exit_code_still_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    assert end_with(monkeypatch, OSError(28, "No space left on device")) == EXIT_USAGE
