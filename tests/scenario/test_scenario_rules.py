# ruff: noqa: ISC004 - the tables wrap long messages, one tuple a case
from __future__ import annotations

import pytest

HELLO = "{name: hello, kind: core, rate: 500/s}"
ASK = "{name: ask, kind: request, rate: 10/s}"


def build(
    *,
    cluster: str = "{servers: 3}",
    client: str = "{}",
    workloads: str = HELLO,
    phases: str = "{}",
    faults: str = "",
    thresholds: str = "{}",
) -> str:
    return (
        f"name: x\ncluster: {cluster}\nclient: {client}\nworkloads: [{workloads}]\n"
        f"phases: {phases}\nfaults: [{faults}]\nthresholds: {thresholds}\n"
    )


def fault(name: str = "f", action: str = "stop", **keys: str) -> str:
    more = "".join(f", {key}: {value}" for key, value in keys.items())
    return f"{{name: {name}, action: {action}{more}}}"


def refused(refusals, text: str) -> str:
    (line,) = refusals(text)
    return line.split(": ", 1)[1]


def test_the_base_of_these_tests_is_accepted(refusals):
    assert refusals(build(faults=fault())) == []


@pytest.mark.parametrize(
    "version",
    [
        "bundled",
        "2.12.1",
        "./nats-server",
        "/usr/bin/nats-server",
        "{n1: 2.12.1, default: bundled}",
    ],
)
def test_versions_that_are_names_releases_or_paths_are_accepted(refusals, version):
    assert refusals(build(cluster=f"{{servers: 3, version: {version}}}")) == []


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("v2.12.1", "cluster.version: expected 'bundled', a release such as '2.12.1' or a path "
         "with a '/', found 'v2.12.1' (did you mean '2.12.1'?)"),
        ("bundle", "cluster.version: expected 'bundled', a release such as '2.12.1' or a path with "
         "a '/', found 'bundle' (did you mean 'bundled'?)"),
        ('"2.12"', "cluster.version: expected 'bundled', a release such as '2.12.1' or a path with "
         "a '/', found '2.12'"),
        ("2.12.1-preview", "found '2.12.1-preview'"),
        ('""', "found ''"),
        ("{n1: latest}", "cluster.version.n1: expected 'bundled'"),
        ("{n4: bundled}", "cluster.version.n4: unknown node 'n4' (known: n1, n2, n3, default)"),
    ],
)  # fmt: skip
def test_other_versions_are_refused(refusals, version, message):
    assert message in refused(refusals, build(cluster=f"{{servers: 3, version: {version}}}"))


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ("[n4]", "client.servers[0]: unknown node 'n4'"),
        ("[n1, n2, n1]", "client.servers[2]: node 'n1' is named twice"),
        ("[seed]", "client.servers[0]: unknown node 'seed' (the seed is 'n1')"),
    ],
)
def test_clients_bootstrap_from_nodes_that_exist(refusals, servers, message):
    assert message in refused(refusals, build(client=f"{{servers: {servers}}}"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{ping_intervall: 1s}", "client.options.ping_intervall: unknown option of nats-py "
         "(did you mean 'ping_interval'?)"),
        ("{ping_interval: 1}", "client.options.ping_interval: expected a duration with its unit, "
         "such as 250ms, 3s or 2m, found 1"),
        ("{tls: true}", "client.options.tls: unknown option of nats-py"),
        ("{verbose: 1}", "client.options.verbose: expected true or false, found 1"),
    ],
)  # fmt: skip
def test_client_options_exist_and_have_values_of_their_kind(refusals, options, message):
    assert message in refused(refusals, build(client=f"{{options: {options}}}"))


def test_workloads_have_different_names(refusals):
    line = refused(refusals, build(workloads=f"{HELLO}, {HELLO}"))
    assert line == "workloads[1].name: another workload is called 'hello' already"


def test_workloads_have_different_subjects(refusals):
    other = "{name: other, kind: core, rate: 1/s, subject: hello}"
    line = refused(refusals, build(workloads=f"{HELLO}, {other}"))
    assert line == "workloads[1].subject: workload 'hello' uses subject 'hello' already"


