from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.scenario.dump import dump_yaml, plain_scenario, redact
from harness.scenario.reading import read_tree
from harness.scenario.tree import to_plain


def test_a_dumped_scenario_loads_back_to_an_equal_one(read, good):
    scenario = read(good).scenario
    assert read(dump_yaml(scenario)).scenario == scenario


def test_the_dump_is_resolved(read):
    text = dump_yaml(read("name: x\nworkloads: [{name: w, kind: core, rate: 90/m}]\n").scenario)
    assert "steady: 3s" in text
    assert "rate: 1.5/s" in text
    assert "version: bundled" in text
    assert text.index("name:") < text.index("cluster:") < text.index("thresholds:")


def test_every_kind_of_value_survives(read, edited):
    text = edited(
        ("version: bundled", 'version: {n1: "2.12.1", default: ./x}'),
        ("jetstream: false", "jetstream: {sync_interval: 1500ms}"),
        ("recovery: 5s", "fault: 333333333ns, recovery: 1.000000001s"),
        ("at: 0s, duration: 4s", "at: 1us, duration: 0.1ms"),
        ("rate: 500/s", "rate: 1/h"),
        ("description: Stop the seed.", 'description: "2.10"'),
        ("subscribers: spread", "subscribers: [n2, n3]"),
    )
    scenario = read(text).scenario
    assert read(dump_yaml(scenario)).scenario == scenario


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e18, max_value=1e18)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"]), max_size=150)
    | st.text("\n\t #:-'\"\\x1.0e+_~nulltrue", max_size=12),
    lambda below: st.lists(below, max_size=3)
    | st.dictionaries(st.text("abx1.: #~-\n'\"<", min_size=1, max_size=6), below, max_size=3),
    max_leaves=8,
)  # fmt: skip


def test_any_configuration_and_description_survives(read, good):
    base = read(good).scenario

    @settings(max_examples=200, deadline=None)
    @given(PLAIN, st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"])))
    def check(config, description):
        cluster = base.cluster.model_copy(update={"config": {"x": config}})
        scenario = base.model_copy(update={"cluster": cluster, "description": description})
        reading = read_tree(dump_yaml(scenario))
        assert reading.problems == ()
        assert reading.root is not None
        assert to_plain(reading.root) == plain_scenario(scenario)

    check()


SECRETS = """\
name: x
cluster:
  authorization: {user: u, password: TOP1}
  route_authorization: {user: r, password: TOP2}
  config:
    Password: TOP3
    leafnodes: {remotes: [{url: "nats://joe:TOP4@10.0.0.1:7422", credentials: /TOP5.creds}]}
    authorization: {users: [{user: a, password: TOP6}, {nkey: TOP7}], token: [TOP8]}
    accounts: {A: {users: [{user: b, pass: 7709}]}}
    seed: TOP9
workloads: [{name: w, kind: core, rate: 1/s}]
"""


def test_no_secret_is_written(read):
    text = dump_yaml(read(SECRETS).scenario)
    assert "TOP" not in text
    assert "7709" not in text
    assert "user: joe" not in text
    assert text.count("***") == 10
    assert "user: u" in text
    assert "seed: 1\n" in text


def test_a_dump_without_secrets_can_be_loaded(read):
    scenario = read(dump_yaml(read(SECRETS).scenario)).scenario
    assert scenario.cluster.authorization is not None
    assert scenario.cluster.authorization.password.get_secret_value() == "***"
    assert scenario.cluster.config["leafnodes"]["remotes"][0]["url"] == "nats://***@10.0.0.1:7422"


def test_a_password_is_not_in_the_scenario_as_text(read):
    assert "TOP1" not in repr(read(SECRETS).scenario)


def test_an_unusable_dump_would_be_noticed(read, good):
    text = dump_yaml(read(good).scenario).replace("servers: 3", "servers: 0")
    with pytest.raises(ScenarioError):
        read(text)


def test_no_secret_of_a_command_line_is_shown() -> None:
    lines = [
        "--user u --pass s3cret -D",
        "--pass=s3cret -D",
        "-pass 's3cret s3cret' -D",
        '--Auth="s3cret" -D',
        "--auth\n  s3cret -D",
        "--routes=nats://u:s3cret@h:6222 -D",
    ]
    for line in lines:
        for shown in (redact(line), *redact(shlex.split(line)), *redact({"n1": line}).values()):
            assert "s3cret" not in shown, line
        assert redact(line).endswith(" -D")
        assert redact(shlex.split(line))[-1] == "-D"
    harmless = "--cluster_name passage --http_port 8222 --authors x"
    assert redact(harmless) == harmless
    assert redact(shlex.split(harmless)) == shlex.split(harmless)


@pytest.mark.parametrize(
    "config",
    [
        {"jetstream": {"key": "s3cret"}},
        {"jetstream": {"ek": "s3cret", "encryption_key": "s3cret"}},
        {"jetstream": {"prev_ek": "s3cret"}},
        {"authorization": {"secret": "s3cret", "passwd": "s3cret"}},
    ],
)
def test_keys_of_encryption_and_other_secrets_of_a_configuration_are_left_out(read, config):
    base = read("name: x\nworkloads: [{name: hello, kind: core, rate: 10/s}]\n").scenario
    cluster = base.cluster.model_copy(update={"config": config})
    shown = dump_yaml(base.model_copy(update={"cluster": cluster}))
    assert "s3cret" not in shown
    assert "s3cret" in dump_yaml(base.model_copy(update={"cluster": cluster}), reveal=True)
