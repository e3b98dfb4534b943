from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "harness"

BASE = {"errors", "clock", "units", "scopes", "scratch", "plain", "files"}
DATA = BASE | {"scenario", "history", "cluster"}
MAY_IMPORT = {
    "errors": set(),
    "clock": set(),
    "units": set(),
    "plain": set(),
    "files": {"errors"},
    "scopes": {"errors"},
    "scratch": set(),
    "signals": set(),
    "log": BASE,
    "scenario": BASE,
    "history": BASE | {"scenario"},
    "cluster": BASE | {"scenario"},
    "stats": BASE,
    "load": DATA,
    "engine": {"errors"},
    "inspection": BASE | {"engine", "signals"},
    "backends": DATA | {"engine"},
    "faults": DATA,
    "workloads": DATA | {"load"},
    "checks": DATA | {"stats"},
    "report": DATA | {"stats", "checks", "shipped"},
    "comparison": BASE | {"scenario", "stats", "report"},
    "live": DATA | {"progress"},
    "pages": DATA | {"stats", "checks", "report", "comparison"},
    "shipped": BASE,
    "vocabulary": {"scenario", "faults", "workloads"},
    "observation": DATA | {"load", "provision"},
    "hosting": DATA
    | {"backends", "faults", "injection", "load", "observation", "preparation", "scratch"},
}
SIBLINGS = ("faults", "workloads", "checks")


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "harness" and len(parts) > 1 else None


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down_the_layers(path: Path) -> None:
    layer = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if layer not in MAY_IMPORT:
        return  # what composes may import everything
    allowed = MAY_IMPORT[layer] | {layer, "__version__"}
    layers = {layer_of(module) for module in imports_of(path)}
    used = {layer for layer in layers if layer is not None}
    assert used <= allowed, f"{path.name} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_adapters_import_the_nats_client(path: Path) -> None:
    uses_nats = any(module.split(".")[0] == "nats" for module in imports_of(path))
    assert not uses_nats or path.parent.name == "adapters"


@pytest.mark.parametrize("package", SIBLINGS)
def test_one_fault_workload_or_check_knows_no_other(package: str) -> None:
    folder = PACKAGE / package
    shared = {"base", "shaped", "jetstream", "storage", "__init__"}
    for path in folder.glob("*.py"):
        if path.stem in shared:
            continue
        others = {p.stem for p in folder.glob("*.py")} - shared - {path.stem}
        used = {
            module.split(".")[2]
            for module in imports_of(path)
            if module.startswith(f"harness.{package}.") and module.count(".") >= 2
        }
        assert not used & others, f"{path.name} imports its siblings {sorted(used & others)}"


def test_the_import_reader_sees_an_upward_import(tmp_path: Path) -> None:
    module = tmp_path / "bad.py"
    module.write_text("from harness.runner import execute\n", encoding="utf-8")
    assert {layer_of(name) for name in imports_of(module)} == {"runner"}
