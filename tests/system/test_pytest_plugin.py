"""The plugin as its users have it: their tests, in a pytest of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import MARKER, Harness, eventually

INI = """
[pytest]
filterwarnings = error
asyncio_default_fixture_loop_scope = function
"""
KINDS = """
import socket, anyio, harness, nats, pytest

def hello(url):
    host, port = url.removeprefix("nats://").split(":")
    with socket.create_connection((host, int(port)), timeout=2) as one:
        return one.recv(5)

def test_plain(nats_cluster, nats_faults):
    assert [hello(url) for url in nats_cluster.urls] == [b"INFO "] * 3
    with nats_faults.kill("seed") as killed:
        assert killed.targets == ("n1",)
        assert not nats_cluster.nodes["n1"].running
        with pytest.raises(OSError):
            assert hello(nats_cluster.url) == b"INFO ", "nobody behind the proxy"
            raise OSError
        with nats_faults.pause("n2"):
            assert nats_cluster.nodes["n2"].running
    assert nats_cluster.nodes["n1"].running
    assert [one.kind for one in killed.proof] == ["hit", "effect", "held", "undo"]
    assert "signal 9" in killed.proof[1].what

async def roundtrip(cluster, faults):
    lost = []
    async def disconnected():
        lost.append(1)
    client = await nats.connect(
        cluster.urls, ping_interval=0.2, max_outstanding_pings=1, reconnect_time_wait=0.1,
        max_reconnect_attempts=-1, dont_randomize=True, disconnected_cb=disconnected,
    )
    assert client.connected_url.netloc == cluster.url.removeprefix("nats://")
    async with faults.partition("n1", between="clients"):
        with anyio.fail_after(10):
            while not client.is_connected or not lost:
                await anyio.sleep(0.02)
        assert client.connected_url.netloc != cluster.url.removeprefix("nats://")
    await client.close()
    patient = await nats.connect(cluster.urls)
    async with faults.delay("all", between="clients", delay="100ms"):
        before = anyio.current_time()
        await patient.flush()
        assert anyio.current_time() - before >= 0.2
    with pytest.raises(harness.CapabilityError, match="cannot partition"):
        async with faults.partition("n1", between="servers"):
            raise AssertionError("not reached")
    await patient.close()

@pytest.mark.asyncio
@pytest.mark.nats_cluster(servers=2)
async def test_asyncio(nats_cluster, nats_faults):
    assert list(nats_cluster.nodes) == ["n1", "n2"]
    await roundtrip(nats_cluster, nats_faults)

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
@pytest.mark.nats_cluster(jetstream=True)
async def test_anyio(nats_cluster, nats_faults):
    client = await nats.connect(nats_cluster.urls, max_reconnect_attempts=-1)
    stream = client.jetstream()
    await stream.add_stream(name="ORDERS", subjects=["o.>"], num_replicas=3)
    async with nats_faults.stop("stream-leader:ORDERS") as stopped:
        assert not nats_cluster.nodes[stopped.targets[0]].running
        with anyio.fail_after(20):
            while True:
                try:
                    assert (await stream.publish("o.1", b"x")).seq
                    break
                except nats.errors.Error:
                    await anyio.sleep(0.1)
    await client.close()
"""


def end_server(name: str) -> str:
    """Return code that ends a server of `nats_cluster` behind the harness's back."""
    return f"""
    import os, pathlib, signal
    conf = str(nats_cluster.folder / "{name}.conf").encode()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\\0")
        except OSError:
            continue
        if conf in words and b"nats-server" in words[0]:
            os.kill(int(entry.name), signal.SIGNUM)
            ended = entry
"""


# A signal takes its time, and so does the end of every thread.
GONE = """
    while ended.exists():
        pass
"""


MISFORTUNES = f"""
import pytest

pytestmark = pytest.mark.nats_cluster(servers=2, seed=77)

def test_own_failure(nats_cluster):
    assert nats_cluster.seed == 0, "own words"

def test_server_dies(nats_cluster):
{end_server("n2").replace("SIGNUM", "SIGKILL")}{GONE}

def test_forgot_the_block(nats_faults):
    nats_faults.kill("n1")

def test_effect_goes_early(nats_cluster, nats_faults):
    with pytest.raises(ValueError):
        with nats_faults.pause("n1"):
{end_server("n1").replace("SIGNUM", "SIGCONT").replace(chr(10) + "    ", chr(10) + "            ")}
            raise ValueError("which must not hide that the fault was not one")

@pytest.mark.nats_cluster(sevrers=3)
def test_marker(nats_cluster):
    pass

@pytest.mark.nats_cluster(spec=5)
def test_spec(nats_cluster):
    pass

@pytest.mark.nats_cluster(config={{"max_pyload": 1}})
def test_config(nats_cluster):
    pass

@pytest.mark.nats_cluster(version="/no/such/server")
def test_version(nats_cluster):
    pass
"""

