"""Clean-up that cancellation cannot cut short and that cannot hang.

See anyio's documentation on cancellation: an await in a cancelled scope raises at
once, so anything that must happen on the way out runs shielded, and because a
shield would let it hang forever, it is bounded as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from harness.errors import HarnessError


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
