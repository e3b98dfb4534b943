"""The package as it is installed: its wheel, where no checkout can be imported."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from type_check import type_check

ROOT = Path(__file__).parent.parent.parent
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of a new environment that has the wheel; the rest it takes from here."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    made = ["wheel", *options, "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *made], check=True, timeout=100)
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    (wheel,) = folder.glob("nats_harness-*.whl")
    subprocess.run(
        [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)],
        check=True,
        timeout=100,
    )
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # A folder named in a .pth file has no .pth files of its own heeded: the checkout stays away.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def execute(
    python: Path, folder: Path, *arguments: str, limit_s: float = 100
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def test_scenarios_schema_and_types_come_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    home = installed.parent.parent
    done = execute(
        installed,
        tmp_path,
        "-c",
        "import harness, harness.shipped as s; print(harness.__file__, s.scenarios_folder(),"
        "harness.load('seed-failover').name)",
    )
    code, scenarios, name = done.stdout.split()
    assert Path(code).is_relative_to(home), done.stderr
    assert Path(scenarios).is_relative_to(home)
    assert name == "seed-failover"
    assert Path(code).with_name("py.typed").exists()
    command = installed.with_name("nats-harness")
    listed = execute(command, tmp_path, "list")
    assert "seed-failover" in listed.stdout
    schema = json.loads(execute(command, tmp_path, "schema", "report").stdout)
    assert schema == json.loads((ROOT / "reports" / "schema" / "report-v1.json").read_text())


@pytest.mark.parametrize("text", blocks("library.md"), ids=lambda text: text.splitlines()[-1])
def test_the_blocks_about_the_library_run_as_they_stand(
    text: str, installed: Path, tmp_path: Path
) -> None:
    path = tmp_path / "block.py"
    path.write_text(text, encoding="utf-8")
    done = execute(installed, tmp_path, "-W", "error", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    if "did you mean 'seed'" in text:
        assert text.rpartition("# ")[2].strip() == done.stdout.strip()


def test_the_blocks_about_the_library_are_typed(installed: Path, tmp_path: Path) -> None:
    for index, text in enumerate(blocks("library.md")):
        (tmp_path / f"block{index}.py").write_text(text, encoding="utf-8")
    done = type_check(tmp_path, str(installed))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.lab
def test_the_blocks_about_pytest_pass_as_they_stand(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI, encoding="utf-8")
    texts = blocks("pytest.md")
    for index, text in enumerate(texts):
        (tmp_path / f"test_block{index}.py").write_text(text, encoding="utf-8")
    done = execute(installed, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert re.search(rf"^{len(texts) + 1} passed", done.stdout, re.MULTILINE), done.stdout
    assert done.returncode == 0, done.stderr