@pytest.mark.parametrize(
    ("traffic", "message"),
    [
        ("publishers: 999999999999, rate: 1/s", "workloads[0].publishers: expected a value "
         "of at most 10000, found 999999999999"),
        ("publishers: 10000, subscribers: 10000, rate: 1/s", "workloads[0]: 20000 clients up "
         "to here; expected at most 10000 in all"),
        ("rate: 1000/s, subscribers: 9000", "workloads[0].rate: 6012668000 messages sent and "
         "delivered up to here, in 668 s; expected at most 500000000 in all"),
    ],
)  # fmt: skip
def test_more_traffic_than_a_machine_can_hold_is_refused(refusals, traffic, message):
    workload = f"{{name: hello, kind: core, {traffic}}}"
    text = build(workloads=workload, phases="{steady: 11m}", faults=fault(duration="2s"))
    assert message in refused(refusals, text)


@pytest.mark.parametrize(
    "phases",
    ["{warmup: 0s, steady: 0s, recovery: 0s}", "{warmup: 0s, steady: 0s, fault: 0s, recovery: 0s}"],
)
def test_phases_in_which_nothing_is_sent_are_refused(refusals, phases):
    line = refused(refusals, build(phases=phases))
    assert line.startswith("phases: no message is ever sent: give warmup, steady")


@pytest.mark.parametrize("phases", ["{warmup: 0s}", "{recovery: 0s}", "{steady: 0s, drain: 0s}"])
def test_a_phase_of_no_length_beside_others_is_accepted(refusals, phases):
    assert refusals(build(phases=phases)) == []


@pytest.mark.parametrize(
    ("step", "path"),
    [
        (fault(duration="0s"), "faults[0].duration"),
        (fault(action="pause", duration="0ns"), "faults[0].duration"),
        (fault(action="random", actions="[pause]", duration="0s"), "faults[0].duration"),
        (fault(action="random", actions="[{action: pause, duration: 0s}]"),
         "faults[0].actions[0].duration"),
    ],
)  # fmt: skip
def test_what_is_undone_at_once_is_refused(refusals, step, path):
    line = refused(refusals, build(phases="{fault: 20s}", faults=step))
    assert line == f"{path}: expected more than 0s: a fault that is undone at once shows nothing"


@pytest.mark.parametrize("rate", ["1000001/s", "60000060/m", "9" * 20 + "/s"])
def test_rates_no_machine_can_meet_are_refused(refusals, rate):
    text = build(workloads=f"{{name: hello, kind: core, rate: {rate}}}")
    assert "no machine can meet this rate" in refused(refusals, text)
    assert refusals(text.replace(rate, "1000000/s")) == []


def test_payloads_larger_than_the_servers_take_are_refused(refusals):
    large = "{name: hello, kind: core, rate: 1/s, payload: 2MiB}"
    line = refused(refusals, build(workloads=large))
    assert line.startswith(
        "workloads[0].payload: the servers take at most 1MiB; set cluster.config"
    )
    assert refusals(build(workloads=large, cluster="{config: {max_payload: 2097152}}")) == []
    assert refusals(build(workloads=large, cluster="{config: {max_payload: 8MB}}")) == []


@pytest.mark.parametrize(
    ("attach", "message"),
    [
        ("{publisher: n1}", "workloads[0].attach.publisher: workload 'hello' has no role "
         "'publisher' (did you mean 'publishers'?)"),
        ("{publishers: n9}", "workloads[0].attach.publishers: unknown node 'n9'"),
        ("{publishers: sedd}", "unknown node 'sedd' (did you mean 'seed'?)"),
        ("{publishers: [n1, n9]}", "workloads[0].attach.publishers[1]: unknown node 'n9'"),
        ("{publishers: [n1, n1]}", "workloads[0].attach.publishers[1]: node 'n1' is named twice"),
        ("{publishers: []}", "expected at least one node, found an empty list"),
        ('{publishers: "stream-leader:S"}',
         "stream-leader needs JetStream; add cluster.jetstream: true"),
    ],
)  # fmt: skip
def test_attachments_are_roles_and_nodes(refusals, attach, message):
    text = build(workloads=f"{{name: hello, kind: core, rate: 1/s, attach: {attach}}}")
    assert message in refused(refusals, text)


