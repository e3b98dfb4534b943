"""Damage to YAML as hands and editors do it: lines lost, doubled, moved; words changed."""

from __future__ import annotations

import re
from random import Random

OTHER_VALUES = [
    "5", "-1", "0", "2.10", "1e400", ".nan", "-.inf", "true", "~", "[]", "{}", "[[1]]", "{a: b}",
    '"x"', "2020-01-01", "250ms", "3s", "500/s", "256B", "n2", "n9", "seed", "all", "*x", "&x y",
    "!!str z", "|", ">-", "'", '"', "9999999999999999999999", "é", "\U0001f600", "<<", "0x10",
    "0o7", "attached:hello", "stream-leader:S", "p99 < 3s", "count == 0", "one", "a\tb", "%", "@",
    "[stop, pause]", "[1s, 2s]", "[{action: stop}]", "random", "none", "1ms", "24h",
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
