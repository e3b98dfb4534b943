"""Runs on a cluster that somebody else runs: plain servers on loopback, faults by scripts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Harness, eventually
from plain_cluster import PlainCluster

import harness as package
from harness.errors import UsageError

TEXT = """
name: attached
cluster: {attach: {ATTACH}}
client:
  options: {ping_interval: 300ms, max_outstanding_pings: 1, reconnect_time_wait: 100ms,
            max_reconnect_attempts: -1}
workloads:
  - {name: hello, kind: core, publishers: 2, subscribers: 2, rate: 100/s, payload: 128B}
phases: {warmup: 200ms, steady: 500ms, recovery: 1s, drain: 1s}
faults:
  - {name: freeze, action: command, target: seed, duration: 1s, timeout: 3s, connections: silent,
     inject: INJECT, observe: OBSERVE, heal: HEAL}
thresholds:
  "lost{phase:steady}": ["count == 0"]
  failover_time: ["n >= 4", "censored == 0"]
"""
UNMEASURED = ('  failover_time: ["n >= 4", "censored == 0"]\n', "")
STOP = "  - {name: stop, action: stop, target: east-1, at: 9s, duration: 1s}\n"


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[PlainCluster]:
    folder = tmp_path / "theirs"
    folder.mkdir()
    with PlainCluster(folder) as cluster:
        yield cluster


def write(harness: Harness, plain: PlainCluster, *edits: tuple[str, str], **commands: str) -> str:
    text = TEXT
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    text = text.replace("{ATTACH}", f"{{{plain.attach()}}}")
    for key, script in {
        "inject": "freeze",
        "observe": "frozen",
        "heal": "thaw",
        **commands,
    }.items():
        words = script if " " in script else str(plain.folder / script)
        text = text.replace(key.upper(), f'"{words}"', 1)
    return harness.scenario(text, "attached")


def run(harness: Harness, scenario: str, *more: str) -> subprocess.CompletedProcess[str]:
    done = harness.run("run", scenario, "--allow-attached", *more)
    assert "Traceback" not in done.stderr
    return done


def details(report: dict[str, Any], check: str) -> list[str]:
    return [
        one["detail"]
        for one in report["findings"]
        if one["check"] == check and one["verdict"] != "pass"
    ]


def frozen(plain: PlainCluster, name: str) -> bool:
    process = plain.servers[name].process
    assert process is not None
    stat = Path(f"/proc/{process.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


def test_a_fault_by_commands_is_proven_and_the_cluster_left_as_it_was(
    harness: Harness, plain: PlainCluster
) -> None:
    before = {name: one.varz()["server_id"] for name, one in plain.servers.items()}
    done = run(harness, write(harness, plain))
    assert done.returncode == 0, done.stdout + done.stderr
    report = harness.report()
    assert report["environment"]["backend"] == "attach"
    assert "--backend attach" in report["reproduce"]
    assert "--allow-attached" in report["reproduce"]
    assert [one["name"] for one in report["environment"]["servers"]] == list(plain.servers)
    (fault,) = report["iterations"][0]["faults"]
    kinds = [one["kind"] for one in fault["proof"]]
    assert kinds == ["hit", "effect", "held", "undo"]
    assert "state T" in fault["proof"][1]["what"]
    clients = report["iterations"][0]["clients"]
    assert {one["server"] for one in clients} == {"east-0"}
    events = (harness.reports()[0].parent / "events.jsonl").read_text().splitlines()
    looks = [one for one in map(json.loads, events) if one["kind"] == "server.sampled"]
    assert set(looks[-1]["routes"]) <= set(plain.servers)  # and not the servers' own names
    kept = harness.reports()[0].parent / "servers" / "0" / "commands" / "freeze-east-0.log"
    assert "freezing east-0 for freeze" in kept.read_text()
    assert {name: one.varz()["server_id"] for name, one in plain.servers.items()} == before
    assert harness.run("check", str(harness.reports()[0].parent)).returncode == 0


def test_without_leave_nothing_is_contacted(harness: Harness, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        port = listener.getsockname()[1]
        urls = f'{{client: "nats://127.0.0.1:{port}", monitor: "http://127.0.0.1:{port}"}}'
        text = TEXT.replace("{ATTACH}", f"{{a: {urls}}}").replace("INJECT", "x")
        scenario = harness.scenario(text.replace("OBSERVE", "x").replace("HEAL", "x"), "refused")
        done = harness.run("run", scenario)
        assert done.returncode == 2
        assert done.stderr == (
            "nats-harness: cluster.attach: this puts load on servers that run already, at "
            "127.0.0.1, and does to them what its commands do; if that is meant, say "
            "--allow-attached\n"
        )
        assert harness.run("validate", scenario).returncode == 0
        with pytest.raises(UsageError, match="say --allow-attached"):
            package.run(scenario, reports=tmp_path / "reports")
        with pytest.raises(TimeoutError):
            listener.accept()
    assert not (harness.folder / "reports").exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--backend", "local"), "backend local starts its own servers"),
        (("--server", "bundled"), "--server: the servers of cluster.attach are what they are"),
        (("--image", "nats"), "--image: the servers of cluster.attach are what they are"),
    ],
)
def test_options_that_do_not_go_with_it_are_one_line(
    harness: Harness, plain: PlainCluster, more: tuple[str, ...], words: str
) -> None:
    done = run(harness, write(harness, plain), *more)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_faults_are_refused_by_name_before_anything_starts(
    harness: Harness, plain: PlainCluster
) -> None:
    path = write(harness, plain, ("thresholds:", f"{STOP}thresholds:"))
    done = run(harness, path)
    assert done.returncode == 2
    place, _, said = done.stderr.partition(": faults[1].action: ")
    assert re.fullmatch(rf"nats-harness: {re.escape(str(path))}:\d+:\d+", place)
    assert said == (
        "backend attach cannot stop; what goes wrong there is done by your own commands: "
        "action command\n"
    )


def test_a_command_without_a_program_is_refused_before_anything_starts(
    harness: Harness, plain: PlainCluster
) -> None:
    done = run(harness, write(harness, plain, heal="no-such-script"))
    assert done.returncode == 2
    assert "freeze: heal: " in done.stderr
    assert "is neither a program on the PATH nor the path of one" in done.stderr


def test_a_url_that_leads_nowhere_is_one_line_and_no_run(
    harness: Harness, plain: PlainCluster
) -> None:
    plain.servers["east-2"].end()
    done = run(harness, write(harness, plain))
    assert done.returncode == 2
    assert "cluster.attach.east-2.monitor: http://127.0.0.1:" in done.stderr
    assert done.stderr.endswith("cannot be reached: Connection refused\n")
    assert done.stderr.count("\n") == 1
    assert not (harness.folder / "reports").exists()


def test_commands_that_prove_nothing_or_do_not_heal_are_inconclusive(
    harness: Harness, plain: PlainCluster
) -> None:
    plain.script("broken", "#!/bin/sh\necho cannot undo >&2\n./thaw\nexit 7\n")
    done = run(harness, write(harness, plain, UNMEASURED, inject="sh -c true"))
    assert done.returncode == 3
    assert "no effect was seen after inject" in details(harness.report(), "proof")[0]
    harness.reports()[0].unlink()
    done = run(harness, write(harness, plain, UNMEASURED, heal="broken"))
    assert done.returncode == 3
    found = details(harness.report(), "proof")[0]
    assert "undoing failed: east-0: heal ended with code 7 and said: cannot undo" in found
    assert "heal ended with code 7" in done.stdout
    subprocess.run(
        [str(plain.folder / "thaw")], env={"NATS_HARNESS_NODE": "east-0", **os.environ}, check=True
    )


def test_a_restart_that_no_fault_explains_is_no_pass(harness: Harness, plain: PlainCluster) -> None:
    text = (
        "#!/bin/sh\n[ -e $FOLDER/done ] || kill -9 $(cat $FOLDER/east-2.pid)\ntouch $FOLDER/done\n"
    )
    plain.script("also", f"{text}kill -STOP $(cat $FOLDER/east-0.pid)\n")
    again = plain.servers["east-2"]
    with harness.start("run", write(harness, plain, inject="also"), "--allow-attached") as process:
        assert eventually((plain.folder / "done").exists)
        again.end()
        again.start()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    found = details(harness.report(), "completion")
    assert found[0].startswith("server east-2 restarted, though no fault held on it, before ")
    assert not frozen(plain, "east-0")


def test_a_server_that_is_silent_to_the_end_is_no_pass(
    harness: Harness, plain: PlainCluster
) -> None:
    plain.script(
        "also", "#!/bin/sh\n$FOLDER/thaw\n(sleep 1; kill -9 $(cat $FOLDER/east-2.pid)) &\n"
    )
    done = run(harness, write(harness, plain, heal="also"))
    assert done.returncode == 3, done.stdout + done.stderr
    found = details(harness.report(), "completion")
    assert any(one.startswith("server east-2 did not answer from ") for one in found)


def test_an_interrupt_heals(harness: Harness, plain: PlainCluster) -> None:
    scenario = write(harness, plain, ("duration: 1s", "duration: 60s"))
    with harness.start("run", scenario, "--allow-attached") as process:
        assert eventually(lambda: frozen(plain, "east-0"))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert not frozen(plain, "east-0")


def test_sigkill_ends_the_command_that_runs(harness: Harness, plain: PlainCluster) -> None:
    plain.script("hang", "#!/bin/sh\necho $$ > $FOLDER/hanging\nexec sleep 600\n")
    with harness.start("run", write(harness, plain, inject="hang"), "--allow-attached") as process:
        assert eventually((plain.folder / "hanging").exists)
        process.kill()
        process.communicate()
    assert eventually(lambda: not harness.leftovers())


def test_the_library_takes_leave_and_secrets_reach_no_file(
    harness: Harness, plain: PlainCluster, tmp_path: Path
) -> None:
    plain.script("says", '#!/bin/sh\necho "logged in with $1"\n$FOLDER/freeze\n')
    says = f"{plain.folder}/says nats://app:not-so-secret@127.0.0.1:1"
    scenario = write(harness, plain, inject=says)
    report = package.run(scenario, reports=tmp_path / "reports", allow_attached=True)
    assert report.verdict == "pass", report.findings
    for path in (tmp_path / "reports").rglob("*"):
        assert not path.is_file() or b"not-so-secret" not in path.read_bytes(), path
    kept = next((tmp_path / "reports").rglob("freeze-east-0.log")).read_text()
    assert "logged in with nats://***@127.0.0.1:1" in kept
