"""Links of a real lab: cuts, resets and refusals do what they say, and nothing besides.

The bodies run in processes of their own, since the lab is entered before threads exist.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from command_line import lab_interfaces

pytestmark = pytest.mark.lab

HEAD = """
import os, sys
import anyio
from contextlib import ExitStack
from socket import AF_INET, SOCK_STREAM
from harness.backends.lab.enter import run_in_lab
from harness.cluster.grudge import all_links, around
from harness.cluster.links import Answer, Link, Passage
from harness.errors import FaultError, ServerError

NODES, GROUPS = ["n1", "n2", "n3"], ["a-publishers", "a-subscribers"]
EVERY = all_links(NODES, GROUPS)

async def passing(links, asked=EVERY, limit_s=0.1):
    found = await links.probe(asked, 3, limit_s)
    assert all(one.received in (0, 3) for one in found.values()), found
    return {link for link, one in found.items() if one.received}

def connect(network, source, target, port=4222):
    listener = network.socket(target, AF_INET)
    listener.bind((network.places[target].address, port))
    listener.listen()
    client = network.socket(source, AF_INET)
    client.settimeout(5)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    server.settimeout(5)
    return listener, client, server

async def body():
    from harness.backends.lab.network import lab_network
    from harness.backends.lab.links import lab_links
    async with lab_network(NODES, GROUPS) as network:
        with lab_links(network) as links, ExitStack() as held:
            if WARM:  # the bridge may take a second to see that its ports are up
                await links.probe(EVERY, 1, 5.0)
            await test(network, links, held)
    print("done")

def main():
    anyio.run(body)
    return 0
"""


def run(test: str, *, warm: bool = True) -> None:
    code = f"{HEAD}\nWARM = {warm}\nasync def test(network, links, held):\n"
    code += textwrap.indent(textwrap.dedent(test), "    ") + "\nsys.exit(run_in_lab(main))"
    argv = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_only_the_cut_links_drop_and_each_heals() -> None:
    run("""
    assert await passing(links) == set(EVERY)
    for cut in (
        {Link("n1", "n2")},
        around(["n1"], NODES, GROUPS),
        around(["n2"], NODES, GROUPS, direction="from"),
        {Link("a-publishers", "n3")},
    ):
        links.cut(cut)
        assert links.severed == cut
        assert await passing(links) == EVERY - cut
        links.heal(cut)
        assert await passing(links) == set(EVERY)
    """)


def test_overlapping_cuts_add_up_and_heal_on_their_own() -> None:
    run("""
    one, other = around(["n1"], NODES, GROUPS), around(["n2"], NODES, GROUPS)
    links.cut(one)
    links.cut(other)
    links.cut(one)
    links.heal(one)
    assert await passing(links) == EVERY - one - other
    links.heal(one)
    assert await passing(links) == EVERY - other
    links.heal(other)
    assert await passing(links) == set(EVERY)
    try:
        links.heal(other)
    except FaultError as error:
        assert "cannot heal what is not cut: " in str(error)
    else:
        raise AssertionError("healed twice")
    """)


def test_traffic_on_other_links_is_untouched_by_a_cut_and_waits_on_a_cut_one() -> None:
    run("""
    _, far, near = [held.enter_context(one) for one in connect(network, "n2", "n1")]
    _, other, own = [held.enter_context(one) for one in connect(network, "n3", "n1", 6222)]
    links.cut({Link("n2", "n1")})
    near.settimeout(0.3)
    far.sendall(b"late")
    for number in range(1000):
        other.sendall(b"now")
        assert own.recv(3) == b"now"
    try:
        near.recv(4)
    except TimeoutError:
        pass
    else:
        raise AssertionError("something came through")
    links.heal({Link("n2", "n1")})
    near.settimeout(10)
    assert near.recv(4) == b"late"
    """)


def test_address_resolution_passes_a_one_way_cut() -> None:
    run(
        """
    links.cut({Link("n1", "n2")})
    # Nobody has asked for an address yet: without ARP the other way would fail as well.
    assert await passing(links, [Link("n2", "n1")], 5.0) == {Link("n2", "n1")}
    """,
        warm=False,
    )


def test_a_thousand_links_change_in_one_batch() -> None:
    run("""
    from harness.backends.lab.cuts import Cuts
    from harness.backends.lab import cuts
    names = {f"p{n}": f"198.18.9.{n}" for n in range(60)}
    many = [Link(a, b) for a in names for b in names if a != b]
    from harness.backends.lab.netlink import NETLINK_NETFILTER, Netlink
    with Netlink(NETLINK_NETFILTER) as netlink:
        wide = Cuts(netlink, cuts.TABLE, names)
        wide.cut(many)
        assert len(wide.links) == len(many) == 3540
        wide.heal(many)
    """)


def test_a_refused_change_is_an_error_and_changes_nothing() -> None:
    run("""
    from harness.backends.lab.cuts import TABLE
    TABLE.delete(links._cuts._netlink)
    for act in (links.cut,):
        try:
            act({Link("n1", "n2")})
        except FaultError as error:
            assert "the kernel did not cut the links" in str(error)
        else:
            raise AssertionError("cut without a table")
    assert links.severed == frozenset()
    TABLE.create(links._cuts._netlink)
    """)


def test_reset_closes_only_what_it_is_told_at_both_ends() -> None:
    run("""
    _, far, near = [held.enter_context(one) for one in connect(network, "n2", "n1", 6222)]
    _, client, served = [held.enter_context(one) for one in connect(network, "a-publishers", "n1")]
    before = links.streams("n1", ["n2", "a-publishers"])
    assert sorted((one.peer, one.port) for one in before) == [("a-publishers", 4222), ("n2", 6222)]
    links.reset(links.streams("n1", ["n2"]))
    for end, error in ((far, ConnectionResetError), (near, ConnectionAbortedError)):
        try:
            end.recv(1)
        except error:
            pass
        else:
            raise AssertionError(f"no {error}")
    assert {one.peer for one in links.streams("n1", ["n2", "a-publishers"])} == {"a-publishers"}
    assert links.streams("n2", ["n1"]) == frozenset()
    client.sendall(b"on")
    assert served.recv(2) == b"on"
    links.reset(before)  # what has gone already is passed over
    """)


def test_refusals_answer_new_connections_and_leave_old_ones() -> None:
    run("""
    listener, client, served = [
        held.enter_context(one) for one in connect(network, "a-publishers", "n1")
    ]
    refused, free = Link("a-publishers", "n1"), Link("a-subscribers", "n1")
    links.refuse([refused])
    links.refuse([refused])
    assert dict(await links.knock([refused, free], 1.0)) == {
        refused: Answer.REFUSED,
        free: Answer.ACCEPTED,
    }
    client.sendall(b"on")
    assert served.recv(2) == b"on"
    links.accept([refused])
    assert (await links.knock([refused], 1.0))[refused] is Answer.REFUSED
    links.accept([refused])
    assert (await links.knock([refused], 1.0))[refused] is Answer.ACCEPTED
    links.cut([refused])
    assert (await links.knock([refused], 0.1))[refused] is Answer.SILENCE
    """)


def test_links_come_and_go_with_their_network() -> None:
    run("""
    from harness.backends.lab.links import lab_links
    try:
        with lab_links(network) as second:
            second.cut({Link("n1", "n2")})
            raise OSError("a body's own error stays what it is")
    except OSError:
        pass
    assert await passing(links) == set(EVERY)
    from harness.backends.lab.cuts import TABLE
    TABLE.create(links._cuts._netlink)  # the second took the table of the same name away
    """)


def test_the_trial_finds_everything_here_and_says_what_is_missing() -> None:
    code = """
