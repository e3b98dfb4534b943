from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.scratch import PREFIX, scratch, sweep

HOLD = """
import os, sys, time
from harness.scratch import lasting_scratch
folder = lasting_scratch()
(folder / "server").write_text("x")
if "fork" in sys.argv and os.fork() == 0:
    sys.stdin.close()
    time.sleep(600)
print(folder, os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def hold(*arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLD, *arguments]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().split()[0])


def test_a_folder_goes_with_its_body_and_with_its_process(place: Path) -> None:
    with scratch() as folder:
        (folder / "file").write_text("x")
        assert folder.parent == place
    with hold() as process:
        assert (folder_of(process) / "server").exists()
        process.communicate()
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_holds_is_not(
    place: Path,
) -> None:
    with hold() as dead, hold() as alive:
        left, kept = folder_of(dead), folder_of(alive)
        dead.kill()
        dead.wait()
        assert left.exists()
        sweep()
        assert list(place.iterdir()) == [kept]
        alive.communicate()


def test_a_folder_lives_as_long_as_a_forked_child_of_its_owner() -> None:
    with hold("fork") as process:
        folder = folder_of(process)
        process.kill()
        process.wait()
        sweep()
        assert folder.exists()
        os.killpg(process.pid, 9)
    while folder.exists():  # the kernel takes a moment to bury the child
        sweep()


def test_what_only_looks_alike_stays(place: Path) -> None:
    (place / f"{PREFIX}file").write_text("not a folder")
    (place / "elsewhere").mkdir()
    (place / f"{PREFIX}link").symlink_to(place / "elsewhere")
    sweep()
    assert len(list(place.iterdir())) == 3