@pytest.mark.parametrize(
    "target",
    ["n2", "seed", "[n1, n3]", "one", "minority", "majority", "all", "attached:hello",
     "attached:hello/publishers"],
)  # fmt: skip
def test_targets_that_exist_are_accepted(refusals, target):
    assert refusals(build(faults=fault(target=f'"{target}"' if ":" in target else target))) == []


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("n4", "faults[0].target: unknown target 'n4' (known: n1, n2, n3, seed, one, "
         "minority, majority, all, attached:WORKLOAD, meta-leader, stream-leader:STREAM, "
         "follower:STREAM, consumer-leader:STREAM/NAME)"),
        ("sed", "faults[0].target: unknown target 'sed' (did you mean 'seed'?)"),
        ("minor", "unknown target 'minor' (did you mean 'minority'?)"),
        ("[n1, n9]", "faults[0].target[1]: unknown node 'n9'"),
        ("[n1, n1]", "faults[0].target[1]: node 'n1' is named twice"),
        ("[n1, seed]", "faults[0].target[1]: unknown node 'seed'"),
        ("[]", "faults[0].target: expected at least one node, found an empty list"),
        ("meta-leader", "faults[0].target: meta-leader needs JetStream"),
        ('"stream-leader:ORDERS"', "stream-leader needs JetStream"),
        ('"consumer-leader:S/C"', "consumer-leader needs JetStream"),
        ('"follower:S"', "follower needs JetStream"),
        ('"attached:helo"', "faults[0].target: unknown workload 'helo' (did you mean 'hello'?)"),
        ('"attached:hello/publisher"', "workload 'hello' has no role 'publisher' (did you mean "
         "'publishers'?)"),
        ('"attached:"', "unknown target 'attached:'"),
        ("minority, count: one", "target 'minority' and count 'one' say different things"),
        ('""', "unknown target ''"),
    ],
)  # fmt: skip
def test_other_targets_are_refused(refusals, target, message):
    assert message in refused(refusals, build(faults=fault(target=target)))


@pytest.mark.parametrize("servers", [1, 2])
def test_a_minority_of_fewer_than_three_is_refused(refusals, servers):
    text = build(cluster=f"{{servers: {servers}}}", faults=fault(target="minority"))
    expected = f"faults[0].target: a minority of {servers} is no node at all; expected 3 or more"
    assert refused(refusals, text) == expected


def test_a_minority_of_a_short_list_is_refused_at_its_count(refusals):
    text = build(faults=fault(target="[n1, n2]", count="minority"))
    assert refused(refusals, text).startswith("faults[0].count: a minority of 2 is no node")


def test_all_nodes_may_be_hit(refusals):
    assert refusals(build(cluster="{servers: 1}", faults=fault(target="all"))) == []


def test_faults_have_different_names(refusals):
    text = build(faults=f"{fault(target='n1')}, {fault(target='n2')}")
    assert refused(refusals, text) == "faults[1].name: another fault is called 'f' already"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"duration": "6s"},
            "faults[0].duration: the fault ends at 6s, but phases.fault ends at 5s",
        ),
        ({"at": "2s", "duration": "4s"}, "faults[0].duration: the fault ends at 6s"),
        ({"at": "9s", "duration": "1s"}, "faults[0].at: the fault ends at 10s"),
        ({"at": "5s", "duration": "~"}, "faults[0].at: starts at 5s, but phases.fault ends at 5s"),
        ({"at": "2s"}, "faults[0].duration: the fault ends at 6s"),
    ],
)
def test_a_fault_that_ends_after_its_phase_is_refused(refusals, keys, message):
    text = build(phases="{fault: 5s}", faults=fault(**keys))
    assert message in refused(refusals, text)


def test_a_fault_may_end_with_its_phase(refusals):
    text = build(phases="{fault: 300ms}", faults=fault(at="100ms", duration="200ms"))
    assert refusals(text) == []
    assert refusals(build(faults=fault(at="1h", duration="1h"))) == []


