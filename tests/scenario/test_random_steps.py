"""Random steps: what is drawn, that it can be proven, and that it can be done again."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from harness.faults import FAULTS
from harness.scenario.draw import busy
from harness.scenario.dump import dump_yaml, plain_step
from harness.scenario.load import loads
from harness.scenario.reading import read_tree
from harness.scenario.schedule import family, possible_steps, replays, schedule
from harness.scenario.schema import scenario_schema
from harness.scenario.tree import to_plain
from harness.vocabulary import VOCABULARY

STORM = """
name: storm
seed: {seed}
repeat: 2
cluster: {{servers: {servers}}}
client: {{options: {{ping_interval: 500ms}}}}
workloads: [{{name: hello, kind: core, rate: 100/s}}]
phases: {{fault: 60s}}
faults:
  - {{name: storm, action: random, actions: [{actions}], {keys}}}
{more}
thresholds: {{duplicates: ["count == 0"], "failover_time{{fault:storm}}": ["n > 0"]}}
"""
ACTIONS = (
    "kill, stop, pause, lame-duck, restart, partition, reset, refuse, "
    "{action: delay, delay: 50ms}, {action: partition, between: servers, duration: 1s}"
)
KEYS = "pace: [1s, 3s], duration: [500ms, 2s]"


def text(
    seed: int = 1, servers: int = 5, actions: str = ACTIONS, keys: str = KEYS, more: str = ""
) -> str:
    return STORM.format(seed=seed, servers=servers, actions=actions, keys=keys, more=more)


def read(*arguments, **keys):
    return loads(text(*arguments, **keys), "s.yaml", VOCABULARY).scenario


def refusals(**keys) -> list[str]:
    with pytest.raises(Exception, match=r"s\.yaml:") as caught:
        read(**keys)
    return [line.split(": ", 1)[1] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("servers", [3, 5])
def test_what_is_drawn_stays_within_what_was_asked(seed, servers):
    scenario = read(seed, servers)
    nodes = scenario.cluster.nodes
    steps = schedule(scenario, 0)
    assert len(steps) > 8
    assert [step.name for step in steps] == [f"storm.{n + 1}" for n in range(len(steps))]
    starts = [step.at for step in steps]
    assert all(later - one >= 1.0 for one, later in pairwise(starts))
    for step in steps:
        assert step.target in nodes
        if step.action == "reset":
            assert step.duration is None
        elif getattr(step, "between", None) == "servers":
            assert step.duration == 1.0
        else:
            assert step.duration is not None
            assert 0.5 <= step.duration <= 2.0
        assert step.at + (step.duration or 0.0) <= 60.0
    taken = [busy(step, nodes) for step in steps]
    for one, other in combinations(taken, 2):
        assert not (one.overlaps(other) and one.disturbs(other)), (one.step, other.step)
    for one in taken:
        touched = frozenset().union(*(other.nodes for other in taken if other.overlaps(one)))
        at_once = {
            node
            for other in taken
            for node in other.nodes
            if other.from_ms <= one.from_ms < other.to_ms
        }
        assert len(at_once) <= (servers - 1) // 2, touched


def test_the_dice_are_fair_enough_that_every_action_and_node_has_its_turn():
    scenarios = [read(seed) for seed in range(25)]
    drawn = [step for one in scenarios for step in schedule(one, 0)]
    counts = {name: sum(step.action == name for step in drawn) for name in FAULTS}
    wanted = {step.action for step in possible_steps(scenarios[0])}
    assert {name for name, count in counts.items() if count} == wanted
    least = min(counts[name] for name in wanted)
    assert least > len(drawn) / len(wanted) / 3, counts
    assert {step.target for step in drawn} == {"n1", "n2", "n3", "n4", "n5"}


def test_seed_and_iteration_decide_and_nothing_else():
    scenario = read(7)
    assert schedule(scenario, 0) == schedule(read(7), 0)
    assert schedule(scenario, 0) != schedule(scenario, 1)
    assert schedule(scenario, 0) != schedule(read(8), 0)


def test_a_drawn_schedule_is_plain_yaml_that_does_the_same_again():
    scenario = read(3)
    files = replays(scenario)
    assert list(files) == ["replay-0.yaml", "replay-1.yaml"]
    for index, replay in enumerate(files.values()):
        again = loads(dump_yaml(replay), "replay.yaml", VOCABULARY).scenario
        assert again == replay
        assert (again.repeat, again.first_iteration) == (1, index)
        assert schedule(again, 0) == schedule(scenario, index)
        assert replays(again) == {}
        written = [plain_step(step) for step in schedule(scenario, index)]
        listed = "\n".join(f"  - {step}" for step in written).replace("'", "")
        head = text(3).partition("  - {name: storm")[0]
        by_hand = loads(f"{head}{listed}\n", "by-hand.yaml", VOCABULARY).scenario
        assert by_hand.faults == schedule(scenario, index)


def test_a_random_step_survives_being_written_down():
    scenario = read(actions=ACTIONS + ", {action: kill, count: minority}")
    assert loads(dump_yaml(scenario), "dump", VOCABULARY).scenario == scenario


def test_a_draw_leaves_other_faults_alone():
    more = (
        "  - {name: flap, action: pause, target: n2, at: 1s, duration: 1s, repeat_every: 12s}\n"
        "  - {name: cut, action: partition, target: n3, at: 30s, duration: 8s}"
    )
    for seed in range(8):
        scenario = read(seed, more=more)
        steps = schedule(scenario, 0)
        assert sum(family(step.name) == "flap" for step in steps) == 5
        taken = [busy(step, scenario.cluster.nodes) for step in steps]
        for one, other in combinations(taken, 2):
            if "storm" in {family(one.step.name), family(other.step.name)}:
                assert not (one.overlaps(other) and one.disturbs(other)), (one.step, other.step)


def test_how_often_how_many_and_whom_can_be_said():
    assert len(schedule(read(keys=f"{KEYS}, times: 3"), 0)) == 3
    pairs = schedule(read(actions="{action: kill, count: minority}"), 0)
    assert all(len(step.target) == 2 for step in pairs)
    assert all(len(set(step.target)) == 2 for step in pairs)
    pool = schedule(read(keys=f"{KEYS}, targets: [n4, n5]"), 0)
    assert {step.target for step in pool} == {"n4", "n5"}
    seeds = schedule(read(keys=f"{KEYS}, targets: seed"), 0)
    assert {step.target for step in seeds} == {"n1"}
    halves = "{action: partition, topology: halves}"
    drawn = schedule(read(actions=halves, keys=f"{KEYS}, keep: none"), 0)
    assert drawn
    assert {step.target for step in drawn} == {"all"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"actions": "kil"},
         "faults[0].actions[0]: unknown action 'kil' (did you mean 'kill'?)"),
        ({"actions": "{action: kil}"},
         "faults[0].actions[0].action: unknown action 'kil' (did you mean 'kill'?)"),
        ({"actions": "random"}, "faults[0].actions[0]: unknown action 'random' (known: "),
        ({"actions": "delay"},
         "faults[0].actions[0]: delay needs keys of its own; write a mapping with action: delay"),
        ({"actions": "{action: delay, delai: 3s}"},
         "faults[0].actions[0].delai: unknown key (did you mean 'delay'?)"),
        ({"actions": "{action: kill, target: n1}"},
         "faults[0].actions[0].target: this is drawn, so it is not given here"),
        ({"actions": "3"},
         "faults[0].actions[0]: expected an action or a mapping with one, found 3"),
        ({"actions": ""}, "faults[0].actions: expected a list with a length of at least 1, found"),
        ({"actions": "rolling-restart"},
         "faults[0].actions[0]: rolling-restart ends nobody knows when"),
        ({"actions": "{action: kill, duration: 61s}"},
         "faults[0].actions[0]: kill lasts 61s or more, and 60s are left"),
        ({"actions": "{action: partition, topology: halves}"},
         "faults[0].actions[0]: partition strikes 5 of 5 servers, and `keep: majority` leaves"),
        ({"servers": 2, "actions": "kill"},
         "faults[0].actions[0]: kill strikes 1 of 2 servers, and `keep: majority` leaves"),
        ({"servers": 2, "actions": "{action: kill, count: minority}", "keys": "keep: none"},
         "faults[0].actions[0]: minority of 2 is no node at all"),
        ({"servers": 1, "actions": "{action: partition, between: servers}"},
         "faults[0].actions[0].between: one server has no links to others"),
        ({"keys": "targets: [n1, n9]"}, "faults[0].targets[1]: unknown node 'n9'"),
        ({"keys": "targets: attached:hello"},
         "faults[0].targets: where clients are is known only in the run, after the draw"),
        ({"keys": "targets: minority"}, "faults[0].targets: 'minority' is a draw itself"),
        ({"keys": "pace: 10ms"}, "faults[0].pace: expected at least 100ms, found 10ms"),
        ({"keys": "pace: [3s]"}, "faults[0].pace: expected a range of two durations, found"),
        ({"keys": "duration: [3s, 1s]"},
         "faults[0].duration: expected a range from the shorter duration to the longer one"),
        ({"keys": "duration: 3"}, "faults[0].duration: expected a duration with its unit"),
        ({"keys": "at: 60s"}, "faults[0].at: starts at 1m, but phases.fault ends at 1m"),
        ({"keys": "keep: al"}, "faults[0].keep: expected 'majority', 'one' or 'none'"),
        ({"keys": "repeat_every: 2s"}, "faults[0].repeat_every: unknown key"),
        ({"more": "  - {name: storm.1, action: kill, duration: 1s}"},
         "faults[1].name: the occurrences of 'storm' are called so"),
        ({"more": "  - {name: hog, action: pause, target: all}"},
         "faults[0]: nothing of 'storm' fits beside the other faults in iteration 0"),
    ],
)  # fmt: skip
def test_a_draw_that_cannot_be_is_refused_with_the_reason(keys, message):
    lines = refusals(**keys)
    assert any(line.startswith(message) for line in lines), lines


def test_a_draw_needs_a_fault_phase():
    with pytest.raises(Exception, match=r"faults\[0\]: random needs phases.fault"):
        loads(text().replace("phases: {fault: 60s}\n", ""), "s.yaml", VOCABULARY)


def test_which_occurrence_a_draw_will_have_is_not_for_a_threshold():
    with pytest.raises(Exception, match=r"label 'fault' has no value 'storm\.1'"):
        loads(text().replace("fault:storm}", "fault:storm.1}"), "s.yaml", VOCABULARY)


def test_a_silent_action_that_nobody_can_notice_is_advised_against():
    keys = "duration: [500ms, 1s]"
    loaded = loads(text(actions="kill, pause", keys=keys), "s.yaml", VOCABULARY)
    (warning,) = loaded.warnings
    assert "faults[0].actions[1]: clients will not notice 'pause'" in warning
    assert loads(text(actions="kill, pause"), "s.yaml", VOCABULARY).warnings == ()


@pytest.mark.parametrize("action", sorted(FAULTS))
def test_every_fault_says_whether_it_takes_a_duration(action):
    with pytest.raises(ValidationError) as caught:
        FAULTS[action].model_validate({"name": "X", "action": action, "duration": "1s"})
    refused = any(error["loc"] == ("duration",) for error in caught.value.errors())
    assert refused == FAULTS[action].timeless
    assert FAULTS[action].self_timed or not FAULTS[action].timeless


def test_the_schema_knows_what_may_be_drawn():
    validator = Draft202012Validator(scenario_schema(VOCABULARY))

    def fits(**keys) -> bool:
        root = read_tree(text(**keys)).root
        assert root is not None
        return validator.is_valid(to_plain(root))

    assert fits()
    assert fits(keys="pace: 2s, duration: 1s, targets: [n1, n2], keep: one, times: 3")
    assert not fits(actions="kil")
    assert not fits(actions="{action: kill, target: n1}")
    assert not fits(actions="{action: delay}")
    assert not fits(keys="pace: [1s, 2s, 3s]")
    assert not fits(keys="keep: al")
    definition = scenario_schema(VOCABULARY)["$defs"]["action:random"]["properties"]
    assert definition["duration"]["default"] == ["500ms", "2s"]
