"""What the README shows is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.faults import FAULTS
from harness.scenario.metrics import METRICS
from harness.shipped import shipped_scenarios
from harness.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_fault_in_the_readme_is_the_file() -> None:
    assert (ROOT / "harness" / "faults" / "kill.py").read_text(encoding="utf-8") in README


@pytest.mark.parametrize("name", [*FAULTS, *WORKLOADS, *METRICS, *shipped_scenarios()])
def test_every_name_is_explained(name: str) -> None:
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target


def test_nothing_is_left_to_fill_in() -> None:
    assert "<!--" not in README