WIDER = """
import pytest

@pytest.fixture(scope="module")
def pair(nats_cluster_factory):
    with nats_cluster_factory(servers=2) as cluster:
        yield cluster

@pytest.mark.parametrize("turn", range(3))
def test_shared(pair, turn):
    assert pair.nodes["n1"].running
    with pair.faults.restart("n2"):
        pass
"""
UNUSED = """
import pytest

@pytest.fixture(scope="module")
def shared(nats_cluster_factory):
    with nats_cluster_factory(servers=1) as cluster:
        yield cluster

@pytest.fixture
def unlucky(shared):
    shared.faults.pause("n1")
    raise RuntimeError("in a fixture")

def test_fails_before_it_enters(shared):
    fault = shared.faults.pause("n1")
    assert not fault.call, "own words"

def test_is_not_to_blame(shared):
    pass

def test_has_no_luck(unlucky):
    pass

def test_neither_is_this_one(shared):
    pass

def test_forgets(shared):
    shared.faults.pause("n1")

def test_fails_alone(nats_cluster):
    fault = nats_cluster.faults.pause("n1")
    assert not fault.call, "own words"
"""
SECRETS = """
import harness, pytest

PASSWORD = "hun" + "ter2"
LOGIN = {"authorization": {"user": "u", "password": PASSWORD}}

@pytest.fixture
def mistyped(nats_cluster_factory):
    return nats_cluster_factory(config=LOGIN, backend="lobal")

def test_of_the_factory(mistyped):
    pass

def test_of_a_cluster():
    harness.nats_cluster(config=LOGIN, spec={"sevrers": 3})

def test_of_its_servers():
    harness.nats_cluster(config=LOGIN, servers=0)

def test_of_its_backend():
    harness.nats_cluster(config=LOGIN, backend="lobal")

def test_of_its_options():
    harness.nats_cluster(config=LOGIN, spec=5)

def test_of_a_fault():
    harness.nats_cluster(config=LOGIN).faults.stop("n4")

def test_of_a_command():
    harness.nats_cluster(config=LOGIN).faults.command(commands={"n4": ["login", PASSWORD]})

def test_of_a_time():
    harness.nats_cluster(config=LOGIN).faults.stop("n1", at="1s")

def test_of_a_disk():
    harness.nats_cluster(config=LOGIN, jetstream=True).faults.disk_full("n1")
"""
HANGING = """
import time, pytest

@pytest.fixture
def broken(nats_cluster):
    yield
    raise RuntimeError("in a fixture")

def test_first(nats_cluster, broken):
    if WAIT:
        with nats_cluster.faults.pause("n2"):
            open("ready", "w").close()
            time.sleep(60)
    assert not FAIL

def test_second(nats_cluster):
    assert not FAIL
"""


@pytest.fixture
def marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester) -> Harness:
    """Mark everything that is started from here on; a warning is an error in it."""
    pytester.makeini(INI)
    found = Harness(tmp_path)
    monkeypatch.setenv(MARKER, found.marker)
    return found


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:cov", *arguments)


