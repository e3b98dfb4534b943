"""The command as a user runs it, on images of the shapes that people deploy."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import inspected_images as images
import pytest
from command_line import Harness, eventually
from docker_images import busybox_available
from relay import RelayedLate, engine_elsewhere

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]
OURS = "io.nats-harness.role=inspect"


class Shelf:
    """Build images as they are asked for; remove them at the end."""

    def __init__(self) -> None:
        self.built: dict[tuple[str, str | None], str] = {}

    def __call__(self, name: str, shape: images.Shape, tag: str | None = None) -> str:
        if (name, tag) not in self.built:
            image = images.build(f"inspect-{name.replace('_', '-')}", shape, tag)
            self.built[name, tag] = image
        return self.built[name, tag]


@pytest.fixture(scope="module")
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    yield made
    images.remove(made.built.values())


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def run(harness: Harness, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    with harness.start("inspect", *arguments, **options) as process:
        out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def inspected(harness: Harness, image: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Return the exit code, the report and its checks by name."""
    done = run(harness, image, "--json", "-")
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    return done.returncode, report, {one["name"]: one for one in report["checks"]}


def failures(checks: dict[str, Any]) -> set[str]:
    return {name for name, one in checks.items() if one["verdict"] == "fail"}


def leftovers() -> list[str]:
    client = docker.from_env()
    try:
        ours = {"label": OURS}
        return [
            *(one["Id"] for one in client.api.containers(all=True, filters=ours)),
            *(one["Id"] for one in client.api.networks(filters=ours)),
            *(one["Name"] for one in client.api.volumes(filters=ours)["Volumes"] or []),
        ]
    finally:
        client.close()


def test_a_hardened_image_passes_every_check(harness: Harness, shelf: Shelf) -> None:
    code, report, checks = inspected(harness, shelf("hardened", images.hardened()))
    assert {one["verdict"] for one in checks.values()} == {"pass"}, checks
    assert (code, report["verdict"], report["exit_code"]) == (0, "pass", 0)
    assert report["schema_version"] == "1"
    assert report["image"]["user"] == "65532"
    assert any("/proc/" in line and "65532" in line for line in checks["user"]["evidence"])
    assert "listens on 4222" in checks["ports"]["evidence"]
    assert all(one["evidence"] and one["detail"] for one in checks.values())


@pytest.mark.parametrize("check", sorted(images.BROKEN))
def test_a_broken_image_fails_exactly_its_check(check: str, harness: Harness, shelf: Shelf) -> None:
    if check == "no_shell" and not busybox_available():
        pytest.skip("there is no busybox to put into an image")
    if check == "lame_duck_signal" and platform.machine() != "x86_64":
        pytest.skip("the wrapper is a program for x86-64")
    code, _, checks = inspected(harness, shelf(check, images.BROKEN[check]))
    assert failures(checks) == {check}, checks[check]
    assert code == 1


def test_a_tag_of_another_release_fails_the_version_alone(harness: Harness, shelf: Shelf) -> None:
    shape = images.changed('LABEL org.opencontainers.image.version="2.1.0"')
    _, _, checks = inspected(harness, shelf("version", shape, "2.1.0-alpine3.22"))
    assert failures(checks) == {"version"}
    assert checks["labels"]["verdict"] == "unknown"


def test_fips_mode_passes_only_where_the_server_is_in_it(harness: Harness, shelf: Shelf) -> None:
    claimed = images.changed('ENV GODEBUG="fips140=on"')
    code, _, checks = inspected(harness, shelf("fips", claimed))
    assert (code, checks["fips"]["verdict"]) == (0, "pass"), checks["fips"]
    assert any("cannot be used in FIPS" in line for line in checks["fips"]["evidence"])
    code, _, checks = inspected(harness, shelf("hardened", images.hardened(), "2-fips"))
    assert (code, failures(checks)) == (1, {"fips"})


def test_what_only_looks_suspicious_does_not_alarm(harness: Harness, shelf: Shelf) -> None:
    code, _, checks = inspected(harness, shelf("mixed", images.mixed(), "latest"))
    assert code == 0, failures(checks)
    assert checks["version"]["verdict"] == "unknown"
    assert any("database" in line for line in checks["no_shell"]["evidence"])


@pytest.mark.skipif(not busybox_available(), reason="there is no busybox")
def test_a_relaxed_image_is_set_against_a_hardened_one(
    harness: Harness, shelf: Shelf, tmp_path: Path
) -> None:
    relaxed = shelf("relaxed", images.relaxed())
    hardened = shelf("hardened", images.hardened())
    done = run(harness, relaxed, "--against", hardened, "--json", "report.json")
    assert done.returncode == 1, done.stderr
    report = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    found = [one for one in report["differences"] if one["image"] != one["against"]]
    assert {one["name"] for one in found} == {"user", "no_shell", "no_setuid", "labels"}
    assert report["against"]["verdict"] == "pass"
    assert "* differ in verdict: user, no_shell, no_setuid, labels" in done.stdout
    assert "~ differ in what was found: entry_point, ports" in done.stdout
    assert "FAIL" in done.stdout
    assert "PASS" in done.stdout


