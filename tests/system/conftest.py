from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Harness, eventually


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    started = Harness(tmp_path)
    yield started
    assert eventually(lambda: not started.leftovers()), started.leftovers()


@pytest.fixture
def make_harness(tmp_path: Path) -> Callable[[str], Harness]:
    def make(name: str) -> Harness:
        folder = tmp_path / name
        folder.mkdir()
        return Harness(folder)

    return make
