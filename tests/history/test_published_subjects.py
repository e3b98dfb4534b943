"""What workloads published on, where the scenario leaves it out."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from harness.history.subjects import published_subjects
from harness.scenario.dump import dump_yaml
from harness.scenario.load import loads
from harness.vocabulary import VOCABULARY

SCENARIO = """\
name: x
cluster: {{servers: 3, jetstream: true}}
streams: [{{name: ORDERS{subjects}}}]
workloads:
  - {{name: one, kind: jetstream, stream: ORDERS{subject}}}
  - {{name: hello, kind: core}}
  - {{name: other, kind: core, subject: far.away}}
"""


@pytest.mark.parametrize(
    ("subjects", "subject", "published"),
    [
        ("", "", "orders"),
        (', subjects: ["o.>"]', "", "o.one"),
        (', subjects: ["o.*.x", "p"]', "", "o.one.x"),
        (', subjects: ["o.>"]', ", subject: o.a", "o.a"),
    ],
)
def test_a_stored_scenario_names_the_subjects_that_clients_were_given(
    subjects: str, subject: str, published: str
) -> None:
    text = SCENARIO.format(subjects=subjects, subject=subject)
    scenario = loads(text, "s.yaml", VOCABULARY).scenario
    stored = YAML(typ="safe").load(dump_yaml(scenario))
    found = published_subjects(stored)
    assert found == {one.name: one.subject_among(scenario.streams) for one in scenario.workloads}
    assert found == {"one": published, "hello": "hello", "other": "far.away"}


def test_nobody_knows_the_default_of_a_stream_that_the_scenario_does_not_have() -> None:
    workloads = [
        {"name": "a", "stream": "S", "subject": None},
        {"name": "b", "stream": "S", "subject": "s.b"},
    ]
    assert published_subjects({"workloads": workloads}) == {"b": "s.b"}
