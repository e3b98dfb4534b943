"""The scenarios that ship and the words of this release, through the loader."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest
from jsonschema import Draft202012Validator

from harness.cluster.targets import choose
from harness.scenario.dump import dump_yaml
from harness.scenario.load import load, loads
from harness.scenario.reading import read_tree
from harness.scenario.schema import scenario_schema
from harness.scenario.targets import SELECTIONS, quota
from harness.scenario.tree import to_plain
from harness.shipped import shipped_scenarios
from harness.vocabulary import VOCABULARY

SHIPPED = sorted(shipped_scenarios().values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_scenario_loads_without_a_warning_and_survives_a_dump(path):
    loaded = load(path, VOCABULARY)
    assert loaded.warnings == ()
    text = dump_yaml(loaded.scenario, reveal=True)
    assert loads(text, "dump", VOCABULARY).scenario == loaded.scenario


def test_every_whole_number_has_a_bound():
    def unbounded(schema, path):
        if isinstance(schema, list):
            return [one for item in schema for one in unbounded(item, path)]
        if not isinstance(schema, dict):
            return []
        found = [one for key, item in schema.items() for one in unbounded(item, (*path, key))]
        return (
            [*found, path] if schema.get("type") == "integer" and "maximum" not in schema else found
        )

    names = {path[-2] for path in unbounded(scenario_schema(VOCABULARY), ())}
    assert names == {"block"}  # of a file that is damaged: there, or it cannot be done


def test_shipped_scenarios_and_their_dumps_fit_the_schema():
    schema = scenario_schema(VOCABULARY)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert SHIPPED
    for path in SHIPPED:
        scenario = load(path, VOCABULARY).scenario
        for text in (path.read_text(encoding="utf-8"), dump_yaml(scenario)):
            root = read_tree(text).root
            assert root is not None
            assert [error.message for error in validator.iter_errors(to_plain(root))] == []


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize("count", SELECTIONS)
def test_what_is_promised_before_the_run_is_what_is_drawn_in_it(size, count):
    names = [f"n{index}" for index in range(size)]
    assert len(choose(names, count, Random(1))) == quota(count, size)


def test_the_words_of_this_release_are_light_to_import():
    code = (
        "import sys, harness.vocabulary, harness.scenario.load\n"
        "print(sorted({'numpy', 'nats', 'typer', 'docker'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
