from __future__ import annotations

from typing import Any

import pytest

from harness.api import load
from harness.clock import NS_PER_S
from harness.live.draw import draw
from harness.live.picture import Picture
from harness.scenario.model import Scenario

ZERO = 1_000 * NS_PER_S


def ns(at: float) -> int:
    return ZERO + round(at * NS_PER_S)


@pytest.fixture
def scenario() -> Scenario:
    return load("seed-failover")  # warm-up 1 s, steady 2 s, one fault held for 3 s, recovery 3 s


class Told:
    """A picture of events told so far."""

    def __init__(self, scenario: Scenario) -> None:
        self.picture = Picture(scenario)
        self.tell(0, "run.started")
        step = {"name": "stop-seed", "action": "stop", "target": "seed", "at": "0s"}
        self.tell(0, "faults.scheduled", steps=[{**step, "duration": "3s"}], drawn=False)
        clients = [{"name": name} for name in ("hello-publisher-1", "hello-subscriber-1")]
        self.tell(0.1, "load.planned", clients=clients)
        self.phase(0, "setup")
        for name in ("n1", "n2", "n3"):
            self.tell(0.2, "server.started", node=name)
        for client in clients:
            self.tell(0.5, "client.connected", client=client["name"], server="n1")

    def tell(self, at: float, kind: str, **facts: Any) -> None:
        self.picture.take(kind, ns(at), facts)

    def phase(self, at: float, phase: str) -> None:
        self.tell(at, "phase.started", phase=phase)

    def fault(self, at: float, kind: str, **facts: Any) -> None:
        self.tell(at, f"fault.{kind}", fault="stop-seed", action="stop", targets=["n1"], **facts)

    def stats(self, at: float, worker: str = "w", **counts: int) -> None:
        blank = dict.fromkeys(("attempted", "accepted", "refused", "delivered", "in_flight"), 0)
        self.tell(at, "worker.stats", worker=worker, **{**blank, **counts})

    def lines(
        self, at: float, width: int = 100, height: int = 30, recent: tuple[str, ...] = ()
    ) -> list[str]:
        return [one.text for one in draw(self.picture, recent, ns(at), width, height)]

    def text(self, at: float) -> str:
        return "\n".join(self.lines(at))


@pytest.fixture
def told(scenario: Scenario) -> Told:
    return Told(scenario)


def test_a_phase_says_how_far_it_is_and_what_comes_next(told: Told) -> None:
    told.phase(1, "warmup")
    assert "setup [warmup] steady" in told.text(1.25)
    assert "now   warmup: 0.2 s of 1.0 s, 0.8 s left" in told.text(1.25)
    assert "next  steady in 0.8 s" in told.text(1.25)


def test_the_next_fault_is_announced_with_its_time(told: Told) -> None:
    told.phase(2, "steady")
    assert "stop-seed (stop seed): scheduled, in 1.1 s" in told.text(3)
    told.phase(4, "fault")
    assert "next  stop-seed: stop seed in 0.1 s" in told.text(4)


def test_a_fault_goes_through_its_states(told: Told) -> None:
    told.phase(4, "fault")
    told.fault(4.1, "inject_started")
    assert "stop-seed (stop n1): injecting for 0.1 s" in told.text(4.2)
    told.fault(4.3, "injected")
    assert "holding for 1.0 s, heals in 2.0 s" in told.text(5.3)
    assert "next  stop-seed heals in 2.0 s" in told.text(5.3)
    told.fault(7.3, "heal_started")
    assert "healing for 0.2 s" in told.text(7.5)
    told.fault(7.6, "healed")
    assert "stop-seed (stop n1): healed" in told.text(8)


def test_a_fault_that_failed_says_why(told: Told) -> None:
    told.phase(4, "fault")
    told.fault(4.1, "inject_started")
    told.fault(4.2, "failed", message="it lives", edge="effect")
    assert "FAILED: it lives" in told.text(5)


def test_a_fault_whose_effect_went_away_is_still_healed(told: Told) -> None:
    told.phase(4, "fault")
    told.fault(4.1, "injected")
    told.fault(7.0, "failed", message="it came back", edge="held")
    assert "holding for 3.0 s, heals in 0.0 s, but it came back" in told.text(7.1)
    told.fault(7.2, "healed")
    assert "healed, but it came back" in told.text(8)


def test_clients_that_are_away_are_named_and_counted(told: Told) -> None:
    told.phase(4, "fault")
    told.tell(4.1, "client.sign", client="hello-publisher-1", sign="EOF")
    told.tell(4.2, "client.disconnected", client="hello-publisher-1")
    assert "clients 1 of 2 connected" in told.text(5.1)
    assert "hello-publisher-1 away for 1.0 s" in told.text(5.1)
    told.tell(5.2, "client.reconnected", client="hello-publisher-1", server="n2", attempts=1)
    assert "clients 2 of 2 connected" in told.text(5.3)
    assert "away" not in told.text(5.3)
    told.tell(5.4, "client.closed", client="hello-publisher-1")
    assert "hello-publisher-1 gave up for 0.1 s" in told.text(5.5)


