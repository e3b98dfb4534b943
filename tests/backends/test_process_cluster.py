"""Real servers on both backends: formed, faulted, restarted, ended.

Each case is one coroutine. For `local` it runs here; for `lab` this file runs itself as a
script, since the lab must be entered before threads exist.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness.backends.lab.backend import LabBackend
from harness.backends.local import LocalBackend
from harness.backends.process_node import ProcessNode
from harness.backends.server_cluster import ServerCluster
from harness.cluster.binaries import bundled
from harness.errors import BinaryError, FaultError, ServerError, UsageError
from harness.scenario.model import ClusterSpec

BACKENDS: dict[str, LabBackend | LocalBackend] = {"lab": LabBackend(), "local": LocalBackend()}
LIMIT_S = 20.0


@dataclass
class Stage:
    """A backend, a folder and the events recorded."""

    backend: LabBackend | LocalBackend
    folder: Path
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def record(self, kind: str, *, at_ns: int | None = None, **facts: Any) -> None:
        self.events.append((kind, json.loads(json.dumps({**facts, "at_ns": at_ns}))))

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.events if name == kind]

    @asynccontextmanager
    async def cluster(
        self, groups: Sequence[str] = ("group",), **spec: Any
    ) -> AsyncIterator[ServerCluster]:
        async with self.backend.cluster(
            ClusterSpec.model_validate(spec), groups=groups, folder=self.folder, record=self.record
        ) as cluster:
            yield cluster

    @asynccontextmanager
    async def formed(self, **spec: Any) -> AsyncIterator[ServerCluster]:
        async with self.cluster(**spec) as cluster:
            await cluster.form(LIMIT_S)
            yield cluster


async def forms(stage: Stage) -> None:
    for servers in (1, 3, 5):
        stage.events.clear()
        async with stage.formed(servers=servers) as cluster:
            for name, node in cluster.nodes.items():
                assert await node.monitor.remotes(LIMIT_S) == servers - 1
                assert node.running
                assert node.version == bundled().version
                assert (stage.folder / f"{name}.conf").exists()
            assert len(stage.told("server.started")) == servers
            assert [fact["name"] for fact in stage.told("server.described")] == list(cluster.nodes)
            assert stage.told("cluster.formed")[0]["took_s"] > 0
        assert not any(node.running for node in cluster.nodes.values())
        ends = stage.told("server.exited")
        assert [(end["returncode"], end["expected"]) for end in ends] == [(0, True)] * servers


async def forms_with_jetstream_and_passwords(stage: Stage) -> None:
    login = {"user": "u", "password": "client-s3cret 1"}
    routes = {"user": "r:/@", "password": "route-s3cret@/:%2"}
    async with stage.formed(
        jetstream=True, authorization=login, route_authorization=routes
    ) as cluster:
        jsz = (await cluster.nodes["n1"].monitor.get("/jsz", LIMIT_S)).body
        assert jsz["config"]["store_dir"].startswith(str(stage.folder))
        assert jsz["meta_cluster"]["cluster_size"] == 3
        assert jsz["meta_cluster"]["leader"] in cluster.nodes
        varz = (await cluster.nodes["n1"].monitor.get("/varz", LIMIT_S)).body
        assert varz["auth_required"] is True
        assert "s3cret" not in json.dumps(cluster.describe())
    kept = [path for path in stage.folder.rglob("*") if path.is_file()]
    assert sorted(path.name for path in kept) == sorted(
        f"{node}.{kind}" for node in cluster.nodes for kind in ("conf", "log")
    )
    for path in kept:
        assert "s3cret" not in path.read_text()


async def forms_one_with_jetstream(stage: Stage) -> None:
    async with stage.formed(servers=1, jetstream=True) as cluster:
        await cluster.nodes["n1"].kill(LIMIT_S)
        await cluster.nodes["n1"].start()
        await cluster.nodes["n1"].wait_healthy(LIMIT_S)


async def wrong_route_password_does_not_form(stage: Stage) -> None:
    spec = ClusterSpec.model_validate(
        {"servers": 2, "route_authorization": {"user": "r", "password": "right"}}
    )
    async with stage.backend.cluster(
        spec, groups=(), folder=stage.folder, record=stage.record
    ) as cluster:
        conf = stage.folder / "n1.conf"
        conf.write_text(conf.read_text().replace('user: "r"', 'user: "other"'))
        with pytest.raises(ServerError, match=r"not formed within 0.5 s: n1 sees 0 of 1 remotes"):
            await cluster.form(0.5)


async def stops_and_starts_again(stage: Stage) -> None:
    async with stage.formed() as cluster:
        node = cluster.nodes["n2"]
        ended = await node.stop(LIMIT_S)
        assert ended.returncode == 0
        assert not node.running
        assert not await node.responds(1)
        assert not await node.accepts_clients(1)
        assert stage.told("server.exited")[0]["at_ns"] == ended.at_ns
        await cluster.nodes["n1"].wait_healthy(LIMIT_S)
        await node.start()
        await node.wait_healthy(LIMIT_S)
        assert await node.accepts_clients(LIMIT_S)
        assert [fact["node"] for fact in stage.told("server.started")] == ["n1", "n2", "n3", "n2"]
    assert (stage.folder / "n2.log").read_text().count("Server is ready") == 2


async def is_killed_seed_and_all(stage: Stage) -> None:
    async with stage.formed() as cluster:
        for node in cluster.nodes.values():
            assert (await node.kill(LIMIT_S)).returncode == -9
            with pytest.raises(FaultError, match="does not run"):
                await node.kill(LIMIT_S)
        for node in cluster.nodes.values():
            await node.start()
            with pytest.raises(FaultError, match="runs already"):
                await node.start()
        for node in cluster.nodes.values():
            await node.wait_healthy(LIMIT_S)


async def is_frozen_and_thawed(stage: Stage) -> None:
    async with stage.formed() as cluster:
        node = cluster.nodes["n3"]
        await node.pause(LIMIT_S)
        assert node.running
        assert not node.serving
        assert not await node.responds(0.2)
        assert not await node.accepts_clients(0.2)
        with pytest.raises(FaultError, match=r"n3 has not exited within 0\.1 s"):
            await node.stop(0.1)
        # A frozen peer cannot make a new route; the others are not kept waiting for it.
        await cluster.nodes["n2"].stop(LIMIT_S)
        await cluster.nodes["n2"].start()
        await cluster.nodes["n2"].wait_healthy(LIMIT_S)
        with pytest.raises(ServerError, match=r"n3 is not healthy after 0\.3 s"):
            await node.wait_healthy(0.3)
        await node.kill(LIMIT_S)
        await node.start()
        await node.pause(LIMIT_S)
        await node.resume(LIMIT_S)
        await node.wait_healthy(LIMIT_S)
        assert await node.responds(LIMIT_S)
        await node.pause(LIMIT_S)
    assert not node.running


async def enters_lame_duck_mode(stage: Stage) -> None:
    async with stage.formed() as cluster:
        node = cluster.nodes["n1"]
        at = node.endpoints.client
        with stage_socket(cluster) as client:
            client.connect((at.host, at.port))
            said = client.makefile("rb")
            said.readline()
            client.sendall(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
            assert await anyio.to_thread.run_sync(read_until, said, b"PONG")
            await node.lame_duck()
            assert await anyio.to_thread.run_sync(read_until, said, b'"ldm":true')
            assert not await node.accepts_clients(0.2)
            assert node.running
            assert await anyio.to_thread.run_sync(read_until, said, b"")
            said.close()
        assert (await node.wait_exit(LIMIT_S)).returncode == 0
        assert stage.told("server.exited")[0]["expected"] is True


async def ends_unasked(stage: Stage) -> None:
    async with stage.formed() as cluster:
        with anyio.move_on_after(0.2):  # nothing ended
            await cluster.watch()
        await cluster.nodes["n3"].stop(LIMIT_S)
        with anyio.move_on_after(0.2):  # asked for
            await cluster.watch()
        await cluster.nodes["n3"].start()
        async with anyio.create_task_group() as group:
            node = cluster.nodes["n2"]
            assert isinstance(node, ProcessNode)
            group.start_soon(kill_soon, node)
            with pytest.raises(ServerError) as caught:
                await cluster.watch()
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("n2 was ended by SIGKILL; the end of ")
    assert 1 < len(lines) <= 11
    assert all("[INF] " in line or "[ERR] " in line for line in lines[1:])
    ends = [(end["node"], end["expected"]) for end in stage.told("server.exited")]
    assert ends[:2] == [("n3", True), ("n2", False)]


async def kill_soon(node: ProcessNode) -> None:
    """Kill the process behind the node's back."""
    await anyio.wait_all_tasks_blocked()
    assert node.pid is not None
    os.kill(node.pid, signal.SIGKILL)


