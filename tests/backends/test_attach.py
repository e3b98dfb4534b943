"""Servers that run already: who they are, what becomes of them, and the user's commands."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import anyio
import pytest
from command_line import eventually
from fake_nodes import Events
from plain_cluster import PlainCluster

from harness.backends.attach.backend import AttachBackend, AttachedCluster
from harness.backends.attach.commands import CommandRunner
from harness.backends.attach.examine import meet_all
from harness.backends.choose import choose, name_backend, require
from harness.cluster.protocols import Capability
from harness.cluster.user_commands import UserCommand
from harness.errors import CapabilityError, FaultError, ServerError, UsageError, leading_error
from harness.scenario.model import ClusterSpec

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainCluster]:
    with PlainCluster(tmp_path_factory.mktemp("plain"), size=2) as cluster:
        yield cluster


def spec_of(plain: PlainCluster, **urls: dict[str, str]) -> ClusterSpec:
    attach = {
        one.name: {
            "client": f"nats://127.0.0.1:{one.client}",
            "monitor": f"http://127.0.0.1:{one.monitor}",
        }
        for one in plain.servers.values()
    }
    for name, changes in urls.items():
        attach[name.replace("_", "-")] |= changes
    return ClusterSpec.model_validate({"attach": attach})


@contextmanager
def web_server(status: int, body: bytes) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def greeter(said: bytes) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(said)

        thread = threading.Thread(target=greet)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def refusal(spec: ClusterSpec) -> str:
    with pytest.raises(UsageError) as caught:
        meet_all(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_servers_are_met_under_the_users_names(plain: PlainCluster) -> None:
    met = meet_all(spec_of(plain))
    assert list(met) == ["east-0", "east-1"]
    assert met["east-1"].varz["server_name"] == "server-1"
    assert met["east-0"].endpoints.monitor.port == plain.servers["east-0"].monitor


def test_a_host_name_is_resolved_so_that_clients_are_recognised(plain: PlainCluster) -> None:
    client = f"nats://localhost:{plain.servers['east-0'].client}"
    met = meet_all(spec_of(plain, east_0={"client": client}))
    assert met["east-0"].endpoints.client.host == "127.0.0.1"


def test_nobody_there_is_one_line(plain: PlainCluster) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for key, scheme in (("client", "nats"), ("monitor", "http")):
        url = f"{scheme}://127.0.0.1:{port}"
        said = refusal(spec_of(plain, east_1={key: url}))
        assert said == f"cluster.attach.east-1.{key}: {url} cannot be reached: Connection refused"
    said = refusal(spec_of(plain, east_1={"client": "nats://no-such-host.invalid:4222"}))
    assert "east-1.client: nats://no-such-host.invalid:4222: the host has no IPv4 address" in said


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"", "GET /varz was answered with status 404"),
        (200, b"<html>", "what it answers GET /varz is no JSON"),
        (200, b"{}", "its /varz has no server_id and no version"),
    ],
)
def test_a_monitor_that_is_not_nats_is_one_line(
    plain: PlainCluster, status: int, body: bytes, words: str
) -> None:
    with web_server(status, body) as port:
        said = refusal(spec_of(plain, east_0={"monitor": f"http://127.0.0.1:{port}"}))
    assert f"http://127.0.0.1:{port} is not a NATS server's monitoring port: {words}" in said


def test_a_client_port_as_monitor_is_one_line(plain: PlainCluster) -> None:
    port = plain.servers["east-1"].client
    said = refusal(spec_of(plain, east_0={"monitor": f"http://127.0.0.1:{port}"}))
    assert "is not a NATS server's monitoring port: it does not speak HTTP" in said


@pytest.mark.parametrize(
    ("greeting", "words"),
    [
        (b"SSH-2.0-x\r\n", "is not a NATS server's client port: it greeted with b'SSH-2.0-x"),
        (b"INFO {}\r\n", "its INFO has no server_id"),
        (b'INFO {"server_id":"X","tls_required":true}\r\n', "wants TLS: TLS is not supported"),
        (b'INFO {"server_id":"X"}\r\n', "client and monitor lead to two servers, X and N"),
    ],
)
def test_a_client_port_that_will_not_do_is_one_line(
    plain: PlainCluster, greeting: bytes, words: str
) -> None:
    with greeter(greeting) as port:
        said = refusal(spec_of(plain, east_0={"client": f"nats://127.0.0.1:{port}"}))
    assert words in said


def test_two_names_for_one_server_are_refused(plain: PlainCluster) -> None:
    one = plain.servers["east-0"]
    same = {
        "client": f"nats://localhost:{one.client}",
        "monitor": f"http://localhost:{one.monitor}",
    }
    said = refusal(spec_of(plain, east_1=same))
    assert "cluster.attach: east-0 and east-1 are one and the same server" in said


def test_a_cluster_that_asks_for_a_login_needs_one(tmp_path: Path) -> None:
    login = ("--user", "app", "--pass", "pa55word")
    with PlainCluster(tmp_path, size=1, extra=login) as plain:
        said = refusal(spec_of(plain))
        assert "asks for a login; give it as cluster.authorization: {user, password}" in said
        data = spec_of(plain).model_dump(exclude_unset=True)
        data["authorization"] = {"user": "app", "password": "pa55word"}
        assert meet_all(ClusterSpec.model_validate(data))
        data["authorization"]["password"] = "wr0ngword"
        said = refusal(ClusterSpec.model_validate(data))
        assert "refuses the login of cluster.authorization, 'app'" in said
        assert "wr0ngword" not in said


def test_addresses_that_servers_advertise_are_recognised(tmp_path: Path) -> None:
    with PlainCluster(tmp_path, size=2) as plain:
        server = plain.servers["east-1"]
        assert meet_all(spec_of(plain))["east-1"].endpoints.known_as == ()
        server.end()
        server.argv += ["--client_advertise", f"localhost:{server.client}"]
        server.start()
        plain.wait()
        met = meet_all(spec_of(plain))
    assert met["east-0"].endpoints.known_as == ()
    assert met["east-1"].endpoints.known_as == (f"localhost:{server.client}",)


async def test_a_cluster_that_is_not_joined_is_not_whole(
    plain: PlainCluster, tmp_path: Path
) -> None:
    with PlainCluster(tmp_path, size=1) as other:
        data = spec_of(plain).model_dump(exclude_unset=True)
        data["attach"]["stranger"] = spec_of(other).model_dump(exclude_unset=True)["attach"][
            "east-0"
        ]
        spec = ClusterSpec.model_validate(data)
        async with AttachBackend().cluster(
            spec, groups=(), folder=tmp_path, record=Events()
        ) as cluster:
            with pytest.raises(
                ServerError, match=r"is not whole after 0\.3 s of waiting: east-0: no"
            ):
                await cluster.form(0.3)


async def watched(cluster: AttachedCluster, limit_s: float = 10) -> str:
    """Return what the watch raises."""
    try:
        with anyio.fail_after(limit_s):
            await cluster.watch()
    except BaseExceptionGroup as group:
        return str(leading_error(group))
    raise AssertionError("the watch ended")


async def test_a_server_that_restarts_unasked_ends_the_watch(
    plain: PlainCluster, tmp_path: Path
) -> None:
    events = Events()
    server = plain.servers["east-1"]
    async with AttachBackend().cluster(
        spec_of(plain), groups=(), folder=tmp_path, record=events
    ) as cluster:
        await cluster.form(10)
        server.end()
        server.start()
        said = await watched(cluster)
        assert said == "east-1 restarted, though no fault holds on it"
    await anyio.to_thread.run_sync(plain.wait)
    (fact,) = [
        fact
        for kind, fact in zip(events.kinds, events.facts, strict=True)
        if kind == "server.replaced"
    ]
    assert (fact["node"], fact["expected"]) == ("east-1", False)


async def test_a_restart_under_a_fault_is_expected_until_it_is_healthy_again(
    plain: PlainCluster, tmp_path: Path
) -> None:
    events = Events()
    server = plain.servers["east-1"]
    async with AttachBackend().cluster(
        spec_of(plain), groups=(), folder=tmp_path, record=events
    ) as cluster:
        await cluster.form(10)
        node = cluster.nodes["east-1"]
        node.expect_exit()
        server.end()
        await node.look(1)
        with pytest.raises(
            ServerError, match=r"east-1 is not healthy after 0\.2 s: .*varz|healthz"
        ):
            await node.wait_healthy(0.2)
        server.start()
        await node.wait_healthy(20)
        assert events.kinds[-3:] == ["server.unreachable", "server.reachable", "server.replaced"]
        assert events.facts[-1]["expected"] is True
        server.end()
        server.start()
        await anyio.to_thread.run_sync(plain.wait)
    assert events.kinds[-1] == "server.replaced"  # by the last look
    assert events.facts[-1]["expected"] is False


async def test_a_slow_answer_of_the_process_before_is_no_restart(
    plain: PlainCluster, tmp_path: Path
) -> None:
    events = Events()
    async with AttachBackend().cluster(
        spec_of(plain), groups=(), folder=tmp_path, record=events
    ) as cluster:
        node = cluster.nodes["east-0"]
        before = events.kinds.count("server.replaced")
        await node.look(1)
        node._note_answer(0, {"server_id": "OLD", "version": "1"})
        node._note_silence(0, "too late")
        assert events.kinds.count("server.replaced") == before
        assert "server.unreachable" not in events.kinds


async def test_nothing_is_done_to_it_but_by_commands(plain: PlainCluster, tmp_path: Path) -> None:
    async with AttachBackend().cluster(
        spec_of(plain), groups=(), folder=tmp_path, record=Events()
    ) as cluster:
        node = cluster.nodes["east-0"]
        for act in (node.start, node.lame_duck):
            with pytest.raises(FaultError, match="east-0, which it did not start"):
                await act()
        for limited in (node.stop, node.kill, node.pause, node.resume, node.disconnect):
            with pytest.raises(FaultError, match="east-0, which it did not start"):
                await limited(1.0)
        with pytest.raises(FaultError, match="clock of east-0"):
            _ = node.clock
        with pytest.raises(FaultError, match="CPU time of east-0"):
            _ = node.cpu
        assert await node.responds(2)
        assert await node.accepts_clients(2)
        assert cluster.links is None


def command(argv: list[str], limit_s: float = 5.0, step: str = "inject") -> UserCommand:
    return UserCommand("f", step, tuple(argv), limit_s)


async def test_a_command_is_told_what_it_is_about_and_what_it_says_is_kept(tmp_path: Path) -> None:
    events = Events()
    runner = CommandRunner(tmp_path / "commands", events, frozenset({"pa55word"}))
    script = 'echo "$NATS_HARNESS_NODE $NATS_HARNESS_FAULT $NATS_HARNESS_STEP $X pa55word"; exit 3'
    done = await runner.run(command(["sh", "-c", script]), "n1", {"X": "more"})
    assert (done.returncode, done.output) == (3, "n1 f inject more ***\n")
    kept = (tmp_path / "commands" / "f-n1.log").read_text()
    assert "code 3" in kept
    assert done.output in kept
    assert "pa55word" not in events.facts[0]["output"]


async def test_a_command_that_goes_on_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    runner = CommandRunner(tmp_path, Events())
    script = f"echo begun; sleep 600 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(FaultError, match=r"inject did not end within 0\.5 s\. It had said: begun"):
        await runner.run(command(["sh", "-c", script], 0.5), "n1", {})
    pid = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not _alive(pid))


async def test_a_command_that_is_cancelled_is_killed(tmp_path: Path) -> None:
    runner = CommandRunner(tmp_path, Events())
    script = f"echo $$ > {tmp_path}/pid; sleep 600"
    async with anyio.create_task_group() as group:
        group.start_soon(runner.run, command(["sh", "-c", script], 600), "n1", {})
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    pid = int((tmp_path / "pid").read_text())
    assert eventually(lambda: not _alive(pid))


async def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="'no-such-program' is neither a program on the PATH nor"):
        await CommandRunner(tmp_path, Events()).run(command(["no-such-program"]), "n1", {})


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def attached() -> ClusterSpec:
    urls = {"client": "nats://10.0.0.1:4222", "monitor": "http://10.0.0.1:8222"}
    return ClusterSpec.model_validate({"attach": {"a": urls}})


def test_attach_is_taken_where_it_is_meant_and_nowhere_else() -> None:
    assert name_backend("auto", [attached()]) == name_backend("attach", [attached()]) == "attach"
    for other in ("lab", "local", "docker"):
        with pytest.raises(CapabilityError, match=f"backend {other} starts its own servers"):
            name_backend(other, [attached()])
    with pytest.raises(CapabilityError, match=r"backend attach needs cluster\.attach"):
        name_backend("attach", [ClusterSpec()])
    with pytest.raises(CapabilityError, match="run them apart"):
        name_backend("auto", [ClusterSpec(), attached()])


def test_what_it_cannot_do_is_refused_by_name() -> None:
    backend = choose("attach").backend
    able = {Capability.COMMAND, Capability.JETSTREAM}
    require(able, backend)
    for capability in set(Capability) - able:
        with pytest.raises(CapabilityError) as caught:
            require([capability], backend)
        assert str(caught.value) == (
            f"backend attach cannot {capability}; what goes wrong there is done by your own "
            "commands: action command"
        )
    with pytest.raises(CapabilityError, match="local cannot run-commands; attach can: --backend"):
        require([Capability.COMMAND], choose("local").backend)
