# ruff: noqa: ISC004 - the tables wrap long messages, one tuple a case
from __future__ import annotations

import re
import subprocess
import sys

import pytest

from harness.errors import EXIT_USAGE, ScenarioError
from harness.scenario.load import MAX_PROBLEMS, load


def test_a_good_scenario_loads_with_units_read(read, good):
    scenario = read(good).scenario
    assert scenario.workloads[0].rate == 500.0
    assert scenario.workloads[0].payload == 256
    assert scenario.faults[0].duration == 4.0
    assert scenario.phases.steady == 3.0
    assert scenario.cluster.nodes == ("n1", "n2", "n3")


def test_the_source_is_kept(read, good):
    assert read(good).source == "s.yaml"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("duration: 4s", "duration: 5", "19:69: faults[0].duration: expected a duration with its "
         "unit, such as 250ms, 3s or 2m, found 5"),
        ("duration: 4s", "duratoin: 4s", "19:59: faults[0].duratoin: unknown key "
         "(did you mean 'duration'?)"),
        ("action: stop", "action: stopp", "19:31: faults[0].action: unknown action 'stopp' "
         "(did you mean 'stop'?)"),
        ("action: stop", "action: lame_duck", "19:31: faults[0].action: unknown action 'lame_duck' "
         "(did you mean 'lame-duck'?)"),
        ("action: stop, ", "", "19:5: faults[0].action: this key is missing; expected one of stop, "
         "pause, lame-duck, rolling-restart, delay, random"),
        ("action: stop", "action: [stop]", "19:31: faults[0].action: expected one of stop, pause, "
         "lame-duck, rolling-restart, delay, random, found a list"),
        ("kind: core", "kind: cores", "15:25: workloads[0].kind: unknown kind 'cores' "
         "(did you mean 'core'?)"),
        ("rate: 500/s", "rate: 500", "15:68: workloads[0].rate: expected a rate with its unit, "
         "such as 500/s or 30/m, found 500"),
        ("rate: 500/s", "rate: 0/s", "15:68: workloads[0].rate: expected a rate of at least 1/h, "
         "found '0/s'"),
        (" rate: 500/s,", "", "15:5: workloads[0].rate: this key is missing"),
        ("payload: 256B", "payload: 256", "15:84: workloads[0].payload: expected a size with its "
         "unit, such as 256B, 4KiB or 1MB, found 256"),
        ("payload: 256B", "payload: 0.5B", "15:84: workloads[0].payload: expected a whole number "
         "of bytes, found '0.5B'"),
        ("payload: 256B", "payload: 9999999999GiB", "15:84: workloads[0].payload: expected a size "
         "of at most 1GiB, found '9999999999GiB'"),
        ("publishers: 2", "publishers: 0", "15:43: workloads[0].publishers: expected a value of at "
         "least 1, found 0"),
        ("publishers: 2", 'publishers: "2"', "15:43: workloads[0].publishers: expected a whole "
         "number, found '2' (without quotes)"),
        ("publishers: 2", "publishers: true", "15:43: workloads[0].publishers: expected a whole "
         "number, found true"),
        ("servers: 3", "servers: 99", "6:12: cluster.servers: expected a value of at most 25, "
         "found 99"),
        ("servers: 3", "servers: 3.0", "6:12: cluster.servers: expected a whole number, found 3.0"),
        ("servers: 3", "servers:", "6:10: cluster.servers: expected a whole number, found nothing"),
        ("version: bundled", "version: 2.10", "7:12: cluster.version: expected text or a mapping, "
         "found 2.10 (quote it)"),
        ("version: bundled", "version: {n1: 2.10}", "7:17: cluster.version.n1: expected text, "
         "found 2.10 (quote it)"),
        ("jetstream: false", "jetstream: no", "8:14: cluster.jetstream: expected true or false or "
         "a mapping, found 'no'"),
        ("jetstream: false", "jetstream: {sync_interval: 5}", "8:30: cluster.jetstream."
         "sync_interval: expected 'always' or a duration with its unit, such as 250ms, 3s or 2m, "
         "found 5"),
        ("jetstream: false", "jetstream: {sync: always}", "8:15: cluster.jetstream.sync: unknown "
         "key (did you mean 'sync_interval'?)"),
        ("adapter: nats-py", "adapter: nats_py", "11:12: client.adapter: expected 'nats-py', found "
         "'nats_py' (did you mean 'nats-py'?)"),
        ("servers: [n1]", "servers: []", "12:12: client.servers: expected a list with a length of "
         "at least 1, found 0"),
        ("servers: [n1]", "servers: n1", "12:12: client.servers: expected a list, found 'n1'"),
        ("target: seed", "target: 5", "19:45: faults[0].target: expected text or a list, found 5 "
         "(quote it)"),
        ("target: seed", "target: [n1, 2]", "19:50: faults[0].target[1]: expected text, found 2 "
         "(quote it)"),
        ("target: seed", "target: seed, count: som", "19:58: faults[0].count: expected 'one', "
         "'minority', 'majority' or 'all', found 'som'"),
        ("name: seed-failover", "name: Seed failover", "1:7: name: expected a name of lower-case "
         "letters, digits, '.', '_' and '-' that begins and ends with a letter or digit, found "
         "'Seed failover'"),
        ("name: seed-failover", "name: 5", "1:7: name: expected text, found 5 (quote it)"),
        ("description: Stop the seed.", "description: [x]", "2:14: description: expected text, "
         "found a list"),
        ("seed: 42", "seed: -1", "3:7: seed: expected a value of at least 0, found -1"),
        ("seed: 42", "sed: 42", "3:1: sed: unknown key (did you mean 'seed'?)"),
        ("warmup: 1s", "warmup: 25h", "17:18: phases.warmup: expected a duration of at most 24h, "
         "found '25h'"),
        ("warmup: 1s", "warmup: 1s, warmup: 1s", "17:22: phases.warmup: this key is given twice in "
         "the same mapping"),
        ("warmup: 1s", "warmup: -1s", "17:18: phases.warmup: expected a duration with its unit, "
         "such as 250ms, 3s or 2m, found '-1s'"),
        ("warmup: 1s", "warmup: 1 s", "17:18: phases.warmup: expected a duration with its unit, "
         "such as 250ms, 3s or 2m, found '1 s'"),
        ('["ratio < 1%"]', '"ratio < 1%"', "22:9: thresholds.lost: expected a list, found "
         "'ratio < 1%'"),
        ("max_payload: 1048576", "max_payload: .inf", "9:25: cluster.config.max_payload: expected "
         "a finite number, found .inf"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_in_one_line(refusals, edited, old, new, line):
    assert refusals(edited((old, new))) == [f"s.yaml:{line}"]


def test_every_problem_is_told_in_the_order_of_the_file(refusals, edited):
    lines = refusals(
        edited(("seed: 42", "sed: 42"), ("servers: 3", "servers: x"), ("rate: 500/s", "rate: 5"),
               ("duration: 4s", "duration: 4"), ("p99 < 3s", "p98 < 3s"))
    )  # fmt: skip
    assert [line.split(": ")[1] for line in lines] == [
        "sed", "cluster.servers", "workloads[0].rate", "faults[0].duration",
    ]  # fmt: skip


def test_a_rule_is_checked_beside_an_unrelated_problem(refusals, edited):
    lines = refusals(edited(("seed: 42", "sed: 42"), ("publishers: n1", "publishers: n9")))
    assert len(lines) == 2
    assert "unknown node 'n9'" in lines[1]


def test_a_section_that_is_wrong_does_not_cause_more_complaints_elsewhere(refusals, edited):
    lines = refusals(edited(("servers: 3", "servers: x"), ("target: seed", "target: n2")))
    assert len(lines) == 1


def test_the_number_of_lines_is_bounded(refusals, good):
    lines = refusals(good + "".join(f"x{n}: 1\n" for n in range(100)))
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1].endswith("and 80 more from here on")
    assert re.match(r"s\.yaml:\d+:\d+: ", lines[-1])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", "1:1: expected a mapping with keys such as name and workloads, found a list"),
        ("hello\n", "1:1: expected a mapping with keys such as name and workloads, found 'hello'"),
        ("5\n", "1:1: expected a mapping with keys such as name and workloads, found 5"),
        ("~\n", "1:1: expected a mapping with keys such as name and workloads, found nothing"),
        ("", "1:1: the scenario is empty"),
    ],
)
def test_a_document_that_is_no_mapping_is_refused(refusals, text, line):
    assert refusals(text) == [f"s.yaml:{line}"]