def test_connections_that_end_with_the_run_are_no_loss(told: Told) -> None:
    told.phase(9, "drain")
    told.tell(9.1, "client.closed", client="hello-publisher-1")
    assert "clients 2 of 2 connected" in told.text(9.2)


def test_rates_are_those_of_the_last_second_over_all_workers(told: Told) -> None:
    for tick in range(9):
        at = 2 + tick / 4
        told.stats(at, "a", attempted=100 * tick, accepted=100 * tick)
        told.stats(at, "b", delivered=0 if tick < 4 else 250 * (tick - 4))
    assert told.picture.rate("accepted") == pytest.approx(400)
    assert told.picture.rate("delivered") == pytest.approx(1000)
    assert "rates   400/s published, 1,000/s delivered" in told.text(4)


def test_unknown_is_what_ended_and_nobody_knows_how(told: Told) -> None:
    told.stats(2, attempted=100, accepted=80, refused=5, in_flight=10)
    text = told.text(3)
    assert "5 refused, 5 unknown; lost: known after the drain" in text


def test_servers_and_leaders_are_told(told: Told) -> None:
    told.tell(4, "server.exited", node="n1", returncode=0, expected=True)
    told.tell(4, "server.unanswered", node="n2", why="no answer")
    assert "servers n1 down, n2 silent, n3 up" in told.text(4)
    told.tell(4, "jetstream.leader", group="meta", node="n2", leader="n3")
    assert "leader  meta: n3" in told.text(4)
    told.tell(4, "jetstream.leader", group="meta", node="n3", leader=None)
    assert "leader  meta: n3, nobody (servers differ)" in told.text(4)
    told.tell(5, "jetstream.leader", group="meta", node="n3", leader=None, gone=True)
    assert "leader  meta: n3" in told.lines(5)


def test_what_a_server_said_of_leaders_ends_with_it(told: Told) -> None:
    told.tell(4, "jetstream.leader", group="meta", node="n1", leader="n1")
    told.tell(5, "server.exited", node="n1", returncode=-9, expected=True)
    told.tell(5, "jetstream.leader", group="meta", node="n2", leader="n2")
    assert "leader  meta: n2" in told.lines(6)


def test_a_new_iteration_begins_afresh(told: Told) -> None:
    told.fault(4.1, "injected")
    told.tell(4.2, "client.sign", client="hello-publisher-1", sign="EOF")
    told.tell(20, "faults.scheduled", steps=[], drawn=False)
    assert told.picture.iteration == 2
    assert "stop-seed" not in told.text(20)
    assert "away" not in told.text(20)


def test_an_interrupt_shows_at_once(told: Told) -> None:
    told.tell(3, "run.interrupted", by="SIGINT")
    assert told.lines(3)[0].endswith("INTERRUPTED by SIGINT")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
@pytest.mark.parametrize("height", [1, 2, 5, 8, 12, 40])
def test_whatever_the_size_it_fits_and_the_phase_stays(told: Told, width: int, height: int) -> None:
    told.phase(4, "fault")
    told.fault(4.1, "injected")
    told.stats(4.2, attempted=1)
    told.tell(4.2, "client.sign", client="hello-publisher-1", sign="EOF")
    lines = told.lines(5, width, height, tuple(f"line {n}" for n in range(50)))
    assert 0 < len(lines) <= height
    assert all(len(line) <= width for line in lines)
    assert lines[0].startswith("seed-failover")
    if height >= 5:
        assert any(line.startswith("now   fault") for line in lines)
        assert any("holding" in line for line in lines) or width < 60


def test_what_is_left_of_the_height_shows_the_latest_lines(told: Told) -> None:
    lines = told.lines(1, 80, 15, tuple(f"line {n}" for n in range(50)))
    assert len(lines) == 15
    assert lines[-1] == "line 49"


def test_of_many_faults_those_that_matter_now_are_shown(told: Told) -> None:
    steps = [
        {"name": f"kill.{n}", "action": "kill", "target": ["n1"], "at": f"{n}s"} for n in range(30)
    ]
    told.tell(0, "faults.scheduled", steps=steps, drawn=True)
    told.phase(4, "fault")
    for n in range(20):
        facts = {"fault": f"kill.{n}", "action": "kill", "targets": ["n1"]}
        told.tell(5, "fault.injected" if n == 19 else "fault.healed", **facts)
    text = told.text(6)
    assert "faults  30, 19 healed, 0 failed" in text
    assert "kill.19 (kill n1): holding" in text
    assert "kill.20 (kill n1): scheduled" in text
    assert "kill.3 " not in text


def test_what_others_said_cannot_steer_the_terminal(told: Told) -> None:
    told.phase(4, "fault")
    told.fault(4.2, "failed", message="a\x1b[2J\nb", edge="effect")
    assert "FAILED: a?[2J?b" in told.text(5)