import sys
from harness.backends.lab.available import examine_lab
print(dict(examine_lab().lacks))
import harness.backends.lab.cuts as cuts
cuts.Cuts._change = lambda self, add, remove, verb: None
examine_lab.cache_clear()
print({str(one): why for one, why in examine_lab().lacks.items()})
import harness.backends.lab.nftables as nf
def lacking(self, netlink):
    raise OSError(95, "Operation not supported")
nf.Table.create = lacking
examine_lab.cache_clear()
print({str(one): why for one, why in examine_lab().lacks.items()})
from harness.backends.lab.backend import LabBackend
print(sorted(map(str, LabBackend().capabilities)))
"""
    argv = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    whole, leaky, none, rest = done.stdout.splitlines()
    assert whole == "{}"
    assert leaky == "{'partition': 'the kernel took a cut, and packets pass all the same'}"
    assert none.count("nf_tables on the bridge: Operation not supported") == 3
    left = ["ask-jetstream", "change-releases", "cut-power-of-devices", "damage-stores"]
    left += ["fault-disks", "kill", "lame-duck", "limit-bandwidth", "limit-cpu", "pause"]
    left += ["roll-back-disks", "shape", "skew-clocks"]
    assert rest == str([*left, "stop"])


STAY = """
import os, sys
import anyio
from pathlib import Path
from harness.backends.lab.backend import LabBackend
from harness.cluster.grudge import around
from harness.scenario.model import ClusterSpec

def forget(kind, **facts):
    pass

async def run():
    async with LabBackend().cluster(
        ClusterSpec(servers=2), groups=["g-load"], folder=Path(sys.argv[1]), record=forget
    ) as cluster:
        await cluster.form(20)
        links = cluster.links
        ways = around(["n1"], links.nodes, links.groups)
        links.refuse(around(["n2"], links.nodes, links.groups, direction="to"))
        links.cut(ways)
        print("cut", flush=True)
        await anyio.sleep(600)

def main():
    anyio.run(run)
    return 0

sys.exit(LabBackend().host(main))
"""


def test_sigkill_during_a_cut_leaves_nothing(tmp_path: Path) -> None:
    argv = [sys.executable, "-W", "error", "-c", STAY, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"cut\n"
        harness.kill()
    deadline = time.monotonic() + 20
    while left := carrying(str(tmp_path)):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
    assert lab_interfaces() == []


def carrying(mark: str) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if mark in line:
            found.append(line)
    return found
