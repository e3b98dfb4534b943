"""What a Compose file cannot be: each refused once, with its line and column."""

from __future__ import annotations

import pytest

from harness.scenario.compose.keys import HONOURED, NOTED, REFUSED, UNSUPPORTED

HEAD = "services:\n  nats:\n    image: nats\n    command: -m 8222\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "1:1: : the Compose file is empty"),
        ("[1]", "1:1: : expected a mapping with the key services, found a list"),
        ("nats", "1:1: : expected a mapping with the key services, found a text"),
        ("version: '3'\n", "1:1: services: this key is missing"),
        ("services:\n", "1:9: services: there are no services"),
        ("services: {}\n", "1:11: services: there are no services"),
        ("services: [nats]\n", "1:11: services: expected a mapping, found a list"),
        ("services:\n  nats:\n", "2:3: services.nats: expected a mapping, found nothing"),
        ("services:\n  na ts: {image: x}\n", "2:3: services.na ts: expected a service's name"),
        ("a: *b\n", "1:4: : this alias stands for an anchor that is not defined before it"),
        (HEAD + "    image: nats\n", "5:5: services.nats.image: this key is given twice"),
        (HEAD + "  nats: {}\n", "5:3: services.nats: this key is given twice"),
        (HEAD + "service: {}\n", "5:1: service: unknown key (did you mean 'services'?)"),
        (HEAD + "include: [x.yaml]\n", "5:1: include: this key is not supported"),
        (
            "services: {web: {image: nginx}, db: {image: redis}}",
            "1:12: services: none looks like a NATS server (web, db); name them by cluster.serv",
        ),
        (HEAD + "  web: {ports: ['80']}\n", "5:3: services.web.image: this key is missing"),
        (HEAD + "    imagee: nats\n", "5:5: services.nats.imagee: unknown key (did you mean 'ima"),
        ("services: {nats: {command: -m 8222}}", "1:12: services.nats.image: this key is missing"),
        ("services: {nats: {build: .}}", "1:19: services.nats.build: the harness builds no images"),
        ("services: {x: {image: a b, command: -m 1}}", "1:23: services.x.image: expected an image"),
        ("services: {x: {image: [a], command: -m 1}}", "1:23: services.x.image: expected text, fo"),
        (HEAD + "    extends: x\n", "5:5: services.nats.extends: this key is not supported"),
        (HEAD + "    network_mode: host\n", "5:5: services.nats.network_mode: this key is not sup"),
        (HEAD + "    privileged: true\n", "5:5: services.nats.privileged: not supported"),
        (HEAD + "    depends_on: [nast]\n", "5:18: services.nats.depends_on.0: there is no servi"),
        (HEAD + "    depends_on: {db: }\n", "5:18: services.nats.depends_on.db: there is no servi"),
        (HEAD + "    networks: [lan]\n", "5:16: services.nats.networks.0: 'lan' is not defined un"),
        (HEAD + "    volumes: [data:/data]\n", "5:15: services.nats.volumes.0: 'data' is not defi"),
        (HEAD + "    volumes: ['a:b:c:d']\n", "5:15: services.nats.volumes.0: expected source:ta"),
        (HEAD + "    volumes: [data]\n", "5:15: services.nats.volumes.0: expected an absolute"),
        (HEAD + "    volumes: ['./no:/x:ro']\n", "5:15: services.nats.volumes.0: the file or fold"),
        (HEAD + "    volumes: [{type: npipe}]\n", "5:22: services.nats.volumes.0.type: expected"),
        (HEAD + "    volumes: [{type: bind}]\n", "5:15: services.nats.volumes.0.target: this key"),
        (HEAD + "    configs: [c]\n", "5:15: services.nats.configs.0: 'c' is not defined under"),
        (
            HEAD + "    secrets: [c]\nsecrets: {c: {external: true}}\n",
            "6:15: secrets.c.external: it is kept outside of this file",
        ),
        (HEAD + "    mem_limit: lots\n", "5:16: services.nats.mem_limit: expected a size such"),
        (HEAD + "    cpus: 0\n", "5:11: services.nats.cpus: expected a number of processors above"),
        (HEAD + "    stop_grace_period: 5\n", "5:24: services.nats.stop_grace_period: expected a"),
        (HEAD + "    read_only: maybe\n", "5:16: services.nats.read_only: expected true or false"),
        (HEAD + "    ulimits: {nofile: {soft: 1}}\n", "5:23: services.nats.ulimits.nofile: expe"),
        (HEAD + "    ports: [http]\n", "5:13: services.nats.ports.0: expected a port such as 4222"),
        (HEAD + "    ports: ['99999']\n", "5:13: services.nats.ports.0: expected ports from 1 to"),
        (HEAD + "    ports: [{published: 1}]\n", "5:13: services.nats.ports.0.target: this key is"),
        (HEAD + "    scale: 3\n", "5:12: services.nats.scale: expected 1, found 3: a node is one"),
        (HEAD + "    deploy: {replicas: 3}\n", "5:24: services.nats.deploy.replicas: expected 1"),
        (HEAD + "    deploy: {resource: }\n", "5:14: services.nats.deploy.resource: unknown key"),
        (HEAD + "    environment: 5\n", "5:18: services.nats.environment: expected a mapping or a"),
        (HEAD + "    env_file: no.env\n", "5:15: services.nats.env_file: no.env: cannot be read"),
        (HEAD + "    labels: [io.nats-harness.run=x]\n", "5:13: services.nats.labels.io.nats-ha"),
        (HEAD + f"    env_file: {'x' * 300}\n", "5:15: services.nats.env_file: xxx"),
        (HEAD + f"    volumes: ['./{'x' * 300}:/x:ro']\n", "5:15: services.nats.volumes.0: the"),
        (HEAD + '    env_file: "a\\0b"\n', "5:15: services.nats.env_file: "),
        (HEAD + "    volumes: ['~nobody_at_all/x:/x']\n", "5:15: services.nats.volumes.0: this"),
        (HEAD + "    tmpfs: relative\n", "5:12: services.nats.tmpfs: expected an absolute path in"),
        (
            HEAD + "    networks: [x]\nnetworks: {x: {driver: overlay}}\n",
            "6:24: networks.x.driver: expected bridge, found 'overlay'",
        ),
        (
            HEAD + "    volumes: [x:/x]\nvolumes: {x: {driver: nfs}}\n",
            "6:23: volumes.x.driver: only local volumes can be made fresh",
        ),
        (HEAD.replace("-m 8222", "'a \"b'"), "4:14: services.nats.command: a quote in this comm"),
        (HEAD.replace("-m 8222", "-m 1 && ls"), "4:14: services.nats.command: Compose ends a co"),
        (HEAD.replace("-m 8222", "./go.sh"), "4:14: services.nats.command: the flags of nats-se"),
        (HEAD.replace("-m 8222", "-p -1"), "4:14: services.nats.command: the port for clients is"),
        (HEAD.replace("-m 8222", "-ms 8222"), "4:14: services.nats.command: monitoring is by HT"),
        (HEAD.replace("-m 8222", "-a 127.0.0.1"), "4:14: services.nats.command: the server liste"),
        (HEAD.replace("-m 8222", "--tls"), "4:14: services.nats.command: the server asks clients"),
        (HEAD.replace("-m 8222", "--auth XYZ"), "4:14: services.nats.command: clients have to lo"),
        (
            HEAD.replace("-m 8222", "[sh, -c, 'nats-server -p 4222']"),
            "4:14: services.nats.command: without monitoring a server cannot be observed; add --",
        ),
        (HEAD.replace("-m 8222", "-m ${X:?no X}"), "4:14: services.nats.command: the variable 'X"),
        (HEAD.replace("-m 8222", "-m $1"), "4:14: services.nats.command: a '$' begins no variabl"),
        (HEAD.replace("-m 8222", "-m ${X"), "4:14: services.nats.command: expected '}'"),
        (HEAD + "    user: !!str x\n", "5:11: services.nats.user: tags such as !!str are not used"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_once_with_its_place(refused, text, line):
    (only,) = refused(text)
    assert only.startswith(line), only


PAIR = """\
services:
  a:
    image: nats
    command: --cluster nats://0.0.0.0:6222
    networks: [x]
  b:
    image: nats
    command: --cluster nats://0.0.0.0:6222 --routes nats://a:6222
    networks: [x, y]
networks: {x: , y: }
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (" --routes nats://a:6222", "", "4:14: services.a.command: has no route to another serv"),
        ("nats://a:", "nats://10.0.0.2:", "8:14: services.b.command: a route leads to the address"),
        ("[x, y]", "[y]", "6:3: services.b.networks: shares no network with 'a'"),
        ("--cluster nats://0.0.0.0:6222\n", "-D\n", "4:14: services.a.command: has no fixed port"),
    ],
)
def test_servers_that_form_no_cluster_are_refused(refused, project, old, new, line):
    assert project(PAIR).nodes == ("a", "b")
    assert refused(PAIR.replace(old, new, 1))[0].startswith(line)


def test_a_route_to_nobody_is_said(project):
    notes = project(PAIR.replace("nats://a:6222", "nats://a:6222,nats://c:6222")).notes
    assert any("services.b.command: a route leads to 'c', which is none of the" in n for n in notes)


def test_a_service_that_is_asked_for_and_missing_is_named_in_the_scenario(reads, guide):
    outcome = reads(guide, ["nats", "nats-3"])
    (problem,) = outcome.problems
    assert problem.source is None
    assert problem.path == ("cluster", "services", 1)
    assert "c.yaml has no service 'nats-3' (did you mean 'nats-" in problem.message


def test_a_wrong_line_of_an_env_file_is_named(reads, tmp_path, single):
    tmp_path.joinpath(".env").write_text('A=1\nB C\nX="\n', encoding="utf-8")
    found = [(p.source, p.position, p.message) for p in reads(single).problems]
    assert found == [
        (str(tmp_path / ".env"), (2, 1), "expected NAME=value"),
        (str(tmp_path / ".env"), (3, 1), "a quote is not closed"),
    ]


@pytest.mark.parametrize("key", sorted(NOTED))
def test_a_key_without_meaning_is_noted(project, key):
    notes = project(HEAD + f"    {key}: x\n").notes
    assert any(note.startswith(f"c.yaml:5:5: services.nats.{key}: not used: ") for note in notes)


@pytest.mark.parametrize("key", sorted({*UNSUPPORTED, *REFUSED}))
def test_a_key_that_cannot_be_honoured_is_refused(refused, key):
    (line,) = refused(HEAD + f"    {key}: x\n")
    assert line.startswith(f"5:5: services.nats.{key}: ")


def test_no_key_is_two_things():
    groups = [HONOURED, REFUSED, frozenset(NOTED), frozenset(UNSUPPORTED)]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))


def test_extensions_are_nobodys_business(project):
    (named,) = project("x-a: {b: c}\n" + HEAD + "    x-b: {c: d}\n").notes
    assert "--name" in named


def test_no_secret_is_in_a_message(refused):
    text = HEAD + "    mem_limit: nats://u:SECRET@x\n    ports: ['nats://u:SECRET@x']\n"
    lines = refused(text + "    environment: [1, {a: SECRET}]\n    user: {p: SECRET}\n")
    assert len(lines) == 4
    assert "SECRET" not in "\n".join(lines)