OVERLAPS = [
    ("n1", "n1"), ("seed", "n1"), ("[n1, n2]", "n2"), ("all", "n3"), ("all", "one"),
    ("majority", "majority"), ("[n2, n3], count: majority", "all"), ("minority", "all"),
]  # fmt: skip
MAY_MISS = [
    ("n1", "n2"), ("one", "one"), ("minority", "majority"), ("one", "n1"),
    ("[n1, n2]", "n3"), ('"attached:hello"', "n1"), ("[n1, n2], count: one", "[n2, n3]"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), [*OVERLAPS, *((b, a) for a, b in OVERLAPS)])
def test_faults_that_surely_share_a_node_at_one_time_are_refused(refusals, one, other):
    a = fault("a", "stop", at="0s", duration="4s", target=one)
    b = fault("b", "pause", at="3s", duration="4s", target=other)
    line = refused(refusals, build(faults=f"{a}, {b}"))
    assert line.startswith("faults[1].at: 'a' and 'b' both act on ")
    assert line.endswith("'a' ends at 4s and 'b' starts at 3s; leave a gap")
    later = build(faults=f"{a}, {b}").replace("at: 3s", "at: 4500ms")
    assert refusals(later) == []


@pytest.mark.parametrize(("one", "other"), MAY_MISS)
def test_faults_that_may_miss_each_other_are_accepted(refusals, one, other):
    a = fault("a", "stop", at="0s", duration="4s", target=one)
    b = fault("b", "pause", at="3s", duration="4s", target=other)
    assert refusals(build(faults=f"{a}, {b}")) == []


def test_faults_that_touch_are_refused_for_the_undo_takes_time(refusals):
    a = fault("a", at="0s", duration="4s", target="n1")
    b = fault("b", at="4s", duration="4s", target="n1")
    assert "leave a gap" in refused(refusals, build(faults=f"{a}, {b}"))


def test_a_fault_without_an_end_is_held_against_later_ones(refusals):
    a = fault("a", "lame-duck", at="0s", target="n1")
    b = fault("b", "stop", at="9s", duration="1s", target="n1")
    line = refused(refusals, build(faults=f"{a}, {b}"))
    assert line.endswith("give 'a' a duration, so that its end is known")
    assert refusals(build(faults=f"{b.replace('9s', '0s')}, {a.replace('0s', '9s')}")) == []


def test_a_fault_that_would_never_end_is_refused_unless_the_phase_ends_it(refusals, edited):
    unheld = edited(("action: stop", "action: pause"), (", duration: 4s", ""))
    line = refused(refusals, unheld)
    assert line.endswith("pause needs a duration, or phases.fault to last until")
    bounded = unheld.replace("warmup: 1s", "fault: 9s, warmup: 1s")
    assert refusals(bounded) == []


def test_a_rolling_restart_takes_no_duration_so_only_its_start_is_held_against_others(refusals):
    a = fault("a", "rolling-restart", at="0s", target="all")
    b = fault("b", "stop", at="30s", duration="1s", target="n1")
    assert refusals(build(faults=f"{a}, {b}")) == []
    line = refused(refusals, build(faults=f"{a}, {b.replace('30s', '0s')}"))
    assert line.endswith("both act on n1: start 'b' after 'a' has ended")


