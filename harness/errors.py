"""The errors of the harness, each with the exit code it ends a command with."""

from __future__ import annotations

from collections.abc import Iterator

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


class EngineError(UsageError):
    """Say that a Docker Engine is missing or refuses, or that an image will not do."""


class ServerError(HarnessError):
    """Say that a server did not start or exited unasked; carries its last log lines."""


class WorkerError(HarnessError):
    """Say that a worker process broke its protocol, died or could not write its columns."""


class FaultError(HarnessError):
    """Say that a fault could not be injected or could not be healed."""


class ReportError(UsageError):
    """Say that a report or run folder cannot be written or read."""


def leading_error(raised: BaseException, *, begun: bool = False) -> BaseException:
    """Return the error that explains a (nested) group best.

    What was asked wrongly explains most, then a server that died, then a worker, then
    any other error of ours; what is not ours is a bug and is returned before those. In a
    run that has `begun` nothing can be asked wrongly any more.
    """
    leaves = list(_leaves(raised))
    first = () if begun else (UsageError,)
    ranks: tuple[type[BaseException], ...] = (*first, ServerError, WorkerError, HarnessError)

    def rank(error: BaseException) -> int:
        if not isinstance(error, HarnessError):
            return -1
        return next(index for index, kind in enumerate(ranks) if isinstance(error, kind))

    return min(leaves, key=rank)


def _leaves(raised: BaseException) -> Iterator[BaseException]:
    if isinstance(raised, BaseExceptionGroup):
        for inner in raised.exceptions:
            yield from _leaves(inner)
    else:
        yield raised
