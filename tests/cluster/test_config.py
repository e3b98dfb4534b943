"""What is written into a server's configuration, and what never is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.binaries import bundled
from harness.cluster.config import NodeConfig, render
from harness.cluster.preflight import check
from harness.cluster.protocols import Address, Endpoints
from harness.errors import UsageError
from harness.scenario.model import ClusterSpec

STORE = Path("/run/store")


def endpoints(spec: ClusterSpec) -> dict[str, Endpoints]:
    return {
        node: Endpoints(*(Address(f"198.18.0.{i + 1}", port) for port in (4222, 6222, 8222)))
        for i, node in enumerate(spec.nodes)
    }


def rendered(node: str = "n2", **facts: Any) -> NodeConfig:
    spec = ClusterSpec.model_validate(facts)
    return render(spec, node, endpoints(spec), STORE)


def check_config(config: NodeConfig, folder: Path, free: Mapping[str, Any] | None = None) -> None:
    path = folder / "n2.conf"
    path.write_text(config.text)
    check(bundled(), config, path, free or {})


def test_the_seed_has_no_routes_and_the_others_only_the_seeds() -> None:
    assert "routes" not in rendered("n1").text
    for node in ("n2", "n3"):
        routes = rendered(node).effective["cluster"]["routes"]
        assert routes == ["nats://198.18.0.1:6222"]


def test_with_jetstream_every_node_knows_all_and_one_alone_is_no_cluster() -> None:
    for node in ("n1", "n3"):
        routes = rendered(node, jetstream=True).effective["cluster"]["routes"]
        assert routes == [f"nats://198.18.0.{number}:6222" for number in (1, 2, 3)]
    assert "cluster" not in rendered("n1", servers=1, jetstream=True).effective
    assert "cluster" in rendered("n1", servers=1).effective


def test_behind_a_proxy_a_server_listens_on_its_own_port_and_advertises_the_proxys() -> None:
    spec = ClusterSpec(servers=1)
    door, server = Address("127.0.0.1", 4222), Address("127.0.0.1", 5222)
    proxied = {"n1": Endpoints(door, door, door, server=server)}
    effective = render(spec, "n1", proxied, STORE).effective
    assert (effective["listen"], effective["client_advertise"]) == (str(server), str(door))
    assert "client_advertise" not in rendered("n1", servers=1).effective


def test_users_settings_are_merged_deeply_and_win(tmp_path: Path) -> None:
    free = {
        "Lame_Duck_Duration": "31s",
        "max_payload": "2MB",
        "write_deadline": "2m",
        "cluster": {"pool_size": 5, "ping_interval": "2s"},
    }
    config = rendered(config=free)
    assert config.effective["lame_duck_duration"] == "31s"
    assert config.effective["lame_duck_grace_period"] == "1s"
    assert config.effective["cluster"]["pool_size"] == 5
    assert config.effective["cluster"]["name"] == "nats-harness"
    assert "max_payload: 2MB" in config.text
    assert 'write_deadline: "2m"' in config.text
    check_config(config, tmp_path, free)


def test_lists_have_commas_and_odd_keys_are_quoted(tmp_path: Path) -> None:
    free = {
        "accounts": {
            "A B": {
                "users": [{"user": "a", "password": "p1"}, {"user": "b", "password": "p2"}],
                "exports": [{"stream": "x.>"}],
            }
        },
    }
    config = rendered(config=free)
    check_config(config, tmp_path, free)


@pytest.mark.parametrize(
    ("free", "key"),
    [
        ({"listen": "0.0.0.0:1"}, "cluster.config.listen"),
        ({"PORT": 1}, "cluster.config.port"),
        ({"http_port": 1}, "cluster.config.http_port"),
        ({"server_name": "x"}, "cluster.config.server_name"),
        ({"log_file": "/x"}, "cluster.config.log_file"),
        ({"cluster": {"name": "x"}}, "cluster.config.cluster.name"),
        ({"cluster": {"Routes": []}}, "cluster.config.cluster.routes"),
        ({"cluster": 3}, "cluster.config.cluster"),
        ({"jetstream": {"store_dir": "/x"}}, "cluster.config.jetstream.store_dir"),
        ({"jetstream": {"max_mem": object()}}, "cluster.config.jetstream.max_mem"),
    ],
)
def test_what_the_harness_needs_is_refused_by_its_key(free: dict[str, object], key: str) -> None:
    with pytest.raises(UsageError, match=rf"^{key}: "):
        rendered(config=free)


@pytest.mark.parametrize(
    "facts",
    [
        {"jetstream": True, "config": {"jetstream": False}},
        {"authorization": {"user": "u", "password": "p"}, "config": {"authorization": {}}},
        {
            "route_authorization": {"user": "u", "password": "p"},
            "config": {"cluster": {"authorization": {"user": "v"}}},
        },
    ],
)
def test_the_same_thing_said_twice_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="remove one"):
        rendered(**facts)


def test_jetstream_has_a_folder_of_its_own_however_it_is_switched_on(tmp_path: Path) -> None:
    each: tuple[dict[str, Any], ...] = (
        {"jetstream": True},
        {"jetstream": {"sync_interval": "always"}},
        {"config": {"jetstream": "enabled"}},
        {"jetstream": True, "config": {"jetstream": {"max_mem": "64MB"}}},
        {"jetstream": True, "config": {"jetstream": True}},
    )
    for facts in each:
        config = rendered(**facts)
        assert config.effective["jetstream"]["store_dir"] == str(STORE)
        check_config(config, tmp_path)
    assert "jetstream" not in rendered().effective
    assert rendered(config={"jetstream": False}).effective["jetstream"] is False


SECRETS = ("client-s3cret", 'route "s#cret\\', "account-s3cret", "leaf-s3cret")


def with_secrets(**facts: Any) -> NodeConfig:
    return rendered(
        **facts,
        route_authorization={"user": "r", "password": SECRETS[1]},
        jetstream=True,
        config={
            "accounts": {"A": {"users": [{"user": "a", "password": SECRETS[2]}]}},
            "leafnodes": {"remotes": [{"url": f"nats-leaf://x:{SECRETS[3]}@198.18.0.9:7422"}]},
            "jetstream": {"key": "jetstream-s3cret"},
        },
    )


def test_no_secret_is_in_the_file_or_in_what_is_shown() -> None:
    config = with_secrets(authorization={"user": "u", "password": SECRETS[0]})
    shown = f"{config.text}{config.effective}{config!r}{config.keys}"
    for secret in (*SECRETS, "jetstream-s3cret", "%22s%23cret"):
        assert secret not in shown
    assert config.effective["authorization"] == {"user": "u", "password": "(secret)"}
    assert config.effective["cluster"]["routes"] == ["(secret)"] * 3


def test_the_server_is_given_the_secrets_by_its_environment(tmp_path: Path) -> None:
    config = with_secrets()
    assert len(config.environment) == 7
    check_config(config, tmp_path)
    for number in ("12345", "true", "1MB", "$HOME", "#", "p\n"):
        check_config(rendered(authorization={"user": number, "password": number}), tmp_path)


def test_a_reference_to_the_environment_stays_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"authorization": {"user": "u", "password": "$MY_PASSWORD"}}
    config = rendered(config=free)
    assert config.environment == {}
    assert "password: $MY_PASSWORD" in config.text
    monkeypatch.setenv("MY_PASSWORD", "p")
    check_config(config, tmp_path, free)
    monkeypatch.delenv("MY_PASSWORD")
    with pytest.raises(
        UsageError,
        match=r"^cluster.config.authorization.password: the environment has no variable MY_PASS",
    ):
        check_config(config, tmp_path, free)


@pytest.mark.parametrize(
    ("free", "key", "why"),
    [
        ({"max_paylod": 1}, "max_paylod", "unknown field"),
        ({"cluster": {"pool_sise": 1}}, "cluster.pool_sise", "unknown field"),
        ({"max_payload": "big"}, "max_payload", "interface conversion"),
        ({"lame_duck_duration": "3s"}, "lame_duck_duration", "minimum is 30 seconds"),
    ],
)
def test_what_the_server_refuses_is_said_with_the_users_key(
    free: dict[str, object], key: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        check_config(rendered(config=free), tmp_path, free)
    line = str(caught.value)
    assert line.startswith(f"cluster.config.{key}: nats-server ")
    assert why in line
    assert "\n" not in line
    assert str(tmp_path) not in line