def test_what_is_missing_at_the_top_is_named(refusals):
    assert refusals("seed: 1\n") == [
        "s.yaml:1:1: name: this key is missing",
        "s.yaml:1:1: workloads: this key is missing",
    ]


@pytest.mark.parametrize("value", ["~", "5", "{a: 1}", "x"])
def test_steps_that_are_no_list_are_refused(refusals, good, value):
    head = good[: good.index("faults:")]
    (line,) = refusals(f"{head}faults: {value}\n")
    assert "faults: expected a list, found" in line


def test_a_step_that_is_no_mapping_is_refused(refusals, good):
    head = good[: good.index("faults:")]
    assert "faults[0]: expected a mapping, found 5" in refusals(f"{head}faults: [5]\n")[0]


def test_the_number_of_steps_is_bounded(refusals, good):
    head = good[: good.index("faults:")]
    steps = "".join(f"  - {{name: f{n}, action: delay, by: 1s}}\n" for n in range(501))
    (line,) = refusals(f"{head}faults:\n{steps}")
    assert line.endswith("faults: expected a list with a length of at most 500, found 501")


def test_no_workload_at_all_is_refused(refusals):
    (line,) = refusals("name: x\nworkloads: []\n")
    assert line == ("s.yaml:2:12: workloads: expected a list with a length of at least 1, found 0")


