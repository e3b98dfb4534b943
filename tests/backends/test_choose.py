"""Which backend is taken, what is said about it, and what it cannot do."""

from __future__ import annotations

import pytest

from harness.backends import choose as choosing
from harness.backends.choose import BACKENDS, choose, missing, require
from harness.backends.lab.backend import LabBackend
from harness.backends.lab.shaping import Shaping
from harness.backends.local import LocalBackend
from harness.cluster.protocols import Capability
from harness.errors import CapabilityError, UsageError


def lab_says(monkeypatch: pytest.MonkeyPatch, obstacle: str | None) -> None:
    monkeypatch.setattr(choosing, "available", lambda: obstacle)


def test_auto_takes_the_lab_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    lab_says(monkeypatch, None)
    choice = choose()
    assert choice.backend.name == "lab"
    assert choice.sentence == (
        "Backend: lab, a network namespace for each server and client group."
    )
    assert choose("lab").backend is choice.backend


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
    assert lacking == dict.fromkeys((*of_links, *shapes), ("lab",))
    require(LocalBackend().capabilities, LocalBackend())
    with pytest.raises(CapabilityError, match="local cannot partition; lab can: --backend lab"):
        require([Capability.PARTITION], LocalBackend())
    assert missing([Capability.STOP, Capability.PAUSE], Poor()) == {
        Capability.PAUSE: ("lab", "local")
    }
    with pytest.raises(CapabilityError, match="local cannot pause; lab and local can: --backend"):
        require([Capability.PAUSE], Poor())
    monkeypatch.setattr(choosing, "_PLACES", {"local": Poor()})
    with pytest.raises(CapabilityError, match="local cannot kill; no backend can"):
        require([Capability.KILL], Poor())


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
    assert list(BACKENDS) == list(choosing._PLACES)


def test_the_lab_offers_only_what_was_seen_to_work(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = {Capability.RESET: "the kernel took a reset, and the peer got none"}
    for module in ("harness.backends.lab.backend", "harness.backends.choose"):
        monkeypatch.setattr(f"{module}.known_lacks", lambda: lacks)
    assert Capability.PARTITION in LabBackend().capabilities
    with pytest.raises(
        CapabilityError, match=r"lab cannot reset here \(the kernel took a .*\); no"
    ):
        require([Capability.RESET], LabBackend())
