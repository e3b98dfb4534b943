from __future__ import annotations

import json
import re

from command_line import Harness


def test_a_run_leaves_a_page_that_says_what_its_report_says(harness: Harness) -> None:
    result = harness.run("run", harness.scenario(), "--quiet")
    (path,) = harness.reports()
    page = path.with_name("report.html")
    assert result.stdout.splitlines()[-2:] == [str(page), str(path)]
    text, report = page.read_text(encoding="utf-8"), harness.report()
    assert f'<section class="hero {report["verdict"]}"' in text
    (embedded,) = re.findall(r'id="figure-0">(.*?)</script>', text)
    figure = json.loads(embedded)
    marks = [trace["customdata"] for trace in figure["data"] if trace["name"] == "lost"]
    assert sum(map(sum, marks)) == report["iterations"][0]["messages"]["lost"]
    gone = [
        one for trace in figure["data"] if trace["name"] == "disconnected" for one in trace["base"]
    ]
    told = [
        round(one["at"], 6)
        for client in report["iterations"][0]["clients"]
        for one in client["disconnects"]
        if one["sign"] not in (None, "silence")
    ]
    assert told
    assert sorted(gone) == sorted(told)


def test_a_page_that_cannot_be_made_changes_neither_verdict_nor_exit_code(
    harness: Harness,
) -> None:
    broken = harness.folder / "broken" / "jinja2"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('out of ink')", encoding="utf-8")
    result = harness.run(
        "run", harness.scenario(), "--quiet", env={"PYTHONPATH": str(broken.parent)}
    )
    (path,) = harness.reports()
    assert result.returncode == harness.report()["exit_code"]
    assert "warning" in result.stderr
    assert "out of ink" in result.stderr
    assert result.stdout.splitlines()[-1] == str(path)
    assert not path.with_name("report.html").exists()