def test_a_secret_is_never_repeated(refusals, edited):
    text = edited(
        ("jetstream: false", "authorization: {user: [u], password: 90210}"),
        ("servers: [n1]", "servers: [n1]\n  password: hunter2"),
    )
    message = "\n".join(refusals(text))
    assert (
        "cluster.authorization.password: expected text, found a value that is not shown" in message
    )
    assert "90210" not in message
    assert "hunter2" not in message


def test_odd_keys_stay_on_one_line(refusals, good):
    (line,) = refusals(good + '"a\\nb\\u2028c": 1\n')
    assert "'a\\nb\\u2028c': unknown key" in line


def test_a_long_value_is_shortened(refusals, edited):
    (line,) = refusals(edited(("duration: 4s", f"duration: {'x' * 5000}")))
    assert len(line) < 300


def test_an_alias_is_placed_where_it_was_written(refusals, good):
    text = good.replace("  - {name: stop-seed", "  - &f {name: stop-seed") + "x: *f\n"
    (line,) = refusals(text)
    assert line.startswith("s.yaml:24:1: x: unknown key (known: name, description, seed, repeat, ")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, vocabulary, good):
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + good.encode())
    assert load(path, vocabulary).scenario.name == "seed-failover"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"name: x\ndescription: caf\xe9\n", ":2:17: expected UTF-8 text, found the byte 0xE9"),
        (b"\xff\xfen\x00a\x00", ":1:1: expected UTF-8 text, found the byte 0xFF"),
        (b"name: \x00\n", ":1:7: a scenario cannot hold the character U+0000"),
        (b"#" * (1024 * 1024 + 1), ":1:1: a scenario has at most 1048576 bytes"),
        (b"", ":1:1: the scenario is empty"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_place(tmp_path, vocabulary, raw, expected):
    path = tmp_path / "raw.yaml"
    path.write_bytes(raw)
    with pytest.raises(ScenarioError) as caught:
        load(path, vocabulary)
    assert str(caught.value) == f"{path}{expected}"
    assert caught.value.exit_code == EXIT_USAGE


def test_a_file_that_cannot_be_read_is_named(tmp_path, vocabulary):
    missing = tmp_path / "no.yaml"
    with pytest.raises(ScenarioError, match=r"no\.yaml: cannot be read: No such file"):
        load(missing, vocabulary)
    with pytest.raises(ScenarioError, match="cannot be read: Is a directory"):
        load(tmp_path, vocabulary)
    with pytest.raises(ScenarioError, match="cannot be read: embedded null byte"):
        load(tmp_path / "a\0b", vocabulary)


def test_a_file_name_with_a_line_break_stays_on_one_line(tmp_path, vocabulary):
    path = tmp_path / "a\nb.yaml"
    path.write_text("5")
    with pytest.raises(ScenarioError) as caught:
        load(path, vocabulary)
    assert len(str(caught.value).splitlines()) == 1


def test_loading_imports_nothing_heavy():
    code = (
        "import sys, harness.scenario.load\n"
        "heavy = {'numpy', 'nats', 'typer', 'rich', 'docker', 'pyroute2', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
