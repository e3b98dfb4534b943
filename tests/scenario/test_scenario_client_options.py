from __future__ import annotations

import inspect

import pytest
from nats.aio.client import Client

from harness.errors import ScenarioError
from harness.scenario.client_options import (
    OPTIONS,
    effective_options,
    parse_option,
    parse_options,
)

LEFT_OUT = {
    "self", "servers", "name", "inbox_prefix",
    "error_cb", "disconnected_cb", "closed_cb", "discovered_server_cb", "reconnected_cb",
    "lame_duck_mode_cb", "reconnect_to_server_handler", "signature_cb", "user_jwt_cb",
    "tls", "tls_hostname", "tls_handshake_first", "ws_connection_headers",
    "user", "password", "token", "user_credentials", "nkeys_seed", "nkeys_seed_str",
}  # fmt: skip


def test_the_table_and_the_library_agree_on_names_and_defaults():
    parameters = inspect.signature(Client.connect).parameters
    table = OPTIONS["nats-py"]
    assert set(table) == set(parameters) - LEFT_OUT
    assert {name: option.default for name, option in table.items()} == {
        name: parameters[name].default for name in table
    }


def test_the_kinds_fit_the_defaults():
    kinds = {"duration": float, "integer": int, "size": int, "boolean": bool}
    for name, option in OPTIONS["nats-py"].items():
        if option.default is not None:
            assert type(option.default) is kinds[option.kind], name


def test_options_are_read_into_base_units():
    raw = {"ping_interval": "250ms", "max_outstanding_pings": 2, "verbose": True,
           "pending_size": "1MiB", "max_reconnect_attempts": -1}  # fmt: skip
    assert parse_options("nats-py", raw) == {
        "ping_interval": 0.25, "max_outstanding_pings": 2, "verbose": True,
        "pending_size": 1048576, "max_reconnect_attempts": -1,
    }  # fmt: skip


def test_what_is_not_set_has_the_default_of_the_library():
    options = effective_options("nats-py", {"ping_interval": "1s"})
    assert options["ping_interval"] == 1.0
    assert options["reconnect_time_wait"] == 2.0
    assert options["flush_timeout"] is None


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("ping", "1s", "unknown option of nats-py (did you mean 'ping_interval'?)"),
        ("ping_interval", 5, "expected a duration with its unit, such as 250ms, 3s or 2m, found 5"),
        ("ping_interval", "0s", "expected at least 1ms, found '0s'"),
        ("ping_interval", None, "found nothing"),
        ("ping_interval", "25h", "expected a duration of at most 24h, found '25h'"),
        ("pending_size", 100, "expected a size with its unit"),
        ("pending_size", "0B", "expected at least 1, found '0B'"),
        ("pending_size", "0.5B", "expected a whole number of bytes, found '0.5B'"),
        ("max_outstanding_pings", 0, "expected at least 1, found 0"),
        ("max_outstanding_pings", 2.5, "expected a whole number, found 2.5"),
        ("max_outstanding_pings", True, "expected a whole number, found true"),
        ("max_reconnect_attempts", -2, "expected at least -1, found -2"),
        ("verbose", "yes", "expected true or false, found 'yes'"),
        ("verbose", [], "expected true or false, found a list"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(name, raw, message):
    with pytest.raises(ValueError) as caught:
        parse_option("nats-py", name, raw)
    assert message in str(caught.value)


def test_all_wrong_options_are_told_at_once():
    with pytest.raises(ScenarioError) as caught:
        parse_options("nats-py", {"a": 1, "ping_interval": 1})
    assert len(str(caught.value).splitlines()) == 2
