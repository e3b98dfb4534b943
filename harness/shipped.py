"""What ships beside the code: scenarios and schemas, in a wheel as in a checkout."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parent
COMPOSE = "compose"
REGRESSIONS = "regressions"


def scenarios_folder() -> Path:
    """Return the folder of the scenarios that ship."""
    packed = _PACKAGE / "data" / "scenarios"
    return packed if packed.is_dir() else _CHECKOUT / "scenarios"


def shipped_scenarios() -> dict[str, Path]:
    """Return the shipped scenarios: name (the file's, without .yaml) to path.

    Compose files that scenarios name lie in folders called `COMPOSE` beside them.
    """
    found = sorted(scenarios_folder().rglob("*.yaml"))
    return {path.stem: path for path in found if path.parent.name != COMPOSE}


def is_regression(path: Path) -> bool:
    """Tell whether a shipped scenario is of a published finding: it fails where that is found."""
    return path.parent.name == REGRESSIONS


def find_scenario(text: str) -> Path:
    """Return the path for a path or the name of a shipped scenario; UsageError for neither."""
    path = Path(text)
    if path.exists() or path.suffix in (".yaml", ".yml") or "/" in text:
        return path
    shipped = shipped_scenarios()
    if text in shipped:
        return shipped[text]
    raise UsageError(
        f"{text}: neither a file nor a shipped scenario; shipped are {', '.join(shipped)}"
    )
