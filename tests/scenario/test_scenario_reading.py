from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.scenario.problems import Position
from harness.scenario.reading import MAX_DEPTH, MAX_NODES, position_of, read_tree, resolve
from harness.scenario.tree import to_plain


def plain(text: str):
    reading = read_tree(text)
    assert reading.problems == ()
    assert reading.root is not None
    return to_plain(reading.root)


def problem(text: str) -> str:
    problems = read_tree(text).problems
    assert problems, "expected a problem"
    first = problems[0]
    assert first.position is not None
    return f"{first.position.line}:{first.position.column}: {first.message}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("~", None), ("null", None), ("", None), ("true", True), ("FALSE", False),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("0o17", 15), ("0x1F", 31), ("017", 17),
        ("-3", -3), ("2.10", 2.1), (".5", 0.5), ("1e3", 1000.0), ("-.5E-2", -0.005),
        ("1_000", "1_000"), ("2020-01-01", "2020-01-01"), ("NaN", "NaN"), ("12:30:45", "12:30:45"),
        ("2.12.1", "2.12.1"), ("=", "="), ("0o8", "0o8"), ("٣", "٣"), ("250ms", "250ms"),
    ],
)  # fmt: skip
def test_plain_values_follow_the_core_schema_of_yaml_1_2(text, value):
    resolved = resolve(text)
    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize("text", [".nan", ".inf", "-.Inf", "1e999", "9" * 30, "9" * 5000, "1e19"])
def test_numbers_that_cannot_be_used_are_refused(text):
    with pytest.raises(ValueError, match="number"):
        resolve(text)


def test_anchors_aliases_and_merge_keys_are_resolved():
    text = "base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nb: [*b]\nc:\n  <<: [{y: 8}, *b]\n  z: 9\n"
    assert plain(text) == {
        "base": {"x": 1, "y": 2},
        "a": {"y": 3, "x": 1},
        "b": [{"x": 1, "y": 2}],
        "c": {"z": 9, "y": 8, "x": 1},
    }


def test_a_quoted_merge_sign_is_an_ordinary_key():
    assert plain('"<<": 5\n') == {"<<": 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", "2:1: this key is given twice in the same mapping"),
        ("{a: 1, 'a': 2}", "1:8: this key is given twice in the same mapping"),
        ("<<: {a: 1}\n<<: {b: 1}\n", "2:1: this key is given twice in the same mapping"),
        ("<<: 5\n", "1:5: expected a mapping or a list of mappings to merge"),
        ("5: x\n", "1:1: expected a text key, found 5 (quote it)"),
        ("~: x\n", "1:1: expected a text key, found nothing"),
        ("[1]: x\n", "1:1: expected a text key, found a list"),
        ("? {a: 1}\n: x\n", "1:3: expected a text key, found a mapping"),
        ("a: !!str 5\n", "1:4: tags such as !!str are not used"),
        ("a: !!binary aGk=\n", "1:4: tags such as !!binary are not used"),
        ("a: !!python/object:os.system x\n", "1:4: tags such as !!python/object:os.system are"),
        ("a: !x {}\n", "1:4: tags such as !x are not used"),
        ("a: .nan\n", "1:4: expected a finite number, found .nan"),
        ("a: 1\n---\nb: 2\n", "2:1: a scenario is one document; a second one starts here"),
        ("%YAML 1.1\n---\na: 1\n", "2:1: expected YAML 1.2 or no %YAML line"),
        ("", "1:1: the scenario is empty"),
        ("# nothing\n", "1:1: the scenario is empty"),
        ("a:\n\tb: 1\n", "2:1: a tab cannot indent or separate; use spaces"),
        ("a: b: c\n", "1:5: a ':' cannot start a mapping here"),
        ("a: *x\n", "1:4: this alias stands for an anchor that is not defined before it"),
        ("a: &a [*a]\n", "1:8: this alias stands for an anchor that is not defined before it"),
        ("a: [1, 2\n", "not valid YAML: expected ',' or ']'"),
        ('a: "x\n', "not valid YAML"),
        ("a: 'b\0c'\n", "1:6: a scenario cannot hold the character U+0000"),
        ("a: 1\r\nb: \x07\n", "2:4: a scenario cannot hold the character U+0007"),
        ("a: \ud800\n", "1:4: a scenario cannot hold the character U+D800"),
        ('a: "\\uD800"\n', "1:4: \\uD800 is half a character"),
        ('a: "\\UFFFFFFFF"\n', "not valid YAML after this point"),
        ('a: "\\U00110000"\n', "not valid YAML after this point"),
    ],
)  # fmt: skip
def test_what_is_no_usable_yaml_is_refused_with_its_place(text, expected):
    assert expected in problem(text)


def test_reading_goes_on_after_a_problem_that_allows_it():
    messages = [found.message for found in read_tree("a: .inf\na: !x 1\n5: b\n").problems]
    assert len(messages) == 4


def test_depth_is_bounded():
    assert plain("[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1))
    assert "levels deep" in problem("[" * 100_000)
    assert "levels deep" in problem("- " * 100_000)
    assert "levels deep" in problem("? " * 100_000)


def test_the_number_of_values_is_bounded():
    assert "at most 20000 values" in problem("- 1\n" * (MAX_NODES + 1))


def test_aliases_cannot_be_a_bomb():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    assert "aliases written out" in problem("\n".join(lines))
    merges = ["a0: &a0 {k0: 1}"]
    merges += [f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]
    assert "aliases written out" in problem("\n".join(merges))


def test_size_is_bounded():
    assert "at most 1048576 bytes" in problem("#" * (1024 * 1024 + 1))


def test_positions_count_from_one_and_know_every_line_break():
    text = "a\r\nb\rc\nd"
    assert position_of(text, 0) == Position(1, 1)
    assert position_of(text, text.index("b")) == Position(2, 1)
    assert position_of(text, text.index("c")) == Position(3, 1)
    assert position_of(text, text.index("d")) == Position(4, 1)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?[]{},&*!|>'\"%@`#\n \t<~0.\\"), max_size=60))
def test_any_text_is_read_or_refused_with_a_place(text):
    reading = read_tree(text)
    assert reading.root is not None or reading.problems
    assert all(found.position is not None for found in reading.problems)
