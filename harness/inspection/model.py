"""What an inspection finds: checks with verdicts and the evidence for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from harness.engine.images import Image
from harness.errors import EXIT_FAIL, EXIT_PASS

_LINE = 300  # characters of one fact, at most
_PASSWORD = re.compile(r"(?<=://)[^/\s\"'@]+@")
_SECRET_FLAG = re.compile(r"(?<![\w-])(--?(?:user|pass|auth|key)(?:=|\s+))(\S+)")


class Verdict(StrEnum):
    """How a check ended; unknown when what it would have to see cannot be seen."""

    passed = "pass"
    failed = "fail"
    unknown = "unknown"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of the check.
        verdict: pass, fail or unknown.
        evidence: what was looked at and what was found there, one fact each.
        detail: the conclusion in one sentence.
    """

    name: str
    verdict: Verdict
    evidence: tuple[str, ...]
    detail: str


def passed(name: str, detail: str, *evidence: str) -> Finding:
    """Return a finding that a check passed."""
    return _finding(name, Verdict.passed, detail, evidence)


def failed(name: str, detail: str, *evidence: str) -> Finding:
    """Return a finding that a check failed."""
    return _finding(name, Verdict.failed, detail, evidence)


def unknown(name: str, detail: str, *evidence: str) -> Finding:
    """Return a finding that a check could not see what it would have to judge."""
    return _finding(name, Verdict.unknown, detail, evidence)


def _finding(name: str, verdict: Verdict, detail: str, evidence: Iterable[str]) -> Finding:
    """Return a finding; nothing of an image or a log enters it with its credentials."""
    plain = (redacted(one) for one in evidence)
    cut = (one if len(one) <= _LINE else f"{one[:_LINE]}..." for one in plain)
    return Finding(name, verdict, tuple(cut), redacted(detail))


@dataclass(frozen=True)
class Inspection:
    """An image and all that was found about it, in the order of the checks."""

    image: Image
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Return fail when any check failed, else pass: what is unknown is shown, not judged."""
        failed = any(one.verdict is Verdict.failed for one in self.findings)
        return Verdict.failed if failed else Verdict.passed

    @property
    def exit_code(self) -> int:
        """Return the exit code that tells the verdict."""
        return EXIT_FAIL if self.verdict is Verdict.failed else EXIT_PASS

    def count(self, verdict: Verdict) -> int:
        """Return how many checks ended so."""
        return sum(one.verdict is verdict for one in self.findings)


def redacted(text: str) -> str:
    """Return a text of an image or a log as it may be shown.

    The credentials that URLs and flags carry are covered; what would steer a terminal is
    a space.
    """
    plain = "".join(one if one.isprintable() else " " for one in text)
    return _SECRET_FLAG.sub(r"\1***", _PASSWORD.sub("***@", plain))


def redacted_words(words: Iterable[str]) -> tuple[str, ...]:
    """Return a command's words without credentials, also where flag and value are two words."""
    found: list[str] = []
    secret = False
    for word in words:
        found.append("***" if secret else redacted(word))
        secret = word.lstrip("-") in ("user", "pass", "auth", "key") and word.startswith("-")
    return tuple(found)


def shown(words: Iterable[str]) -> str:
    """Return a command as one line for people, without credentials."""
    return " ".join(redacted_words(words)) or "(none)"