async def finds_a_port_taken(stage: Stage) -> None:
    async with stage.cluster() as cluster:
        route = cluster.nodes["n2"].endpoints.route
        with cluster.socket("n2", socket.AF_INET) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind((route.host, route.port))
            thief.listen()
            with pytest.raises(ServerError) as caught:
                await cluster.form(LIMIT_S)
    assert str(caught.value).startswith(
        f"n2 could not listen on {route} (route port): it is taken; n2 exited with status 1"
    )


async def refuses_what_is_not_a_server(stage: Stage) -> None:
    with pytest.raises(BinaryError, match="is not a nats-server"):
        async with stage.cluster(version="/bin/true"):
            pytest.fail("a cluster was made")


async def refuses_a_broken_configuration(stage: Stage) -> None:
    with pytest.raises(UsageError, match=r'^cluster.config.max_paylod: .* unknown field "max_pay'):
        async with stage.cluster(config={"max_paylod": 1}):
            pytest.fail("a cluster was made")


async def runs_clients(stage: Stage) -> None:
    async with stage.formed(servers=1) as cluster:
        ours, theirs = socket.socketpair()
        at = cluster.nodes["n1"].endpoints.client
        code = (
            "import socket, sys;"
            f"s = socket.create_connection(({at.host!r}, {at.port}));"
            "sys.stderr.write('hello'); sys.stderr.flush();"
            "sys.stdout.write(sys.stdin.readline() + s.getsockname()[0] + s.recv(4).decode());"
            "sys.stdout.flush(); sys.stdin.read()"
        )
        log = stage.folder / "client.log"
        with ours, theirs:
            client = cluster.spawn_client("group", [sys.executable, "-c", code], theirs, log)
            theirs.close()
            ours.sendall(b"ping\n")
            said = b""
            with ours.makefile("rb") as lines:
                said = await anyio.to_thread.run_sync(lines.readline)
                said += await anyio.to_thread.run_sync(lines.read, 4)
                here = "198.18.1.1" if stage.backend.name == "lab" else "127.0.0.1"
                said += await anyio.to_thread.run_sync(lines.read, len(here))
            assert said == b"ping\n" + f"{here}INFO".encode()
        assert (await client.wait()).returncode == 0  # the end of its stdin was its end
        assert log.read_text() == "hello"
        ours, theirs = socket.socketpair()
        with ours, theirs:
            argv = [sys.executable, "-c", "import time; time.sleep(600)"]
            client = cluster.spawn_client("group", argv, theirs, log)
    assert client.returncode == -9  # none is left when the cluster ends


