"""What the nats-py adapter tells, and when."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
from nats import errors
from nats.aio.client import Client as NatsClient
from nats.aio.errors import ErrStaleConnection

from harness.errors import WorkerError
from harness.history.tables import Outcome
from harness.load.adapters import load_adapter
from harness.load.adapters.nats_py_signs import WatchedClient, sign_of

pytestmark = pytest.mark.anyio


class Told:
    """A client past its first connection, and what it tells."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.client = WatchedClient(self.emit)
        self.client._opened = True

    def emit(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        self.events.append((kind, facts))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@pytest.fixture
async def told() -> Told:
    return Told()


def test_a_sign_has_the_name_of_the_error_it_stands_for() -> None:
    assert sign_of(ErrStaleConnection()) == "StaleConnectionError"
    assert sign_of(errors.UnexpectedEOF()) == "UnexpectedEOF"
    assert sign_of(ConnectionResetError()) == "ConnectionResetError"


@pytest.mark.parametrize("method", ["_process_op_err", "_process_err", "_connect_to_server"])
def test_the_installed_release_still_calls_what_the_signs_are_caught_at(method: str) -> None:
    assert method in vars(WatchedClient)
    assert list(inspect.signature(getattr(NatsClient, method)).parameters) == list(
        inspect.signature(getattr(WatchedClient, method)).parameters
    )


async def test_without_private_methods_the_public_callback_gives_the_sign(told: Told) -> None:
    told.client._err = ConnectionResetError()
    await told.client._on_disconnected()
    assert told.events == [("sign", {"sign": "ConnectionResetError"}), ("disconnected", {})]


async def test_an_unexplained_disconnect_is_a_sign_too(told: Told) -> None:
    await told.client._on_disconnected()
    assert told.events[0] == ("sign", {"sign": "disconnected"})


async def test_a_broken_connection_has_one_sign_until_it_is_back(told: Told) -> None:
    told.client._sign("UnexpectedEOF")
    await told.client._on_disconnected()
    await told.client._on_disconnected()
    assert told.kinds == ["sign", "disconnected", "disconnected"]
    await told.client._on_reconnected()
    told.client._sign("UnexpectedEOF")
    assert told.kinds[-2:] == ["reconnected", "sign"]


async def test_a_connection_that_broke_before_its_callback_ran_is_told_with_its_server(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(self: Any, server: Any) -> None:
        pass

    monkeypatch.setattr(NatsClient, "_connect_to_server", connect)
    for host in ("n1", "n2"):
        uri = SimpleNamespace(hostname=host, port=4222)
        await told.client._connect_to_server(SimpleNamespace(uri=uri))
    assert told.client.connected_url is None
    await told.client._on_reconnected()
    assert told.events[-1] == ("reconnected", {"server": "n2:4222", "attempts": 2})


async def test_what_the_server_says_is_a_sign_but_a_permission_is_not(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ignore(self: Any, message: str) -> None:
        return None

    monkeypatch.setattr(NatsClient, "_process_err", ignore)
    await told.client._process_err("'permissions violation for publish to \"x\"'")
    assert told.events == []
    await told.client._process_err("'user authentication expired'")
    assert told.events == [("sign", {"sign": "-ERR 'user authentication expired'"})]


async def test_nothing_is_told_of_a_connection_that_was_never_made() -> None:
    told = Told()
    told.client._opened = False
    await told.client._on_error(OSError("refused"))
    await told.client._on_disconnected()
    await told.client._on_closed()
    assert told.events == []
    assert told.client.complaint == "OSError: refused"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (errors.NoRespondersError(), Outcome.REFUSED),
        (errors.OutboundBufferLimitError(), Outcome.REFUSED),
        (errors.ConnectionClosedError(), Outcome.REFUSED),
        (errors.MaxPayloadError(), Outcome.REFUSED),
        (errors.TimeoutError(), Outcome.UNKNOWN),
        (errors.FlushTimeoutError(), Outcome.UNKNOWN),
        (ConnectionResetError(), Outcome.UNKNOWN),
        (RuntimeError(), Outcome.UNKNOWN),
    ],
)
async def test_only_what_was_certainly_not_sent_is_refused(
    error: Exception, outcome: Outcome
) -> None:
    client = load_adapter("nats-py").client("c", [], {}, None, lambda *_, **__: None)
    assert client.outcome_of(error) is outcome


def test_effective_options_are_the_defaults_and_what_was_asked_without_secrets() -> None:
    options = load_adapter("nats-py").effective_options({"ping_interval": 0.5})
    assert options["ping_interval"] == 0.5
    assert options["reconnect_time_wait"] == 2
    assert options["pending_msgs_limit"] == 0
    secrets = {"user", "password", "token", "user_credentials", "nkeys_seed", "signature_cb"}
    assert not secrets & options.keys()


@pytest.mark.parametrize("option", ["servers", "error_cb", "password", "name", "no_such"])
def test_options_that_are_the_harness_s_own_or_nobody_s_are_refused(option: str) -> None:
    with pytest.raises(WorkerError, match=f"no client option '{option}'"):
        load_adapter("nats-py").effective_options({option: 1})
