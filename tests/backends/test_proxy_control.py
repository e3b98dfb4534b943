"""What the harness makes of proxies that do not answer in time."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from harness.backends.proxy.control import ProxyProcess
from harness.errors import FaultError


def test_a_late_answer_is_not_taken_for_that_to_the_next_order() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(0.01)
        process: Any = None  # it is not asked
        proxies = ProxyProcess(process, ours, Path("proxy.log"))
        with pytest.raises(FaultError, match="do not answer"):
            proxies.cut([("load", "n1")], on=True)
        with pytest.raises(BrokenPipeError):
            theirs.sendall(b'{"at_ns": 1}\n')
        with pytest.raises(FaultError, match="cannot be told to cut"):
            proxies.cut([("load", "n1")], on=False)
        assert theirs.recv(1 << 16).count(b"\n") == 1  # and then they are told to end
        assert theirs.recv(1) == b""
