"""Clean-up that cancellation cannot cut short and that cannot hang; work that ends what it began.

See anyio's documentation on cancellation: an await in a cancelled scope raises at
once, so anything that must happen on the way out runs shielded, and because a
shield would let it hang forever, it is bounded as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

import anyio
import anyio.to_thread

from harness.errors import HarnessError

T = TypeVar("T")


@contextmanager
def bounded_cleanup(
    limit_s: float, what: str, error: type[HarnessError] = HarnessError
) -> Iterator[None]:
    """Run the body shielded from cancellation for at most `limit_s` seconds.

    Args:
        limit_s: how long the body may take, in seconds.
        what: what is being cleaned up, for the message.
        error: the error to raise when the limit is reached.
    """
    with anyio.move_on_after(limit_s, shield=True) as scope:
        yield
    if scope.cancelled_caught:
        raise error(f"{what} did not finish within {limit_s:g} s")


async def in_thread(work: Callable[[], T]) -> T:
    """Do work that blocks in a thread, and return or raise only once it has ended.

    A shield keeps off a scope's cancellation, but not the task's own (`Task.cancel`, which
    asyncio.timeout and a terminal's Ctrl-C come as too). Such a one goes on after the work, unless
    the work failed: then that is raised.
    """
    __tracebackhide__ = True
    done: Future[T] = Future()

    def carry_out() -> None:
        __tracebackhide__ = True
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            done.set_exception(error)

    Thread(target=carry_out, name="nats-harness work").start()
    cut: BaseException | None = None
    with anyio.CancelScope(shield=True):
        while not done.done():
            try:
                await anyio.to_thread.run_sync(wait, [done])
            except anyio.get_cancelled_exc_class() as raised:
                cut = raised
    if (first := done.exception() or cut) is not None:
        raise first
    return done.result()
