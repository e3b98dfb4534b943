"""Which backend is taken, what is said about it, and what it cannot do."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backends import choose as choosing
from harness.backends.choose import BACKENDS, choose, fitted, missing, require
from harness.backends.docker.backend import DockerBackend
from harness.backends.lab.backend import LabBackend
from harness.backends.lab.shaping import Shaping
from harness.backends.local import LocalBackend
from harness.backends.proxy import identify
from harness.cluster.protocols import WHOLE, Capability
from harness.errors import CapabilityError, UsageError
from harness.faults import FAULTS
from harness.faults.base import Fault
from harness.scenario.model import NODES, ClusterSpec


def lab_says(monkeypatch: pytest.MonkeyPatch, obstacle: str | None) -> None:
    monkeypatch.setattr(choosing, "available", lambda: obstacle)


def test_auto_takes_the_lab_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    lab_says(monkeypatch, None)
    choice = choose()
    assert choice.backend.name == "lab"
    assert choice.sentence == (
        "Backend: lab, a network namespace for each server and client group."
    )
    assert choose("lab").backend.name == "lab"


def test_auto_takes_local_elsewhere_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    lab_says(monkeypatch, "namespaces are refused; sudo sysctl -w x=0")
    choice = choose("auto")
    assert choice.backend.name == "local"
    assert "since the lab does not work: namespaces are refused; sudo" in choice.sentence
    with pytest.raises(CapabilityError, match="the lab does not work here: namespaces are"):
        choose("lab")


def test_local_is_taken_without_trying_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "available", lambda: pytest.fail("the lab was tried"))
    assert choose("local").backend.name == "local"


def test_an_unknown_backend_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="unknown backend 'moon'; expected auto, lab, local"):
        choose("moon")


def test_what_a_backend_lacks_is_named_with_those_that_have_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Poor(LocalBackend):
        @property
        def capabilities(self) -> frozenset[Capability]:
            return frozenset((Capability.STOP,))

    of_links = (Capability.PARTITION, Capability.RESET, Capability.REFUSE)
    shapes = (Capability.SHAPE, Capability.BANDWIDTH)
    lacking = missing(list(Capability), LocalBackend())
    assert lacking == {
        **dict.fromkeys((*of_links, *shapes), ("lab", "docker")),
        Capability.DISCONNECT: ("docker",),
        Capability.COMMAND: ("attach",),
    }
    require(LocalBackend().capabilities - {Capability.DEVICE}, LocalBackend())
    with pytest.raises(
        CapabilityError, match="local cannot partition; lab and docker can: --backend lab"
    ):
        require([Capability.PARTITION], LocalBackend())
    with pytest.raises(CapabilityError, match=r"proxies .* not between servers, not one way alone"):
        require([Capability.PARTITION], LocalBackend())
    assert missing([Capability.STOP, Capability.PAUSE], Poor()) == {
        Capability.PAUSE: ("lab", "docker")
    }
    with pytest.raises(CapabilityError, match="local cannot pause; lab and docker can: --backend"):
        require([Capability.PAUSE], Poor())
    monkeypatch.setattr(choosing, "_AT_BEST", {"local": Poor().capabilities})
    with pytest.raises(CapabilityError, match="local cannot kill; no backend can"):
        require([Capability.KILL], Poor())


@pytest.mark.parametrize("reach", [None, "the Engine runs elsewhere"])
@pytest.mark.parametrize(
    ("capability", "why"),
    [
        (Capability.STORE, "a container's data lie in a volume of the Engine's"),
        (Capability.RELEASE, "a container stays what its image is"),
    ],
)
def test_files_and_releases_of_containers_are_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capability: Capability, why: str, reach: str | None
) -> None:
    monkeypatch.setattr("harness.backends.docker.backend.reach", lambda: reach)
    nothing = SimpleNamespace(lacks={})  # the lab cannot be tried once there are threads
    monkeypatch.setattr("harness.backends.docker.backend.examine_lab", lambda: nothing)
    monkeypatch.setattr(choosing, "known_lacks", dict)
    with pytest.raises(CapabilityError) as caught:
        require([capability], DockerBackend())
    assert str(caught.value) == (
        f"backend docker cannot {capability} here ({why}); lab and local can: --backend lab"
    )


def test_who_can_do_the_whole_can_do_the_part() -> None:
    assert frozenset(WHOLE) <= LocalBackend().capabilities
    assert not frozenset(WHOLE) & LabBackend().capabilities
    assert missing(WHOLE, LabBackend()) == missing(WHOLE, LocalBackend()) == {}


def test_a_part_that_this_machine_lacks_is_refused_like_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("harness.backends.lab.backend", "harness.backends.choose"):
        monkeypatch.setattr(f"{module}.known_lacks", lambda: {Capability.RESET: "no destroying"})
    monkeypatch.setattr(choosing, "shaping", lambda: Shaping(bandwidth="tbf", reason="no filters"))
    with pytest.raises(CapabilityError, match=r"lab cannot reset here \(no destroying\)"):
        require([Capability.CLIENT_RESET], LabBackend())
    with pytest.raises(CapabilityError, match="the lab cannot shape here: no filters"):
        require([Capability.CLIENT_DELAY], LabBackend())


def test_proxies_are_put_in_place_only_where_a_fault_needs_them() -> None:
    local, lab = LocalBackend(), LabBackend()
    assert fitted(local, [Capability.KILL]) is local
    assert fitted(local, []) is local
    assert fitted(local, [Capability.KILL, Capability.CLIENT_DELAY]) == LocalBackend(proxied=True)
    assert fitted(lab, [Capability.CLIENT_DELAY]) is lab


def test_mounts_are_kept_apart_only_where_a_fault_needs_them() -> None:
    lab = LabBackend()
    assert fitted(LocalBackend(), [Capability.DEVICE]) == LocalBackend(mounting=True)
    both = [Capability.DEVICE, Capability.CLIENT_DELAY]
    assert fitted(LocalBackend(), both) == LocalBackend(proxied=True, mounting=True)
    assert fitted(lab, [Capability.DEVICE]) is lab


def test_local_refuses_where_nobody_can_tell_whose_a_connection_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(identify, "TABLE", Path("/proc/net/no-such-table"))
    require([Capability.KILL], LocalBackend())
    with pytest.raises(CapabilityError, match="cannot put proxies before its servers here: the co"):
        require([Capability.KILL, Capability.CLIENT_RESET], LocalBackend())
    monkeypatch.setattr(identify, "TABLE", Path("/proc/net/tcp"))
    monkeypatch.setattr(identify, "holder", lambda *_: None)
    with pytest.raises(CapabilityError, match="/proc does not tell whose a connection is"):
        require([Capability.CLIENT_RESET], LocalBackend())


PARTLY = [
    {"action": "partition", "between": "clients"},
    {"action": "partition", "between": "clients", "topology": "halves"},
    {"action": "partition", "topology": "custom", "drop": [["n1", "hello"], ["hello", "n1"]]},
    {"action": "reset", "between": "clients"},
    {"action": "refuse", "between": "clients"},
    {"action": "delay", "between": "clients", "delay": "5ms", "jitter": "1ms", "direction": "to"},
    {"action": "bandwidth", "between": "clients", "rate": "1Mbit"},
]
WHOLLY = [
    {"action": "partition"},
    {"action": "partition", "between": "servers"},
    {"action": "partition", "between": "clients", "direction": "to"},
    {"action": "partition", "topology": "custom", "drop": [["n1", "hello"]]},
    {"action": "partition", "topology": "custom", "drop": [["n1", "n2"], ["n2", "n1"]]},
    {"action": "reset"},
    {"action": "reset", "between": "servers"},
    {"action": "refuse"},
    {"action": "delay", "delay": "5ms"},
    {"action": "delay", "between": "clients", "delay": "5ms", "reorder": "10%"},
    {"action": "loss", "between": "clients", "loss": "10%"},
    {"action": "loss", "between": "clients", "duplicate": "10%"},
    {"action": "bandwidth", "between": "servers", "rate": "1Mbit"},
]


def make(keys: dict[str, Any]) -> Fault:
    return FAULTS[keys["action"]].model_validate({"name": "f", **keys})


@pytest.mark.parametrize("keys", PARTLY, ids=lambda keys: " ".join(map(str, keys.values())))
def test_faults_of_clients_links_alone_run_anywhere(keys: dict[str, Any]) -> None:
    needed = make(keys).needed
    require(needed, LocalBackend())
    assert fitted(LocalBackend(), needed) == LocalBackend(proxied=True)
    assert missing(needed, LabBackend()) == {}


@pytest.mark.parametrize("keys", WHOLLY, ids=lambda keys: " ".join(map(str, keys.values())))
def test_what_proxies_cannot_do_honestly_is_refused_with_the_reason(keys: dict[str, Any]) -> None:
    with pytest.raises(CapabilityError) as caught:
        require(make(keys).needed, LocalBackend())
    assert "; lab and docker can: --backend lab" in str(caught.value)
    assert "not between servers, not one way alone, not single packets" in str(caught.value)


@pytest.mark.parametrize("drop", [[["east", "n3"], ["n3", "east"]], [["east", "west"]]])
def test_a_cluster_that_is_named_in_drop_is_no_client(drop: list[list[str]]) -> None:
    clusters = {"east": {"servers": 2}, "west": {"servers": 2}}
    sites = ClusterSpec.model_validate({"clusters": clusters}).sites
    cut = make({"action": "partition", "topology": "custom", "drop": drop})
    with pytest.raises(CapabilityError, match="not between servers"):
        require(cut.needed_among(sites), LocalBackend())


def test_a_cluster_that_is_named_in_drop_may_be_cut_off_from_clients() -> None:
    clusters = {"east": {"servers": 2}, "west": {"servers": 2}}
    sites = ClusterSpec.model_validate({"clusters": clusters}).sites
    drop = [["east", "hello"], ["hello", "east"]]
    cut = make({"action": "partition", "topology": "custom", "drop": drop})
    require(cut.needed_among(sites), LocalBackend())
    one_way = make({"action": "partition", "topology": "custom", "drop": drop[:1]})
    with pytest.raises(CapabilityError):
        require(one_way.needed_among(sites), LocalBackend())


@pytest.mark.parametrize("keys", [*PARTLY, *WHOLLY], ids=lambda keys: " ".join(map(str, keys)))
def test_without_named_clusters_what_is_needed_is_the_same(keys: dict[str, Any]) -> None:
    fault = FAULTS[keys["action"]].model_validate(
        {"name": "f", **keys}, context={NODES: ("n1", "n2", "n3")}
    )
    assert fault.needed_among(ClusterSpec().sites) == fault.needed


def test_the_lab_refuses_what_this_machine_cannot_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    half = Shaping(bandwidth="tbf", reason="no filters")
    monkeypatch.setattr(choosing, "shaping", lambda: half)
    require([Capability.BANDWIDTH, Capability.KILL], LabBackend())
    with pytest.raises(CapabilityError, match="the lab cannot shape here: no filters; load"):
        require([Capability.SHAPE], LabBackend())


def test_a_run_without_shapes_does_not_try_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "shaping", lambda: pytest.fail("shapes were tried"))
    require([Capability.KILL], LabBackend())


def test_every_backend_has_a_summary() -> None:
    assert list(BACKENDS) == list(choosing._AT_BEST)


def test_the_lab_offers_only_what_was_seen_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {Capability.RESET: "the kernel took a reset, and the peer got none"}
    for module in ("harness.backends.lab.backend", "harness.backends.choose"):
        monkeypatch.setattr(f"{module}.known_lacks", lambda: lacks)
    assert Capability.PARTITION in LabBackend().capabilities
    with pytest.raises(
        CapabilityError, match=r"lab cannot reset here \(the kernel took a .*\); no"
    ):
        require([Capability.RESET], LabBackend())
