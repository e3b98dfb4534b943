"""Work in a thread ends before its waiter goes on, whatever cancels the wait."""

from __future__ import annotations

import asyncio
from threading import Event

import anyio
import anyio.to_thread
import pytest

from harness.errors import ServerError
from harness.scopes import in_thread

pytestmark = pytest.mark.anyio


class Work:
    """Work that lasts until it may end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.may_end = Event(), Event()
        self.ended = False
        self.error = error

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(30)
        self.ended = True
        if self.error is not None:
            raise self.error
        return "made"

    async def start(self) -> asyncio.Task[str]:
        task = asyncio.ensure_future(in_thread(self))
        await anyio.to_thread.run_sync(self.begun.wait, 30)
        return task


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_it_returns_or_raises_comes_through() -> None:
    work = Work()
    work.may_end.set()
    assert await in_thread(work) == "made"
    work.error = ServerError("no")
    with pytest.raises(ServerError, match="no"):
        await in_thread(work)


async def test_a_tasks_own_cancellation_goes_on_once_the_work_has_ended() -> None:
    work = Work()
    task = await work.start()
    for _ in range(3):
        task.cancel()
        await turn()
        assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.ended


async def test_a_scopes_cancellation_waits_and_what_was_made_is_returned() -> None:
    work, made = Work(), []
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def let_it_end() -> None:
                await anyio.to_thread.run_sync(work.begun.wait, 30)
                scope.cancel()
                work.may_end.set()

            group.start_soon(let_it_end)
            made.append(await in_thread(work))
    assert scope.cancel_called
    assert made == ["made"]


async def test_a_failure_is_not_hidden_by_a_cancellation() -> None:
    work = Work(ServerError("stays"))
    task = await work.start()
    task.cancel()
    await turn()
    work.may_end.set()
    with pytest.raises(ServerError, match="stays"):
        await task