def test_tests_of_every_kind_have_a_cluster_and_cut_it(
    pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(KINDS)
    run(pytester, "-q").assert_outcomes(passed=3)
    assert marked.leftovers() == []


def test_what_goes_wrong_is_told_where_it_belongs(
    pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(MISFORTUNES)
    result = run(pytester, "-q", "-rfE")
    result.assert_outcomes(failed=4, errors=4)
    said = result.stdout.str()
    result.stdout.fnmatch_lines_random(
        [
            "*own words*",
            "*2 servers on local, seed 77, in *",
            "*nats-server n1, end of its log*",
            "*Server is ready*",
            "*n2 was ended by SIGKILL*",
            "*faults.kill was called and nothing happened*with faults.kill(...):",
            "*FaultError: *n1*",
            "*expected servers, jetstream, *, found sevrers",
            "*nats_cluster: spec: expected a mapping, found int",
            "*max_pyload*",
            "*there is no nats-server at /no/such/server*",
        ]
    )
    assert "INTERNALERROR" not in said
    assert marked.leftovers() == []


def test_a_fault_that_was_not_entered_is_told_of_the_test_that_called_it(
    pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(UNUSED)
    result = run(pytester, "-q", "-rfE")
    result.assert_outcomes(passed=2, failed=3, errors=1)
    result.stdout.fnmatch_lines_random(
        [
            "*FAILED *::test_fails_before_it_enters*",
            "*ERROR *::test_has_no_luck*",
            "*FAILED *::test_forgets*",
            "*FAILED *::test_fails_alone*",
            "faults.pause was called and nothing happened*",
        ]
    )
    assert marked.leftovers() == []


@pytest.mark.parametrize("arguments", [(), ("--tb=long",), ("-l",)], ids=["auto", "long", "locals"])
def test_no_password_is_shown_on_a_typo(
    arguments: tuple[str, ...], pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(SECRETS)
    result = run(pytester, "-q", *arguments)
    result.assert_outcomes(failed=8, errors=1)
    assert "hunter2" not in result.stdout.str() + result.stderr.str()
    assert marked.leftovers() == []


def test_a_wider_scope_has_one_cluster_and_the_command_line_chooses(
    pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(WIDER)
    run(pytester, "-q", "--nats-server", "bundled").assert_outcomes(passed=3)
    result = run(pytester, "-q", "--nats-server", "/no/such/server")
    result.assert_outcomes(errors=3)
    pytester.makeini(f"{INI}nats_backend = elsewhere")
    result = run(pytester, "-q", "-x")
    result.stdout.fnmatch_lines(["*unknown backend 'elsewhere'*"])
    assert marked.leftovers() == []


@pytest.mark.lab
def test_servers_in_the_lab_are_reached_and_parted(
    pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(
        """
        import json, urllib.request, nats, pytest

        def routes(cluster, node):
            with urllib.request.urlopen(cluster.nodes[node].monitor_url + "/routez") as answer:
                return {one["remote_name"] for one in json.load(answer)["routes"]}

        @pytest.mark.asyncio
        @pytest.mark.nats_cluster(backend="lab")
        async def test_lab(nats_cluster, nats_faults):
            near, far = [await nats.connect(url) for url in nats_cluster.urls[:2]]
            known = {server.uri.netloc for server in near._server_pool}
            assert known == {url.removeprefix("nats://") for url in nats_cluster.urls}
            heard = await far.subscribe("x")
            await far.flush()
            async with nats_faults.partition("n1", between="servers", topology="isolate") as cut:
                await near.publish("x", b"lost")
                await near.flush()
                with pytest.raises(nats.errors.TimeoutError):
                    await heard.next_msg(0.5)
            assert {one.node for one in cut.proof if one.kind == "effect"} == {"n1", "n2", "n3"}
            assert "n2" in " ".join(routes(nats_cluster, "n1"))
            async with nats_faults.stop("n3"):
                with pytest.raises(OSError):
                    await nats.connect(nats_cluster.urls[2], allow_reconnect=False)
            await near.close()
            await far.close()
        """
    )
    run(pytester, "-q").assert_outcomes(passed=1)
    assert eventually(lambda: marked.leftovers() == [])


@pytest.mark.parametrize(
    ("arguments", "outcomes"),
    [
        (("-x",), {"failed": 1, "errors": 1}),
        (("-n", "2"), {"failed": 2, "errors": 1}),
    ],
)
def test_nothing_stays_after_failures(
    arguments: tuple[str, ...],
    outcomes: dict[str, int],
    pytester: pytest.Pytester,
    marked: Harness,
) -> None:
    pytester.makepyfile(HANGING.replace("WAIT", "False").replace("FAIL", "True"))
    run(pytester, "-q", *arguments).assert_outcomes(**outcomes)
    assert marked.leftovers() == []


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_stays_after_an_end_amid_a_fault(
    number: int, arguments: tuple[str, ...], pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(HANGING.replace("WAIT", "True").replace("FAIL", "False"))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"]
    if number == signal.SIGINT and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # Tests that run in the background may ignore it, and their children would too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [*argv, *arguments],
        cwd=pytester.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        assert eventually((pytester.path / "ready").exists, 60)
        os.killpg(process.pid, number)
        said, _ = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert "KeyboardInterrupt" in said
    assert eventually(lambda: marked.leftovers() == []), said


def test_without_use_it_costs_nothing_and_can_be_left_out(
    pytester: pytest.Pytester, marked: Harness
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_was_imported():
            heavy = {"numpy", "pydantic", "harness.hosting", "harness.api", "harness.errors"}
            assert not heavy & set(sys.modules)
        """
    )
    run(pytester, "-q", "--strict-markers").assert_outcomes(passed=1)
    run(pytester, "-q", "-p", "no:nats_harness", "-p", "no:hypothesispytest").assert_outcomes(
        passed=1
    )
    run(pytester, "-p", "no:nats_harness", "--fixtures").stdout.no_fnmatch_line("*nats_cluster*")