def test_faults_that_leave_the_process_alone_may_overlap(refusals):
    a = fault("a", "delay", by="5ms", at="0s", duration="4s", target="n1")
    b = fault("b", "stop", at="1s", duration="1s", target="n1")
    assert refusals(build(faults=f"{a}, {b}")) == []


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ('lst: ["count == 0"]', "thresholds.lst: unknown metric 'lst' (did you mean 'lost'?)"),
        ('"lost{phase}": ["count == 0"]', "expected label:value inside the braces, found 'phase'"),
        ('"lost{}": ["count == 0"]', "expected label:value inside the braces"),
        ('"lost{phase:fault,phase:steady}": ["count == 0"]', "label 'phase' is given twice"),
        ('"lost {x": ["count == 0"]', "expected metric or metric{label:value}"),
        ('"lost{fase:steady}": ["count == 0"]', "lost has no label 'fase' (did you mean 'phase'?)"),
        ('"lost{phase:stedy}": ["count == 0"]', "label 'phase' has no value 'stedy' (did you mean "
         "'steady'?)"),
        ('"lost{workload:helo}": ["count == 0"]', "no value 'helo' (did you mean 'hello'?)"),
        ('"failover_time{fault:g}": ["max < 1s"]', "label 'fault' has no value 'g' (known: f)"),
        ('"server_detection_time{server:n9}": ["max < 1s"]', "label 'server' has no value 'n9'"),
        ('"server_detection_time{what:gone}": ["max < 1s"]', "label 'what' has no value 'gone'"),
        ('"cluster_detection_time{server:n2}": ["max < 1s"]', "has no label 'server'"),
        ('"lost{workload:ask}": ["count == 0"]', "lost needs a core workload, and workload 'ask' "
         "is not one"),
        ('"time_to_first_ack{workload:hello}": ["max < 1s"]', "needs a workload whose "
         "messages are answered, and workload 'hello' is not one"),
        ('"failover_time{workload:hello,role:requester}": ["max < 1s"]', "no client has the role "
         "'requester' here"),
        ('"lost{phase:drain}": ["count == 0"]', "no message is due in phase 'drain' here, so this "
         "would always hold"),
        ('"lost{phase:warmup}": ["count == 0"]', "no message is due in phase 'warmup'"),
        ("lost: []", "thresholds.lost: expected at least one condition, found an empty list"),
        ('lost: ["coun == 0"]', "thresholds.lost[0]: lost has no statistic 'coun' (did you mean "
         "'count'?)"),
        ('lost: ["p99 < 3s"]', "lost has no statistic 'p99' (known: count, ratio)"),
        ('lost: ["count"]', "expected 'statistic operator limit', such as 'count == 0', found "
         "'count'"),
        ('lost: ["count = 0"]', "expected 'statistic operator limit'"),
        ('lost: ["count != 0"]', "expected 'statistic operator limit'"),
        ('lost: ["count == -1"]', "expected a plain number for count, found '-1'"),
        ('lost: ["count == 0s"]', "expected a plain number for count, found '0s'"),
        ('lost: ["ratio < 1s"]', "expected a share such as 1% or 0.01 for ratio, found '1s'"),
        ('failover_time: ["p99 < 3"]', "thresholds.failover_time[0]: expected a duration with its "
         "unit, such as 250ms, 3s or 2m, found '3'"),
        ('failover_time: ["censored == 0s"]', "expected a plain number for censored, found '0s'"),
        ('reconnect_attempts: ["max < 3s"]', "expected a plain number for max, found '3s'"),
        (f'lost: ["count < {"9" * 400}"]', "expected a plain number for count"),
        (f'failover_time: ["max < {"9" * 400}s"]', "expected a duration"),
        ('lost: ["count == 0", "count==0"]', "thresholds.lost[1]: the condition 'count==0' is "
         "given twice"),
        ('failover_time: ["max < 1s"], "failover_time ": ["max < 1000ms"]', "is given twice"),
        ('lost: ["count >= 0"]', "'count >= 0' always holds, so it checks nothing"),
        ('failover_time: ["max >= 0s"]', "always holds"),
        ('lost: ["ratio >= 0%"]', "always holds"),
        ('lost: ["ratio < 10"]', "thresholds.lost[0]: 'ratio < 10' always holds, so it checks "
         "nothing: lost is at most 100% of what could have been counted (did you mean '10%'?)"),
        ('lost: ["ratio < 150%"]', "'ratio < 150%' always holds, so it checks nothing: lost is at "
         "most 100% of what could have been counted"),
        ('lost: ["ratio <= 100%"]', "always holds"),
        ('lost: ["ratio <= 1"]', "always holds"),
        ('lost: ["ratio > 100%"]', "'ratio > 100%' never holds: lost is at most 100%"),
        ('lost: ["ratio >= 5"]', "'ratio >= 5' never holds: lost is at most 100% of what could "
         "have been counted (did you mean '5%'?)"),
        ('lost: ["ratio == 2"]', "never holds"),
        ('lost: ["count < 0"]', "'count < 0' never holds"),
        ('failover_time: ["max < 0s"]', "'max < 0s' never holds"),
    ],
)  # fmt: skip
def test_thresholds_that_cannot_be_judged_are_refused(refusals, thresholds, message):
    text = build(
        workloads=f"{HELLO}, {ASK}",
        phases="{warmup: 0s}",
        faults=fault(),
        thresholds=f"{{{thresholds}}}",
    )
    assert message in refused(refusals, text)


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        ("lost: ['count == LONG']", "thresholds.lost[0]: expected a plain number for count, found"),
        ("lost: ['ratio < LONG']", "thresholds.lost[0]: expected a share such as 1% or 0.01"),
        ("lost: ['pLONG < 1']", "thresholds.lost[0]: lost has no statistic"),
        ("failover_time: ['max < LONGs']", "expected a duration with its unit"),
        ("failover_time: ['max   LONG']", "expected 'statistic operator limit'"),
    ],
)
def test_a_threshold_of_any_length_is_told_of_in_short(refusals, threshold, message):
    text = build(faults=fault(duration="1s"), thresholds=f"{{{threshold}}}")
    line = refused(refusals, text.replace("LONG", "9" * 500_000))
    assert message in line
    assert "found ''" not in line
    assert len(line) < 400


