"""Thousands of damaged scenarios: each is loaded or refused, and nothing else happens."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import load, loads
from harness.vocabulary import VOCABULARY

SEED = 20240607
MUTANTS = 5_000
SHIPPED_MUTANTS = 1_500
PLACED = re.compile(r"s\.yaml:[1-9][0-9]*:[1-9][0-9]*: \S")
JARGON = re.compile(
    r"Input should|pydantic|\btype=|NoneType|<class|Value error|Traceback", re.IGNORECASE
)
OTHER_VALUES = [
    "5", "-1", "0", "2.10", "1e400", ".nan", "-.inf", "true", "~", "[]", "{}", "[[1]]", "{a: b}",
    '"x"', "2020-01-01", "250ms", "3s", "500/s", "256B", "n2", "n9", "seed", "all", "*x", "&x y",
    "!!str z", "|", ">-", "'", '"', "9999999999999999999999", "é", "\U0001f600", "<<", "0x10",
    "0o7", "attached:hello", "stream-leader:S", "p99 < 3s", "count == 0", "one", "a\tb", "%", "@",
    "`", "",
]  # fmt: skip


def delete_line(lines: list[str], random: Random) -> None:
    del lines[random.randrange(len(lines))]


def repeat_line(lines: list[str], random: Random) -> None:
    index = random.randrange(len(lines))
    lines.insert(random.randrange(len(lines) + 1), lines[index])


def swap_lines(lines: list[str], random: Random) -> None:
    one, other = random.randrange(len(lines)), random.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def indent_line(lines: list[str], random: Random) -> None:
    index = random.randrange(len(lines))
    lines[index] = random.choice(["  ", " ", "\t", "- "]) + lines[index]


def outdent_line(lines: list[str], random: Random) -> None:
    index = random.randrange(len(lines))
    lines[index] = lines[index][random.randrange(1, 4) :]


def rename_key(lines: list[str], random: Random) -> None:
    index = random.randrange(len(lines))
    words = list(re.finditer(r"[a-z_]+(?=:)", lines[index]))
    if words:
        word = random.choice(words)
        name = list(word[0])
        name[random.randrange(len(name))] = random.choice("abcxyz_-é \"'")
        lines[index] = lines[index][: word.start()] + "".join(name) + lines[index][word.end() :]


def replace_value(lines: list[str], random: Random) -> None:
    index = random.randrange(len(lines))
    values = list(re.finditer(r"(?<=: )[^,}\]]+|(?<=\[)[^,\]]+", lines[index]))
    if values:
        value = random.choice(values)
        other = random.choice(OTHER_VALUES)
        lines[index] = lines[index][: value.start()] + other + lines[index][value.end() :]


def replace_character(lines: list[str], random: Random) -> None:
    index = random.randrange(len(lines))
    if lines[index]:
        at = random.randrange(len(lines[index]))
        other = random.choice("{}[]:,&*!|>'\"%@`#?-\\ \t\0\x85\ufeff\ud800x9")
        lines[index] = lines[index][:at] + other + lines[index][at + 1 :]


MUTATIONS = [
    delete_line, repeat_line, swap_lines, indent_line, outdent_line, rename_key, replace_value,
    replace_value, replace_value, replace_character,
]  # fmt: skip


def mutate(text: str, random: Random) -> str:
    lines = text.split("\n")
    for _ in range(random.randint(1, 3)):
        random.choice(MUTATIONS)(lines, random)
        lines = lines or [""]
    return "\n".join(lines)


def check_refusal(error: ScenarioError, text: str) -> None:
    lines = str(error).split("\n")
    assert all(PLACED.match(line) for line in lines), (lines, text)
    assert all(line.isprintable() for line in lines), (lines, text)
    assert not JARGON.search(str(error)), (lines, text)
    last = text.count("\n") + text.count("\r") + 2
    assert all(int(line.split(":")[1]) <= last for line in lines), (lines, text)


@pytest.fixture(scope="module")
def originals(good, read):
    block = dump_yaml(read(good).scenario)
    anchors = good.replace("phases: {", "phases: &p {").replace("config: {", "config: {<<: *c, ")
    anchors = "name: a\ndescription: &c {}\n" + anchors.split("\n", 1)[1]
    return [good, good, block, anchors]


def test_damaged_scenarios_are_loaded_or_refused_with_a_place(vocabulary, originals):
    random = Random(SEED)
    loaded = refused = 0
    for _ in range(MUTANTS):
        text = mutate(random.choice(originals), random)
        try:
            loads(text, "s.yaml", vocabulary)
            loaded += 1
        except ScenarioError as error:
            check_refusal(error, text)
            refused += 1
    assert loaded > MUTANTS // 50
    assert refused > MUTANTS // 2


def test_damaged_scenarios_that_ship_are_loaded_or_refused_with_a_place():
    random = Random(SEED)
    folder = Path(__file__).parents[2] / "scenarios"
    shipped = [path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.yaml"))]
    outcomes = set()
    for _ in range(SHIPPED_MUTANTS):
        text = mutate(random.choice(shipped), random)
        try:
            loaded = loads(text, "s.yaml", VOCABULARY)
            assert loads(dump_yaml(loaded.scenario), "dump", VOCABULARY).scenario == loaded.scenario
            outcomes.add("loaded")
        except ScenarioError as error:
            check_refusal(error, text)
            outcomes.add("refused")
    assert outcomes == {"loaded", "refused"}


def test_damaged_bytes_are_loaded_or_refused(vocabulary, good, tmp_path, monkeypatch):
    random = Random(SEED)
    monkeypatch.chdir(tmp_path)
    path = tmp_path.joinpath("s.yaml").relative_to(tmp_path)
    raw = good.encode()
    for _ in range(500):
        damaged = bytearray(raw)
        for _ in range(random.randint(1, 4)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        path.write_bytes(damaged[: random.choice([len(damaged), random.randrange(len(damaged))])])
        try:
            load(path, vocabulary)
        except ScenarioError as error:
            check_refusal(error, damaged.decode("utf-8", "replace"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["3s", "500/s", "256B", "n1", "seed", "core", "stop", "p99 < 3s", "2.12.1"]),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(
        st.text(max_size=5)
        | st.sampled_from(["name", "kind", "action", "rate", "target", "servers", "version",
                           "attach", "options", "lost", "at", "duration"]), below, max_size=4),
    max_leaves=10,
)  # fmt: skip
KEYS = ["name", "description", "seed", "repeat", "cluster", "client", "workloads", "phases",
        "faults", "thresholds"]  # fmt: skip


def flow(value) -> str:
    """Write plain data as YAML in flow style, faithfully enough for any of it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        escaped = "".join(c if c.isascii() and c.isalnum() else f"\\U{ord(c):08X}" for c in value)
        return f'"{escaped}"'
    return {None: "null", True: "true", False: "false"}.get(value, str(value))


@settings(max_examples=400, deadline=None)
@given(data=st.dictionaries(st.sampled_from(KEYS), VALUES))
def test_any_shape_of_data_is_loaded_or_refused(vocabulary, data):
    text = flow({"name": "x", "workloads": [{"name": "w", "kind": "core", "rate": "1/s"}], **data})
    try:
        loads(text, "s.yaml", vocabulary)
    except ScenarioError as error:
        check_refusal(error, text)
