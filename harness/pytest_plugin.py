"""The plugin for pytest: real clusters as fixtures, and faults within tests; see docs/pytest.md.

The entry point is `nats_harness` (`-p no:nats_harness` switches it off). What a cluster needs is
imported when one is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.hosting.cluster import HostedCluster
    from harness.hosting.faults import Faults

MARKER = "nats_cluster"
OPTIONS = ("servers", "jetstream", "version", "config", "spec", "backend", "seed", "disks")
LOG_LINES = 40

_clusters = pytest.StashKey[list["HostedCluster"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the servers and their place be chosen without touching a test."""
    group = parser.getgroup("nats-harness")
    texts = {
        "server": "NATS server for all clusters: bundled, a release or a path",
        "backend": "where clusters run: local, or lab, where every fault of links is real",
    }
    for name, text in texts.items():
        group.addoption(f"--nats-{name}", dest=f"nats_{name}", metavar=name.upper(), help=text)
        parser.addini(f"nats_{name}", f"{text}, unless a test's marker says otherwise")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}({', '.join(f'{name}=...' for name in OPTIONS)}): what the cluster of the "
        "fixture nats_cluster is to be; see harness.nats_cluster",
    )
    config.stash[_clusters] = []


@pytest.fixture(scope="session")
def nats_cluster_factory(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., HostedCluster]:
    """What makes clusters for fixtures of a wider scope; each runs while a block does.

    It takes what `harness.nats_cluster` takes. Options of the command line come first, then what is
    given here, then the ini file.
    """
    config = request.config

    def make(**options: Any) -> HostedCluster:
        import harness

        for option, name in (("version", "nats_server"), ("backend", "nats_backend")):
            chosen = config.getoption(name) or options.get(option) or config.getini(name)
            if chosen:
                options[option] = chosen
        folder = options.pop("folder", None) or tmp_path_factory.mktemp("nats-cluster")
        with _told("nats_cluster: "):
            cluster = harness.nats_cluster(folder=Path(folder), **options)
        cluster.follow(config.stash[_clusters])
        return cluster

    return make


@pytest.fixture
def nats_cluster(
    request: pytest.FixtureRequest, nats_cluster_factory: Callable[..., HostedCluster]
) -> Iterator[HostedCluster]:
    """A real cluster for this test alone; the marker `nats_cluster` says what it is to be."""
    marker = request.node.get_closest_marker(MARKER)
    options = {} if marker is None else marker.kwargs
    unknown = [name for name in options if name not in OPTIONS]
    if unknown or (marker is not None and marker.args):
        found = unknown[0] if unknown else "a value without a name"
        pytest.fail(f"marker {MARKER}: expected {', '.join(OPTIONS)}, found {found}", pytrace=False)
    cluster = nats_cluster_factory(**options)
    with _told("nats_cluster: "):
        cluster.start()
    try:
        yield cluster
    finally:
        with _told("nats_cluster: "):
            cluster.close()


@pytest.fixture
def nats_faults(nats_cluster: HostedCluster) -> Faults:
    """Faults for the cluster of this test: ``with nats_faults.stop("n1"): ...``."""
    return nats_cluster.faults


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test in which a server ended unasked, or that called a fault and entered none."""
    result = yield
    clusters = item.config.stash[_clusters]
    for cluster in clusters[:]:
        with _told():
            cluster.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of every server's log to the report of what failed.

    What a test that did not pass left undone is not the next one's, which may share the cluster.
    """
    del call
    report = yield
    for cluster in item.config.stash[_clusters]:
        if report.failed:
            report.sections.extend(_tell(cluster))
        if not report.passed or report.when == "teardown":
            cluster.faults.forget_unused()
    return report


@contextmanager
def _told(what: str = "") -> Iterator[None]:
    """Let an error of the harness fail the test by its words alone, which say all."""
    from harness.errors import HarnessError

    try:
        yield
    except HarnessError as error:
        raise pytest.fail.Exception(f"{what}{error}", pytrace=False) from None


def _tell(cluster: HostedCluster) -> Iterator[tuple[str, str]]:
    from harness.backends.server_log import tail

    head = f"{len(cluster.nodes)} servers on {cluster.backend}, seed {cluster.seed}"
    yield "nats cluster", f"{head}, in {cluster.folder}"
    for name, node in cluster.nodes.items():
        yield (
            f"nats-server {name}, end of its log",
            "\n".join(tail(node.log, LOG_LINES)),
        )
