"""What lasts as long as a block does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from types import TracebackType

from harness.scopes import in_thread


class Block(ABC):
    """The end of a block that is entered by `with` or by `async with`."""

    @abstractmethod
    def _leave(self, error: BaseException | None) -> None:
        """End what the block lasted for; `error` is what ended the block, if anything did."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        self._leave(error)
        del kind, trace

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        await in_thread(partial(self._leave, error))
        del kind, trace
