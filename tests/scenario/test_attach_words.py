"""Clusters that run already, as a user writes them: what is read, and what is refused where."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from harness.errors import ScenarioError
from harness.faults.command import Command
from harness.scenario.argv import find_secrets, hide_in, hide_secrets, read_words, secrets_among
from harness.scenario.dump import dump_yaml, plain_step
from harness.scenario.load import Loaded, loads
from harness.scenario.reading import read_tree
from harness.scenario.schema import scenario_schema
from harness.scenario.tree import to_plain
from harness.vocabulary import VOCABULARY

TEXT = """\
name: attached
cluster:
  attach:
    East-1: {client: "nats://10.0.0.1:4222", monitor: "http://east-1.example:8222"}
    b: {client: "nats://10.0.0.2:4222", monitor: "http://10.0.0.2:8222/"}
workloads:
  - {name: hello, kind: core, rate: 10/s, attach: {publishers: seed, subscribers: b}}
faults:
  - {name: f, action: command, duration: 1s, inject: "ssh 'the host' stop",
     observe: [test, -e, /x], heal: start}
thresholds: {lost: ["count == 0"]}
"""


def read(*edits: tuple[str, str]) -> Loaded:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    return loads(text, "s.yaml", VOCABULARY)


def refusals(*edits: tuple[str, str]) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        read(*edits)
    return str(caught.value).splitlines()


def test_nodes_have_the_users_names_and_the_first_is_the_seed() -> None:
    scenario = read().scenario
    assert scenario.cluster.nodes == ("East-1", "b")
    assert scenario.cluster.seed == "East-1"
    assert scenario.client.servers == ("East-1",)
    (fault,) = scenario.faults
    assert isinstance(fault, Command)
    assert fault.target == "seed"
    named = read(("workloads:", "client: {servers: [b], options: {ping_interval: 1s}}\nworkloads:"))
    assert named.scenario.client.servers == ("b",)


def test_urls_are_kept_in_their_plain_form() -> None:
    attach = read().scenario.cluster.attach
    assert attach is not None
    assert attach["b"].monitor == "http://10.0.0.2:8222"
    assert attach["East-1"].monitor == "http://east-1.example:8222"


def test_what_is_written_down_loads_back_to_the_same() -> None:
    scenario = read().scenario
    text = dump_yaml(scenario)
    assert "servers: 3" not in text
    assert loads(text, "again.yaml", VOCABULARY).scenario == scenario


def plain(text: str) -> object:
    root = read_tree(text).root
    assert root is not None
    return to_plain(root)


def test_editors_accept_it() -> None:
    validator = Draft202012Validator(scenario_schema(VOCABULARY))
    assert list(validator.iter_errors(plain(TEXT))) == []
    for old, new in (("nats://10.0.0.1", "tls://10.0.0.1"), ("observe:", "look:")):
        assert not validator.is_valid(plain(TEXT.replace(old, new)))


@pytest.mark.parametrize(
    "key",
    [
        "servers: 3",
        "version: bundled",
        "image: nats",
        "container: {read_only: true}",
        "config: {max_payload: 1}",
        "jetstream: true",
        "clusters: {e: {servers: 1}, w: {servers: 1}}",
        "leafnodes: [{name: shop}]",
        "route_authorization: {user: a, password: b}",
    ],
)
def test_what_says_how_to_start_servers_is_refused_at_its_line(key: str) -> None:
    name = key.partition(":")[0]
    found = refusals(("cluster:\n", f"cluster:\n  {key}\n"))
    assert "\n".join(found) == (
        f"s.yaml:3:3: cluster.{name}: says how servers are to be started, and those of "
        "cluster.attach run already; remove the key"
    )


def test_clients_may_log_in() -> None:
    text = "cluster:\n  authorization: {user: app, password: not-so-secret}\n"
    scenario = read(("cluster:\n", text)).scenario
    assert scenario.cluster.authorization is not None
    assert "not-so-secret" not in dump_yaml(scenario)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("tls://10.0.0.1:4222", "expected nats://HOST:PORT: TLS is not supported"),
        ("nats://app:s3cr3t@10.0.0.1:4222", "without a user; the login goes into cluster.auth"),
        ("tls://app:s3cr3t@10.0.0.1:4222", "without a user; the login goes into cluster.auth"),
        ("nats://10.0.0.1", "expected nats://HOST:PORT, found 'nats://10.0.0.1'"),
        ("10.0.0.1:4222", "expected nats://HOST:PORT, found '10.0.0.1:4222'"),
        ("nats://10.0.0.1:4222/x", "and nothing behind it, found 'nats://10.0.0.1:4222/x'"),
        ("nats://10.0.0.1:99999", "expected nats://HOST:PORT"),
        ("nats://[::1]:4222", "expected nats://HOST:PORT, found 'nats://[::1]:4222'"),
    ],
)
def test_a_url_that_will_not_do_is_one_line_that_repeats_no_password(url: str, words: str) -> None:
    (line,) = refusals(("nats://10.0.0.1:4222", url))
    assert line.startswith("s.yaml:4:22: cluster.attach.East-1.client: ")
    assert words in line
    assert "s3cr3t" not in line


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("    b:", "    seed:"), "'seed' has a meaning of its own where nodes are named"),
        (("    b:", "    hello:"), "a workload is called 'hello' too; choose another"),
        (("10.0.0.2:4222", "10.0.0.1:4222"), "'East-1' has this URL already"),
        (("subscribers: b", "subscribers: n2"), "unknown node 'n2'"),
        (("action: command,", "action: command, target: n1,"), "unknown target 'n1'"),
        (('monitor: "http://east-1.example:8222"', ""), "monitor: this key is missing"),
        (("observe: [test, -e, /x],", ""), "observe: this key is missing"),
        (("heal: start", "heal: ''"), "this one is empty"),
        (("heal: start", 'heal: "it\'s"'), "no closing quotation"),
        (("heal: start", "heal: [1]"), "expected a command: a list of words, or text"),
        (("heal: start", "heal: start ***"), "*** stands where a secret was left out"),
        (("heal: start", "timeout: 0s"), "at least 0.1s"),
        (("heal: start", "connections: cut"), "'closed', 'silent' or 'kept', found 'cut'"),
    ],
)
def test_what_cannot_be_meant_is_one_line_with_its_place(edit: tuple[str, str], words: str) -> None:
    found = [line for line in refusals(edit) if words in line]
    assert len(found) == 1, refusals(edit)
    assert re.match(r"s\.yaml:\d+:\d+: ", found[0])


def test_no_server_at_all_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"cluster\.attach: expected one to 25 servers, found"):
        loads(re.sub(r"attach:\n.*\n.*\n", "attach: {}\n", TEXT, count=1), "s.yaml", VOCABULARY)


def test_two_commands_on_one_server_at_one_time_are_refused() -> None:
    second = "thresholds:", "  - {name: g, action: command, duration: 1s, inject: a, observe: b}\nt"
    found = refusals((second[0], second[1] + "hresholds:"))
    assert "'f' and 'g' both act on East-1" in found[0]


def test_text_is_split_as_a_shell_would_and_no_shell_is_involved() -> None:
    assert read_words("ssh 'the host' a|b \"$X\"") == ("ssh", "the host", "a|b", "$X")
    assert read_words(["a b", "c"]) == ("a b", "c")


@pytest.mark.parametrize(
    ("words", "shown", "secrets"),
    [
        (["nats", "-s", "nats://u:pa55word@h:1"], "nats -s nats://***@h:1", {"pa55word"}),
        (["nats", "-s", "nats://t0k3n@h:1"], "nats -s nats://***@h:1", {"t0k3n"}),
        (["x", "--password", "pa55word", "y"], "x --password *** y", {"pa55word"}),
        (["x", "--api-key=pa55word"], "x --api-key=***", {"pa55word"}),
        (["sh", "-c", "x --token pa55word; y"], "sh -c x --token ***; y", {"pa55word"}),
        (["env", "DB_PASSWORD=pa55word", "y"], "env DB_PASSWORD=*** y", {"pa55word"}),
        (["kill", "-STOP", "12"], "kill -STOP 12", set()),
    ],
)
def test_secrets_are_not_repeated(words: list[str], shown: str, secrets: set[str]) -> None:
    assert " ".join(hide_secrets(words)) == shown
    found = find_secrets(words)
    assert secrets <= found
    for secret in secrets:
        assert secret not in hide_in(f"failed with {secret}!", found)


def test_secrets_of_the_environment_go_by_their_names() -> None:
    assert secrets_among({"NATS_PASSWORD": "abcdef", "HOME": "/root"}) == {"abcdef"}


def test_a_step_is_shown_without_its_secrets() -> None:
    step = read(("heal: start", "heal: nats -s nats://a:s3cr3t@h:1")).scenario.faults[0]
    shown: dict[str, Any] = plain_step(step)
    assert shown["heal"] == ["nats", "-s", "nats://***@h:1"]
    assert "s3cr3t" not in str(shown)
