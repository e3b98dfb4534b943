"""The errors of the harness, each with the exit code it ends a command with."""

from __future__ import annotations

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_REGRESSION = 4
EXIT_INTERRUPTED = 130


class HarnessError(Exception):
    """Be the base of every error that is meant for a person's eyes."""

    exit_code = EXIT_INCONCLUSIVE


class UsageError(HarnessError):
    """Say that what was asked for cannot be done as asked."""

    exit_code = EXIT_USAGE


class ScenarioError(UsageError):
    """Say what is wrong in a scenario, and where: one line a problem."""


class CapabilityError(UsageError):
    """Say that a backend cannot do what a scenario needs, and which can."""


class BinaryError(UsageError):
    """Say that a server binary is missing, unknown or not a nats-server."""


class ServerError(HarnessError):
    """Say that a server did not start, did not form or exited unasked; carries its last log lines."""


class WorkerError(HarnessError):
    """Say that a worker process broke its protocol, died or could not write its columns."""


class FaultError(HarnessError):
    """Say that a fault could not be injected or could not be healed."""


class ReportError(UsageError):
    """Say that a report or run folder cannot be written or read."""