async def does_not_hide_a_recording_that_fails(stage: Stage) -> None:
    def refuse(kind: str, **facts: Any) -> None:
        if kind == "server.exited":
            raise ServerError("no space left")

    with pytest.raises(ServerError, match="no space left"):
        async with stage.backend.cluster(
            ClusterSpec(), groups=(), folder=stage.folder, record=refuse
        ) as cluster:
            await cluster.form(LIMIT_S)
    assert not any(node.running for node in cluster.nodes.values())


def stage_socket(cluster: ServerCluster) -> socket.socket:
    client = cluster.socket("group", socket.AF_INET)
    client.settimeout(LIMIT_S)
    return client


def read_until(lines: Any, wanted: bytes) -> bool:
    """Tell whether a line with `wanted` comes before the end; nothing wanted: the end."""
    while line := lines.readline():
        if wanted and wanted in line:
            return True
    return not wanted


CASES: dict[str, Callable[[Stage], Any]] = {
    case.__name__: case
    for case in (
        forms,
        forms_with_jetstream_and_passwords,
        forms_one_with_jetstream,
        wrong_route_password_does_not_form,
        stops_and_starts_again,
        is_killed_seed_and_all,
        is_frozen_and_thawed,
        enters_lame_duck_mode,
        ends_unasked,
        finds_a_port_taken,
        refuses_what_is_not_a_server,
        refuses_a_broken_configuration,
        runs_clients,
        does_not_hide_a_recording_that_fails,
    )
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", CASES)
async def test_a_local_cluster(case: str, tmp_path: Path) -> None:
    await CASES[case](Stage(BACKENDS["local"], tmp_path))


@pytest.mark.lab
@pytest.mark.parametrize("case", CASES)
def test_a_lab_cluster(case: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-W", "error", __file__, "lab", case, str(tmp_path)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ServerError, match="cannot be written: "):
        async with Stage(BACKENDS["local"], blocked / "servers").cluster():
            pytest.fail("a cluster was made")


@pytest.mark.anyio
async def test_the_lab_is_refused_outside_of_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"LabBackend\.host"):
        async with Stage(BACKENDS["lab"], tmp_path).cluster():
            pytest.fail("a cluster was made")


def main(backend: str, case: str, folder: str) -> int:
    """Run one case where the backend's clusters live."""

    def run() -> int:
        anyio.run(CASES[case], Stage(BACKENDS[backend], Path(folder)))
        return 0

    return BACKENDS[backend].host(run)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