@pytest.mark.parametrize(
    "thresholds",
    [
        'lost: ["ratio < 1%"]', 'lost: ["ratio < 0.5"]', '"lost{ phase : steady }": ["count==0"]',
        '"failover_time{workload:hello,role:publisher,fault:f}": ["p99 <= 3s", "n > 0"]',
        '"lost{phase:fault,state:connected}": ["count == 0"]', 'reconnect_attempts: ["max < 5"]',
        '"service_latency{workload:ask,phase:recovery}": ["p50 < 5ms"]',
        'time_to_first_ack: ["censored == 0"]', 'lost: ["count >= 1"]',
        'lost: ["ratio < 100%"]', 'lost: ["ratio == 1"]',
        'lost: ["ratio >= 100%"]', 'duplicates: ["ratio < 150%", "ratio <= 1"]',
    ],
)  # fmt: skip
def test_thresholds_that_can_be_judged_are_accepted(refusals, thresholds):
    text = build(workloads=f"{HELLO}, {ASK}", faults=fault(), thresholds=f"{{{thresholds}}}")
    assert refusals(text) == []


FAULT_METRICS = [
    "detection_time", "reconnect_latency", "failover_time", "reconnect_attempts",
    "time_to_first_delivery", "outage_window", "recovery_time",
]  # fmt: skip


@pytest.mark.parametrize("metric", FAULT_METRICS)
def test_metrics_of_faults_need_a_fault(refusals, metric):
    text = build(thresholds=f'{{{metric}: ["n == 0"]}}')
    assert f"{metric} needs a fault, and the scenario has none" in refused(refusals, text)


def test_metrics_of_kinds_need_a_workload_of_that_kind(refusals):
    acks = build(faults=fault(), thresholds='{time_to_first_ack: ["n == 0"]}')
    assert "needs a workload whose messages are answered, and the scenario has none" in refused(
        refusals, acks
    )
    losses = build(workloads=ASK, thresholds='{lost: ["count == 0"]}')
    assert "lost needs a core workload, and the scenario has none" in refused(refusals, losses)
    for metric in ("stream_lost", "replica_lost", "consumer_lost", "redelivered", "health_lied"):
        text = build(thresholds=f'{{{metric}: ["count == 0"]}}')
        assert f"{metric} needs a jetstream workload, and" in refused(refusals, text)


def test_the_fault_phase_is_a_label_only_where_there_is_one(refusals):
    thresholds = '{"lost{phase:fault}": ["count == 0"]}'
    assert "no message is due in phase 'fault'" in refused(refusals, build(thresholds=thresholds))
    assert refusals(build(thresholds=thresholds, phases="{fault: 2s}")) == []
    assert refusals(build(thresholds=thresholds, faults=fault())) == []
