"""Streams, and the workloads that use them, as a user writes them."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml
from harness.scenario.load import loads
from harness.scenario.schema import scenario_schema
from harness.scenario.streams import StreamSpec
from harness.scenario.subjects import PATTERN, Patterns, check_pattern, concrete, covers, overlap
from harness.vocabulary import VOCABULARY

STREAM = '{name: ORDERS, subjects: ["o.>"], replicas: 3}'
COMMAND = "{name: f, action: command, duration: 1s, inject: a, observe: b, heal: c}"
WORKLOAD = "{name: orders, kind: jetstream, stream: ORDERS}"


def build(
    *,
    streams: str = STREAM,
    workloads: str = WORKLOAD,
    cluster: str = "{servers: 3, jetstream: true}",
    more: str = "",
) -> str:
    return f"name: x\ncluster: {cluster}\nstreams: [{streams}]\nworkloads: [{workloads}]\n{more}"


def refused(text: str) -> str:
    with pytest.raises(ScenarioError) as error:
        loads(text, "s.yaml", VOCABULARY)
    return str(error.value)


def orders(more: str) -> str:
    return build(workloads=f"{{name: orders, kind: jetstream, stream: ORDERS, {more}}}")


def test_a_stream_and_its_workload_are_accepted() -> None:
    scenario = loads(build(), "s.yaml", VOCABULARY).scenario
    assert scenario.stream("ORDERS").filters == ("o.>",)
    assert scenario.workload("orders").subject_among(scenario.streams) == "o.orders"


def test_a_stream_takes_its_own_name_unless_it_is_told() -> None:
    assert StreamSpec(name="ORDERS").filters == ("orders",)
    assert StreamSpec(name="ORDERS").config() == {
        "name": "ORDERS", "subjects": ["orders"], "num_replicas": 1, "storage": "file",
        "retention": "limits", "discard": "old",
    }  # fmt: skip


def test_what_is_given_reaches_the_server_in_its_own_units() -> None:
    spec = StreamSpec.model_validate(
        {"name": "S", "max_age": "2s", "max_bytes": "1KiB", "duplicate_window": "100ms",
         "compression": "s2", "allow_direct": True, "options": {"deny_delete": True}}
    )  # fmt: skip
    config = spec.config()
    assert config["max_age"] == 2_000_000_000
    assert config["max_bytes"] == 1024
    assert config["duplicate_window"] == 100_000_000
    assert (config["compression"], config["allow_direct"]) == ("s2", True)
    assert config["deny_delete"] is True


@pytest.mark.parametrize(
    ("more", "keeps"),
    [({}, True), ({"max_msgs": 5}, False), ({"retention": "workqueue"}, False),
     ({"max_age": "1h"}, False), ({"options": {"max_msgs_per_subject": 1}}, None)],
)  # fmt: skip
def test_only_a_stream_without_limits_keeps_all(
    more: dict[str, object], keeps: bool | None
) -> None:
    if keeps is None:
        with pytest.raises(ValueError, match="is given by the key 'max_msgs_per_subject'"):
            StreamSpec.model_validate({"name": "S"} | more)
    else:
        assert StreamSpec.model_validate({"name": "S"} | more).keeps_all is keeps


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ("{name: A.B}", "streams[0].name"),
        ("{name: ORDERS, replicas: 6}", "streams[0].replicas"),
        ("{name: ORDERS, replicas: 4}", "4 replicas need as many servers, the cluster has 3"),
        (f'{STREAM}, {{name: ORDERS, subjects: ["p"]}}', "another stream is called 'ORDERS'"),
        (f'{STREAM}, {{name: B, subjects: ["o.*.x"]}}',
         "streams[1].subjects: stream 'ORDERS' takes 'o.>', which 'o.*.x' overlaps"),
        ("{name: orders}, {name: ORDERS}", "streams[1].name: stream 'orders' takes 'orders'"),
        ("{name: ORDERS, retention: forever}", "streams[0].retention"),
        ('{name: ORDERS, subjects: ["o*"]}', "streams[0].subjects[0]: the server takes 'o*' in"),
    ],
)  # fmt: skip
def test_streams_that_cannot_be_are_refused(streams: str, message: str) -> None:
    assert message in refused(build(streams=streams))


def test_streams_need_jetstream() -> None:
    message = "streams need JetStream; add cluster.jetstream: true"
    assert message in refused(build(cluster="{servers: 3}"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("stream: ORDER", "workloads[0].stream: there is no stream 'ORDER' (did you mean 'ORDERS'"),
        ("subject: p.x", "workloads[0].subject: stream 'ORDERS' takes o.>, and not 'p.x'"),
        ("subject: o.*", "workloads[0].subject"),
        ("ack_timeout: 5", "workloads[0].ack_timeout"),
        ("ack_timeout: 0s", "workloads[0].ack_timeout"),
        ("max_in_flight: 0", "workloads[0].max_in_flight"),
        ("retry: {max: 0}", "workloads[0].retry.max"),
        ("retry: {maximum: 2}", "retry.maximum: unknown key (did you mean 'max'?)"),
        ("consumers: [{mode: pul}]", "workloads[0].consumers[0].mode"),
        ("consumers: [{durable: C1, name: C2}]", "is called what durable says; remove name"),
        ("consumers: [{durable: a.b}]", "workloads[0].consumers[0].durable"),
        ("consumers: [{mode: push, batch: 5}]", "batch needs mode pull, and this consumer is push"),
        ("consumers: [{idle_heartbeat: 1s}]", "idle_heartbeat needs mode push or ordered"),
        ("consumers: [{mode: ordered, durable: C1}]", "durable needs mode pull or push"),
        ("consumers: [{mode: ordered, ack: explicit}]", "acknowledges nothing; remove ack"),
        ("consumers: [{durable: C1, ack: all, clients: 2}]", "what others have not handled"),
        ("consumers: [{mode: push, flow_control: true}]", "flow_control needs idle_heartbeat"),
        ("consumers: [{options: {ack_wait: 5}}]", "'ack_wait' is given by the key 'ack_wait'"),
        ("consumers: [{durable: C1, replicas: 5}]", "has 3 replica(s), a consumer no more"),
        ("consumers: [{durable: C1, filter: p.x}]",
         "workloads[0].consumers[0].filter: stream 'ORDERS' takes o.>, and nothing on 'p.x'"),
        ("consumers: [{durable: C1, filter: o.two}]",
         "s.yaml:4:95: workloads[0].consumers[0].filter: no workload publishes on 'o.two', so"),
        ("consumers: [{durable: C1, filter: o.o*}]",
         "filter: the server takes 'o*' in 'o.o*' literally: a wildcard is a token of its own"),
        ("consumers: [{durable: C1, filter: o.>.x}]",
         "consumers[0].filter: '>' stands for the rest of a subject, so it comes last in 'o.>.x'"),
        ("consumers: [{durable: C1, filter: o..x}]",
         "consumers[0].filter: expected tokens between dots, without blanks, found 'o..x'"),
        ("consumers: [{durable: C1}, {durable: C1}]",
         "workloads[0].consumers[1].durable: stream 'ORDERS' has another consumer 'C1'"),
        ('attach: {publishers: "stream-leader:ORDER"}', "unknown stream 'ORDER'"),
        ('attach: {consumers: "consumer-leader:ORDERS/C9"}, consumers: [{durable: C1}]',
         "unknown consumer 'C9'"),
        ("attach: {subscribers: n1}", "workload 'orders' has no role 'subscribers'"),
    ],
)  # fmt: skip
def test_workloads_that_a_stream_does_not_allow_are_refused(more: str, message: str) -> None:
    text = orders(more)
    if more.startswith("stream:"):
        text = build(workloads=f"{{name: orders, kind: jetstream, {more}}}")
    assert message in refused(text)


@pytest.mark.parametrize("consumer", ["", "durable: C1", "mode: push, name: E", "mode: ordered"])
def test_a_resolved_scenario_is_a_scenario_again(consumer: str) -> None:
    text = orders(f"retry: {{}}, consumers: [{{{consumer}}}]")
    scenario = loads(text, "s.yaml", VOCABULARY).scenario
    assert loads(dump_yaml(scenario), "t.yaml", VOCABULARY).scenario == scenario


def test_acknowledgements_that_may_be_lost_want_a_drain_as_long_as_they_are_waited_for() -> None:
    def warnings(consumer: str, *, faults: str = "{name: f, action: kill, duration: 1s}") -> str:
        text = build(
            workloads=f"{{name: w, kind: jetstream, stream: ORDERS, consumers: [{consumer}]}}",
            more=f"phases: {{drain: 10s}}\nfaults: [{faults}]\n",
        )
        return " ".join(loads(text, "s.yaml", VOCABULARY).warnings)

    assert "workloads[0].consumers[0]: a message whose acknowledgement is lost" in warnings("{}")
    assert "ack_wait 30s > drain 10s" in warnings("{durable: C1}")
    assert "ack_wait 11s > drain 10s" in warnings("{durable: C1, ack_wait: 11s}")
    for fine in ("{ack_wait: 10s}", "{ack: none}", "{mode: ordered}"):
        assert "acknowledgement" not in warnings(fine)
    assert "acknowledgement" not in warnings("{}", faults="")


def test_a_stream_must_be_named() -> None:
    assert "stream" in refused(build(workloads="{name: orders, kind: jetstream}"))


def test_a_work_queue_wants_every_message_acknowledged() -> None:
    queue = '{name: ORDERS, subjects: ["o.>"], retention: workqueue}'
    for consumer, key in (("{mode: ordered}", "mode"), ("{durable: C, ack: none}", "ack")):
        text = build(
            streams=queue,
            workloads=f"{{name: w, kind: jetstream, stream: ORDERS, consumers: [{consumer}]}}",
        )
        message = f"workloads[0].consumers[0].{key}: stream 'ORDERS' is a work queue"
        assert message in refused(text)


def test_a_stream_that_removes_what_is_consumed_wants_consumers_replicated_as_it_is() -> None:
    def consuming(consumer: str, **keys: object) -> str:
        more = "".join(f", {key}: {value}" for key, value in keys.items())
        return build(
            cluster="{servers: 3, jetstream: true}",
            streams=f'{{name: ORDERS, subjects: ["o.>"]{more}}}',
            workloads=f"{{name: w, kind: jetstream, stream: ORDERS, consumers: [{consumer}]}}",
        )

    durable = "{durable: C, replicas: 1}"
    for retention, consumer, key in (
        ("interest", "{mode: ordered}", "mode"),
        ("interest", durable, "replicas"),
        ("workqueue", durable, "replicas"),
    ):
        said = refused(consuming(consumer, retention=retention, replicas=3))
        assert f"workloads[0].consumers[0].{key}: stream 'ORDERS' has 3 replicas" in said
        assert "the server refuses a consumer with 1" in said
        for keys in ({"retention": retention}, {"replicas": 3}):
            loads(consuming(consumer, **keys), "s.yaml", VOCABULARY)
    fine = consuming("{durable: C, replicas: 3}, {}", retention="interest", replicas=3)
    loads(fine, "s.yaml", VOCABULARY)


def test_messages_have_to_come_with_their_payloads() -> None:
    consumer = "{durable: C, options: {headers_only: true}}"
    text = build(workloads=f"{{name: w, kind: jetstream, stream: ORDERS, consumers: [{consumer}]}}")
    assert "messages are told by their payloads, which headers_only leaves out" in refused(text)


def test_a_filter_may_be_for_what_a_stream_makes_of_its_subjects() -> None:
    stream = (
        '{name: ORDERS, subjects: ["o.>"], options: {subject_transform: {src: o.*, dest: t.$1}}}'
    )
    consumer = "{durable: C, filter: t.x}"
    text = build(
        streams=stream,
        workloads=f"{{name: w, kind: jetstream, stream: ORDERS, consumers: [{consumer}]}}",
    )
    loads(text, "s.yaml", VOCABULARY)
    plain = text.replace(", options: {subject_transform: {src: o.*, dest: t.$1}}", "")
    assert "stream 'ORDERS' takes o.>, and nothing on 't.x'" in refused(plain)


def test_two_workloads_share_a_stream_by_different_subjects_and_consumers() -> None:
    one = "{name: a, kind: jetstream, stream: ORDERS, consumers: [{durable: C1}]}"
    two = "{name: b, kind: jetstream, stream: ORDERS, consumers: [{durable: C2}]}"
    loads(build(workloads=f"{one}, {two}"), "s.yaml", VOCABULARY)
    same = two.replace("C2", "C1")
    message = "workloads[1].consumers[0].durable: stream 'ORDERS' has another consumer 'C1'"
    assert message in refused(build(workloads=f"{one}, {same}"))
    same = two.replace("stream: ORDERS", "stream: ORDERS, subject: o.a")
    assert "workload 'a' uses subject 'o.a' already" in refused(build(workloads=f"{one}, {same}"))


def test_a_filter_may_be_for_what_another_workload_publishes() -> None:
    one = "{name: a, kind: jetstream, stream: ORDERS, consumers: [{durable: C1, filter: F}]}"
    two = "{name: b, kind: jetstream, stream: ORDERS, subject: o.x.y}"
    for filter_ in ("o.a", "o.x.*", "o.*.y", "'>'"):
        workloads = f"{one.replace('F}', filter_ + '}')}, {two}"
        loads(build(workloads=workloads), "s.yaml", VOCABULARY)
    text = build(workloads=f"{one.replace('F}', 'o.x.*}')}")
    assert "no workload publishes on 'o.x.*'" in refused(text)


@pytest.mark.parametrize(
    "given",
    [
        {"cluster": "{servers: 3, jetstream: true, config: {mappings: {o.orders: o.two}}}"},
        {"cluster": "{servers: 3, jetstream: true, config: {accounts: {}}}"},
        {"cluster": '{attach: {a: {client: "nats://a:4222", monitor: "http://a:8222"}}}'},
        {"streams": STREAM.replace("}", ", options: {sources: [{name: X}]}}")},
        {"more": f"faults: [{COMMAND}]\n"},
    ],
    ids=str,
)
def test_who_cannot_know_all_publishers_does_not_call_a_filter_idle(given: dict[str, str]) -> None:
    workload = WORKLOAD.replace("}", ", consumers: [{durable: C1, filter: o.two}]}")
    given = {"streams": STREAM.replace(", replicas: 3", ""), **given, "workloads": workload}
    loads(build(**given), "s.yaml", VOCABULARY)


def test_a_filter_on_what_servers_publish_is_not_idle() -> None:
    stream = '{name: ORDERS, subjects: ["o.>", "$JS.EVENT.>"]}'
    loads(
        build(
            streams=stream,
            workloads=WORKLOAD.replace("}", ", consumers: [{filter: $JS.EVENT.ADVISORY.>}]}"),
        ),
        "s.yaml",
        VOCABULARY,
    )


@given(st.text(alphabet=".a*>", max_size=6))
def test_the_schema_takes_the_patterns_that_the_scenario_takes(pattern: str) -> None:
    try:
        taken = check_pattern(pattern) == pattern
    except ValueError:
        taken = False
    assert taken is (re.search(PATTERN, pattern) is not None)


@pytest.mark.parametrize("kind", ["core", "request"])
def test_what_a_stream_takes_is_not_for_core_nats(kind: str) -> None:
    text = build(workloads=f"{{name: w, kind: {kind}, subject: o.x}}")
    message = "workloads[0].subject: stream 'ORDERS' takes subject 'o.x'; publish to a stream with"
    assert message in refused(text)
    assert "workloads[0].name: stream 'W'" in refused(
        build(streams="{name: W}", workloads=f"{{name: w, kind: {kind}}}")
    )
    loads(build(workloads=f"{{name: w, kind: {kind}}}"), "s.yaml", VOCABULARY)


@pytest.mark.parametrize(
    "where", ["meta-leader", "stream-leader:ORDERS", "follower:ORDERS", "consumer-leader:ORDERS/C1"]
)
def test_clients_may_be_attached_to_leaders(where: str) -> None:
    text = orders(f'consumers: [{{durable: C1}}], attach: {{publishers: "{where}"}}')
    loads(text, "s.yaml", VOCABULARY)


def test_what_only_subscriptions_can_show_is_not_judged_without_any() -> None:
    more = 'thresholds: {lost: ["count == 0"]}\n'
    assert "lost needs a core" in refused(build(more=more))
    both = build(workloads=f"{WORKLOAD}, {{name: hello, kind: core}}", more=more)
    loads(both, "s.yaml", VOCABULARY)


@pytest.mark.parametrize(
    "metric", ["duplicates", "out_of_order", "corrupted", "unexpected", "recovered"]
)
def test_what_streams_show_as_well_is_judged_without_subscriptions(metric: str) -> None:
    loads(build(more=f'thresholds: {{{metric}: ["count == 0"]}}\n'), "s.yaml", VOCABULARY)


@pytest.mark.parametrize("metric", ["time_to_first_ack", "outage_window", "recovery_time"])
def test_what_acknowledgements_show_can_be_judged(metric: str) -> None:
    faults = "faults: [{name: f, action: kill, duration: 1s}]\n"
    text = build(more=f'{faults}thresholds: {{{metric}: ["max < 9s"]}}\n')
    loads(text, "s.yaml", VOCABULARY)


def test_the_roles_of_thresholds_are_publisher_and_consumer() -> None:
    text = build(more='thresholds: {"disconnects{role:consumer}": ["count == 0"]}\n')
    loads(text, "s.yaml", VOCABULARY)


def test_the_schema_knows_the_workload() -> None:
    schema = json.dumps(scenario_schema(VOCABULARY))
    for word in ("jetstream", "ack_timeout", "max_in_flight", "flow_control", "msg_id"):
        assert f'"{word}"' in schema


@pytest.mark.parametrize(
    ("wider", "narrower", "covered"),
    [
        ("o.>", "o.a", True), ("o.>", "o.a.b", True), ("o.>", "o", False), ("o.>", "o.*", True),
        ("o.*", "o.a", True), ("o.*", "o.a.b", False), ("o.*", "o.>", False), (">", "a", True),
        ("a.b", "a.b", True), ("a.b", "a.c", False), ("a.b", "a", False), ("a", "a.b", False),
        ("a.b", "a.*", False),
    ],
)  # fmt: skip
def test_a_subject_covers_what_its_wildcards_stand_for(
    wider: str, narrower: str, *, covered: bool
) -> None:
    assert covers(wider, narrower) is covered


TOKENS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3)
PATTERNS = st.tuples(TOKENS, st.booleans()).map(
    lambda drawn: ".".join([*drawn[0], ">"] if drawn[1] else drawn[0])
)
SUBJECTS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=4).map(".".join)


@given(st.lists(PATTERNS, max_size=6), PATTERNS)
def test_a_tree_of_patterns_finds_what_trying_each_finds(patterns: list[str], other: str) -> None:
    fitting = [one for one in patterns if overlap(one, other)]
    found = Patterns(patterns).overlapping(other)
    assert found in fitting if fitting else found is None


def test_streams_of_many_subjects_that_overlap_are_told_of_once_and_soon() -> None:
    ends = {"A": ("'*", ">'"), "B": ("b", "c"), "C": ("b", "d")}
    subjects = {
        name: ", ".join(f"{first}.*.*.x{one}.{last}" for one in range(1500))
        for name, (first, last) in ends.items()
    }
    streams = ", ".join(f"{{name: {name}, subjects: [{all_}]}}" for name, all_ in subjects.items())
    before_s = time.process_time()
    lines = refused(build(streams=streams)).splitlines()
    assert time.process_time() - before_s < 20
    told = [line for line in lines if "overlaps" in line]
    assert [line.split(": ", 1)[1] for line in told] == [
        "streams[1].subjects: stream 'A' takes '*.*.*.x0.>', which 'b.*.*.x0.c' overlaps",
        "streams[2].subjects: stream 'A' takes '*.*.*.x0.>', which 'b.*.*.x0.d' overlaps",
    ]


@given(PATTERNS, PATTERNS, SUBJECTS)
def test_wildcards_agree_with_one_another(one: str, other: str, subject: str) -> None:
    if covers(one, subject) and covers(other, subject):
        assert overlap(one, other)
        assert overlap(other, one)
    if covers(one, other) and covers(other, subject):
        assert covers(one, subject)
    assert covers(one, concrete(one, "a"))


def test_only_the_removal_of_a_peer_needs_a_server_without_a_replica() -> None:
    step = "faults: [{{name: f, target: n2, stream: ORDERS, {}}}]"
    rot = step.format("action: corrupt, part: stream-block")
    loads(build(more=rot), "s.yaml", VOCABULARY)
    said = refused(build(more=step.format("action: peer-remove")))
    assert "has a replica on each of 3 servers" in said
