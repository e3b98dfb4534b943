"""Take away what was made on the Engine; what stays is told, and hides no other trouble.

An error on the way out would take the place of the one that ended the run, which says more.
So what cannot be taken away is an event, ``run.left_behind``, which is judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.backends.docker.container import in_thread
from harness.cluster.protocols import EventSink
from harness.errors import EngineError
from harness.scopes import bounded_cleanup

CLEANUP_LIMIT_S = 30.0


@contextmanager
def taking_away(what: str, record: EventSink) -> Iterator[None]:
    """Run the body shielded, for `CLEANUP_LIMIT_S` at most; tell when that was not enough."""
    try:
        with bounded_cleanup(CLEANUP_LIMIT_S, what, EngineError):
            yield
    except EngineError as error:
        record("run.left_behind", message=str(error))


async def take_away(remove: Callable[[], object], what: str, record: EventSink) -> None:
    """Call `remove`, which blocks; tell when the Engine refuses, beginning with `what`."""
    try:
        await in_thread(remove, f"{what} cannot be removed", EngineError)
    except EngineError as error:
        record("run.left_behind", message=str(error))
