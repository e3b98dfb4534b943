"""Lame duck mode by command: what the preStop hook of Kubernetes runs works in this image."""

from __future__ import annotations

from harness.inspection.facts import Facts, LameDuckTrial
from harness.inspection.model import Finding, failed, passed, unknown

NAME = "lame_duck_prestop"


def check(facts: Facts) -> Finding:
    """Fail when ``nats-server -sl=ldm=PIDFILE`` (the Helm chart's) is not found or does nothing.

    The command has no path, so the server must be in PATH. The same by its full path, and
    with the process id 1, is told beside it.
    """
    evidence = [describe(one) for one in facts.hooks]
    if not facts.hooks:
        return unknown(NAME, "no server came up to be asked", *evidence)
    first = facts.hooks[0]
    if first.seen:
        silent = [one.asked for one in facts.hooks if not one.seen]
        note = f"; but not by {', '.join(silent)}" if silent else ""
        return passed(NAME, f"it goes lame{note}", *evidence)
    if first.executed is None:
        return unknown(NAME, "no server came up to be asked", *evidence)
    if first.executed.found:
        return failed(NAME, "the command runs and does not make it go lame", *evidence)
    said = first.executed.output
    if "not found" not in said and "no such file" not in said:
        return failed(NAME, "the command cannot be run", *evidence)
    path = facts.image.environment.get("PATH", "(the default)")
    others = [one.asked for one in facts.hooks[1:] if one.seen]
    advice = f"; write {others[0]} in the hook" if others else ""
    return failed(NAME, f"nats-server is not in PATH ({path}){advice}", *evidence)


def describe(trial: LameDuckTrial) -> str:
    """Return one line that tells how a trial went."""
    if trial.seen:
        return f"{trial.asked}: {trial.seen}"
    if trial.executed is None:
        return f"{trial.asked}: not tried, {trial.note}"
    said = trial.executed.output or "nothing said"
    code = trial.executed.code
    how = "could not be run" if code is None else f"code {code}"
    return f"{trial.asked}: {how} ({said}); {trial.note}"
