from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from harness.campaign import matrix
from harness.campaign.conduct import Conducted
from harness.errors import ReportError


def test_the_table_is_printed_where_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "matrix.json"

    def conduct(*_: object, on_begin: Callable[[], None]) -> Conducted:
        on_begin()
        assert json.loads(table.read_text())["whole"] is False
        table.unlink()
        table.mkdir()  # nothing can be written there any more
        return Conducted((), interrupted=False)

    monkeypatch.setattr(matrix, "lay_out", lambda *_: [])
    monkeypatch.setattr(matrix, "conduct", conduct)
    console = Console(file=io.StringIO(), record=True)
    with pytest.raises(ReportError, match=r"cannot write .*matrix\.json"):
        matrix.matrix_command([], {}, repeat=1, jobs=1, folder=tmp_path, console=console)
    assert console.export_text().startswith("scenario")