@pytest.mark.skipif(not busybox_available(), reason="there is no busybox")
def test_a_development_image_is_inspected_although_it_starts_no_server(
    harness: Harness, shelf: Shelf
) -> None:
    image = shelf("dev", images.development(), f"{images.VERSION}-dev")
    code, _, checks = inspected(harness, image)
    assert code == 1
    assert failures(checks) == {"user", "entry_point", "no_shell"}
    assert any("/usr/bin/apt" in line for line in checks["no_shell"]["evidence"])
    assert checks["version"]["verdict"] == "pass"


@pytest.mark.skipif(not busybox_available(), reason="there is no busybox")
def test_an_entry_script_is_told_and_everything_else_tried_through_it(
    harness: Harness, shelf: Shelf
) -> None:
    code, _, checks = inspected(harness, shelf("scripted", images.scripted()))
    assert (code, failures(checks)) == (1, {"entry_point", "no_shell"})
    assert "script" in checks["entry_point"]["detail"]
    assert {one["verdict"] for one in checks.values()} == {"pass", "fail"}


def test_a_setuid_server_is_seen_running_as_root(harness: Harness, shelf: Shelf) -> None:
    server = images.hardened().files["nats-server"]
    shape = images.changed(named={"nats-server": images.Entry(server.data, 0o4755)})
    _, _, checks = inspected(harness, shelf("setuid-server", shape))
    assert {"user", "no_setuid"} <= failures(checks)
    assert "0" in checks["user"]["evidence"][1].partition("uid ")[2].split("/")


def test_an_image_that_exits_at_once_shows_its_log(harness: Harness, shelf: Shelf) -> None:
    done = run(harness, shelf("exits", images.changed('CMD ["-c", "/gone.conf"]')))
    assert done.returncode == 2
    assert "exited at once with code 1" in done.stderr
    assert "gone.conf" in done.stderr.partition("exited at once")[2]
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not busybox_available(), reason="there is no busybox")
def test_an_image_without_nats_is_refused(harness: Harness, shelf: Shelf) -> None:
    files = {"busybox": images.Entry(images.BUSYBOX.read_bytes())}
    shape = images.Shape(files, ('CMD ["/busybox", "echo", "hello"]',))
    done = run(harness, shelf("other", shape))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not NATS" in done.stderr
    assert "hello" in done.stderr


def test_an_image_for_another_machine_is_refused_in_one_line(
    harness: Harness, shelf: Shelf
) -> None:
    other = "arm64" if platform.machine() == "x86_64" else "amd64"
    image = images.build_foreign("inspect-foreign", other)
    shelf.built["foreign", None] = image
    done = run(harness, image)
    assert done.returncode == 2
    assert f"is for {other}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("image", ["nats-harness-test/inspect-absent:1", "Not An Image", "@"])
def test_an_image_that_is_not_there_is_refused_in_one_line(image: str, harness: Harness) -> None:
    done = run(harness, image)
    assert done.returncode == 2
    assert done.stderr.startswith("nats-harness: ")
    assert done.stderr.count("\n") == 1


def test_without_an_engine_it_says_so(harness: Harness) -> None:
    done = run(harness, "nats:2", env={"DOCKER_HOST": "unix:///nowhere.sock"})
    assert done.returncode == 2
    assert "no Docker Engine at unix:///nowhere.sock" in done.stderr


def test_json_that_cannot_be_written_is_told_before_anything_runs(harness: Harness) -> None:
    done = run(harness, "nats:2", "--json", "/nowhere/report.json")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(
    number: signal.Signals, harness: Harness, shelf: Shelf
) -> None:
    image = shelf("hardened", images.hardened())
    with harness.start("inspect", image) as process:
        assert eventually(lambda: bool(leftovers()), 60)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    assert leftovers() == []


def test_an_interrupt_leaves_nothing_that_the_engine_is_still_making(
    harness: Harness, shelf: Shelf
) -> None:
    image = shelf("hardened", images.hardened())
    RelayedLate.asked.clear()
    with (
        engine_elsewhere(RelayedLate) as address,
        harness.start("inspect", image, env={"DOCKER_HOST": address}) as process,
    ):
        assert RelayedLate.asked.wait(60)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130, (out, err)
        assert leftovers() == []
        time.sleep(2 * RelayedLate.late_s)
        assert leftovers() == []


def test_what_a_killed_inspection_left_goes_with_the_next(harness: Harness, shelf: Shelf) -> None:
    image = shelf("hardened", images.hardened())
    with harness.start("inspect", image) as process:
        assert eventually(lambda: bool(leftovers()), 60)
        process.kill()
        process.communicate(timeout=60)
    assert eventually(lambda: bool(leftovers()), 10)
    assert run(harness, "nats-harness-test/inspect-absent:1").returncode == 2
    assert leftovers() == []


def test_an_engine_elsewhere_is_asked_and_not_this_kernel(harness: Harness, shelf: Shelf) -> None:
    image = shelf("hardened", images.hardened())
    with engine_elsewhere() as address:
        done = run(harness, image, "--json", "-", env={"DOCKER_HOST": address})
    assert done.returncode == 0, done.stderr
    checks = {one["name"]: one for one in json.loads(done.stdout)["checks"]}
    assert "docker top: /nats-server runs as uid 65532" in checks["user"]["evidence"]
    assert checks["ports"]["verdict"] == "unknown"
    others = {one["verdict"] for name, one in checks.items() if name != "ports"}
    assert others == {"pass"}
