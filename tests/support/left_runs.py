"""Run folders as real runs leave them, from stories."""

from __future__ import annotations

import json
from pathlib import Path

from ruamel.yaml import YAML
from story import Story, tell

from harness.checks import judge
from harness.checks.base import Verdict
from harness.history.columns import ColumnsWriter
from harness.history.model import History
from harness.history.tables import DELIVERED, SENT


def leave_run(folder: Path, *stories: Story) -> History:
    """Leave a run folder as a real run does and return the same history from memory."""
    history = tell(list(stories), run_id="x")
    with (folder / "scenario.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump(dict(history.scenario), file)
    lines = [json.dumps(event) for event in history.events]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for story in stories:
        messages = folder / "messages" / str(story.index)
        messages.mkdir(parents=True)
        for worker, columns in story.columns().items():
            with ColumnsWriter(messages / f"{worker}.columns") as writer:
                for table, told in ((SENT, columns.sent), (DELIVERED, columns.delivered)):
                    writer.append_block(table, [told[name] for name, _ in table.columns])
    return history


def problems(history: History) -> set[str]:
    """Return what judges found that did not pass."""
    return {one.detail for one in judge(history).findings if one.verdict is not Verdict.PASS}
