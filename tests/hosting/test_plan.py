"""What may be asked of a hosted cluster is what a scenario may ask, and is told as clearly."""

from __future__ import annotations

from typing import Any

import pytest

import harness
from harness.errors import ScenarioError, UsageError
from harness.faults import FAULTS
from harness.hosting.cluster import HostedCluster
from harness.hosting.plan import FaultCall


def made(**options: Any) -> HostedCluster:
    return harness.nats_cluster(**options)


def test_every_fault_of_the_vocabulary_is_a_method() -> None:
    assert dir(made().faults) == sorted(action.replace("-", "_") for action in FAULTS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"servers": 0}, "^cluster.servers: "),
        ({"version": "2.x"}, "cluster.version: "),
        ({"version": {"n9": "bundled"}}, "unknown node 'n9'"),
        ({"spec": {"sevrers": 3}}, "cluster.sevrers: unknown key"),
        ({"spec": {"servers": 3}}, "servers is an option of its own"),
        ({"spec": {"image": "nats:2"}}, "only servers that the harness starts"),
        ({"spec": 5}, "^spec: expected a mapping, found int$"),
        ({"spec": "x"}, "^spec: expected a mapping, found str$"),
        ({"spec": [1]}, "^spec: expected a mapping, found list$"),
        ({"spec": []}, "^spec: expected a mapping, found list$"),
        ({"backend": "docker"}, "unknown backend 'docker'; a cluster is hosted on local or lab"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_when_it_is_made(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        made(**options)


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("stopp", {}, "unknown fault 'stopp' .did you mean 'stop'"),
        ("stop", {"target": "n4"}, "^faults.stop: target: unknown target 'n4'"),
        ("stop", {"target": ["n1", "n4"]}, "^faults.stop: target.*'n4'"),
        ("stop", {"duration": "1s"}, "duration: not here: the fault lasts as long as the block"),
        ("stop", {"at": "1s"}, "at: not here"),
        ("delay", {"dealy": "1ms"}, "dealy: unknown key .did you mean 'delay'"),
        ("partition", {"topology": "isolated"}, "^faults.partition: topology: "),
        ("partition", {"topology": "halves", "between": "gateways"}, "no gateways"),
        ("step_down", {"target": "stream-leader:S"}, "needs JetStream"),
        ("slow_disk", {"target": "n1", "delay": "1ms"}, "JetStream"),
        ("command", {"commands": {}}, "faults.command: "),
    ],
)
def test_a_fault_that_cannot_be_is_refused_when_it_is_called(
    fault: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        getattr(made().faults, fault)(**options)


def test_a_target_is_given_once() -> None:
    with pytest.raises(UsageError, match="given twice"):
        made().faults.stop("n1", target="n2")


def test_streams_and_consumers_are_the_tests_own() -> None:
    faults = made(jetstream=True).faults
    for target in ("stream-leader:MINE", "follower:MINE", "meta-leader", "consumer-leader:S/C"):
        assert not faults.pause(target).used
    assert not faults.step_down("consumer-leader:S/C").used


def test_faults_of_disks_need_watched_disks() -> None:
    with pytest.raises(UsageError, match="without disks=True"):
        made(jetstream=True).faults.disk_full("n1")
    assert not made(jetstream=True, disks=True).faults.disk_full("n1").used


def test_what_does_not_run_says_so() -> None:
    cluster = made()
    with pytest.raises(UsageError, match="does not run"):
        cluster.urls  # noqa: B018 - reading it is the point
    with pytest.raises(ScenarioError):
        harness.nats_cluster(config={"max_payload": object()})


def test_what_may_hold_a_password_is_not_in_the_texts_of_plans_and_calls() -> None:
    cluster = made(config={"authorization": {"user": "u", "password": "SECRET"}})
    call = FaultCall("command", 1, {"commands": {"n1": ["login", "SECRET"]}})
    assert "SECRET" not in f"{cluster.plan!r} {call!r} {cluster!r}"
