"""Each check on planted facts: what must fail fails, what must not does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from docker_images import PEM
from inspected_images import EXPIRED, NOT_ONE

from harness.engine.images import Image
from harness.inspection.checks import (
    CHECKS,
    certificates,
    entry_point,
    fips,
    jetstream,
    labels,
    lame_duck_prestop,
    lame_duck_signal,
    ports,
    server_id,
    setuid,
    shell,
    user,
    version,
)
from harness.inspection.checks.version import tag_agrees
from harness.inspection.containers import Executed
from harness.inspection.content import Kind, read_certificates
from harness.inspection.facts import CipherTrial, Facts, LameDuckTrial, Shipped, StoreTrial
from harness.inspection.filesystem import File, FileSystem, FileType
from harness.inspection.model import Verdict, redacted, redacted_words
from harness.inspection.processes import Process

PASS, FAIL, UNKNOWN = Verdict.passed, Verdict.failed, Verdict.unknown
IMAGE = Image(
    name="nats:2.15.1",
    id="sha256:0",
    digests=(),
    architecture="amd64",
    user="65532",
    entrypoint=("/nats-server",),
    command=(),
    environment={"PATH": "/"},
    ports=("4222/tcp",),
    volumes=(),
    working_directory="/",
    labels={},
)
SERVER = File("/nats-server", FileType.file, program=True, kinds=frozenset({Kind.server}))
NONROOT = Process(7, (65532,) * 4, "/nats-server", "/proc/7/status", here=True)
VARZ = {"version": "2.15.1", "server_id": "NABC"}


def facts(*files: File, image: dict[str, Any] | None = None, **changes: Any) -> Facts:
    whole = Facts(
        image=replace(IMAGE, **(image or {})),
        files=FileSystem.of((SERVER, *files)),
        shipped=Shipped(processes=(NONROOT,), listening=(4222,), version="2.15.1"),
        monitoring=VARZ,
    )
    return replace(whole, **changes)


def shipped(**changes: Any) -> Shipped:
    return replace(facts().shipped, **changes)


def program(path: str, *kinds: Kind, **changes: Any) -> File:
    return File(path, FileType.file, program=True, kinds=frozenset(kinds), **changes)


def passwd(text: str) -> File:
    return File("/etc/passwd", FileType.file, 0o644, text=text)


@pytest.mark.parametrize("name", ["", "0", "00", "root", "0:65532", "root:nats", "+0"])
def test_every_name_of_root_fails(name: str) -> None:
    assert user.check(facts(image={"user": name})).verdict is FAIL


def test_a_name_is_looked_up_in_the_image() -> None:
    admin = {"image": {"user": "admin"}}
    assert user.check(facts(passwd("admin:x:0:0::/:\n"), **admin)).verdict is FAIL
    assert user.check(facts(passwd("admin:x:99:0::/:\n"), **admin)).verdict is PASS
    assert user.check(facts(**admin)).verdict is UNKNOWN


@pytest.mark.parametrize("users", [(0, 0, 0, 0), (65532, 0, 0, 0), (65532, 65532, 0, 65532)])
def test_a_process_that_is_or_may_become_root_fails(users: tuple[int, ...]) -> None:
    processes = (NONROOT, replace(NONROOT, users=users))
    assert user.check(facts(shipped=shipped(processes=processes))).verdict is FAIL


def test_an_unseen_process_leaves_the_user_unknown() -> None:
    assert user.check(facts(shipped=shipped(processes=()))).verdict is UNKNOWN


def test_a_script_or_a_shell_as_entry_point_fails() -> None:
    script = File("/entry.sh", FileType.file, 0o755, interpreter="/bin/sh")
    assert entry_point.check(facts()).verdict is PASS
    assert entry_point.check(facts(script, image={"entrypoint": ("/entry.sh",)})).verdict is FAIL
    through = facts(program("/bin/x", Kind.shell), image={"entrypoint": ("/bin/x", "-c", "n")})
    assert entry_point.check(through).verdict is FAIL
    assert entry_point.check(facts(shipped=shipped(started=False))).verdict is FAIL


@pytest.mark.parametrize(
    "file",
    [
        program("/opt/x", Kind.busybox),
        program("/opt/x", Kind.shell),
        program("/opt/x", Kind.packages, mode=0o644),
        program("/bin/sh"),
        program("/bin/busybox.static"),
        program("/usr/bin/apk", mode=0o644),
        File("/usr/bin/apt", FileType.file, 0o755, interpreter="/usr/bin/python3"),
    ],
)
def test_a_shell_or_a_package_manager_fails(file: File) -> None:
    assert shell.check(facts(file)).verdict is FAIL


def test_a_link_called_sh_fails_by_what_it_leads_to() -> None:
    link = File("/bin/sh", FileType.symlink, target="../opt/x")
    assert shell.check(facts(link)).verdict is PASS
    assert shell.check(facts(link, program("/opt/x"))).verdict is FAIL
    server = replace(link, target="/nats-server")
    assert shell.check(facts(server)).verdict is PASS


@pytest.mark.parametrize(
    "file",
    [
        File("/sh", FileType.folder),
        File("/usr/share/bash", FileType.file, 0o644),
        File("/completions/apt", FileType.file, 0o755),
        File("/bin/x", FileType.file, 0o755, interpreter="/bin/sh"),
        File("/var/lib/dpkg/status", FileType.file, 0o644),
        program("/usr/bin/shred"),
    ],
)
def test_what_is_only_called_like_a_shell_passes(file: File) -> None:
    assert shell.check(facts(file)).verdict is PASS


def test_a_packed_program_hides_what_it_is() -> None:
    assert shell.check(facts(program("/opt/x", Kind.packed))).verdict is UNKNOWN


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6644])
def test_setuid_and_setgid_files_fail_and_folders_do_not(mode: int) -> None:
    assert setuid.check(facts(program("/x", mode=mode))).verdict is FAIL
    assert setuid.check(facts(File("/x", FileType.folder, mode))).verdict is PASS


def pem(path: str, data: bytes = PEM, mode: int = 0o644) -> File:
    return File(path, FileType.file, mode, certificates=read_certificates(data))


BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
FOLDERS = tuple(File(one, FileType.folder) for one in ("/etc", "/etc/ssl", "/etc/ssl/certs"))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (pem(BUNDLE), PASS),
        (pem("/etc/ssl/certs/any.pem"), PASS),
        (pem(BUNDLE, EXPIRED + PEM), PASS),
        (pem(BUNDLE, EXPIRED), FAIL),
        (pem(BUNDLE, NOT_ONE), FAIL),
        (pem(BUNDLE, b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----"), FAIL),
        (pem(BUNDLE, mode=0o600), FAIL),
        (pem("/etc/ssl/certs/deep/any.pem"), FAIL),
        (pem("/opt/ca.pem"), FAIL),
    ],
)
def test_certificates_count_where_the_server_looks(file: File, expected: Verdict) -> None:
    assert certificates.check(facts(*FOLDERS, file)).verdict is expected


def test_an_empty_bundle_hides_the_next_one() -> None:
    empty = File(BUNDLE, FileType.file, 0o644)
    other = pem("/etc/ssl/cert.pem")
    assert certificates.check(facts(*FOLDERS, other)).verdict is PASS
    assert certificates.check(facts(*FOLDERS, empty, other)).verdict is FAIL


def test_the_variables_of_certificates_are_followed() -> None:
    mine = pem("/opt/ca.pem")
    opt = File("/opt", FileType.folder)
    named = {"environment": {"SSL_CERT_FILE": "/opt/ca.pem"}}
    assert certificates.check(facts(opt, mine, image=named)).verdict is PASS
    folders_too = {"environment": {"SSL_CERT_FILE": "/gone.pem"}}
    assert certificates.check(facts(*FOLDERS, pem(BUNDLE), image=folders_too)).verdict is PASS
    gone = {"environment": {"SSL_CERT_FILE": "/gone.pem", "SSL_CERT_DIR": "/gone"}}
    assert certificates.check(facts(*FOLDERS, pem(BUNDLE), image=gone)).verdict is FAIL
    shut = File("/opt", FileType.folder, 0o700)
    assert certificates.check(facts(shut, mine, image=named)).verdict is FAIL


def test_ports_below_1024_fail_wherever_they_are_seen() -> None:
    assert ports.check(facts()).verdict is PASS
    assert ports.check(facts(image={"ports": ("443/tcp",)})).verdict is FAIL
    assert ports.check(facts(shipped=shipped(listening=(80, 4222)))).verdict is FAIL
    said = ("[INF] Starting http monitor on 0.0.0.0:80",)
    assert ports.check(facts(shipped=shipped(listening=None, log=said))).verdict is FAIL
    assert ports.check(facts(shipped=shipped(listening=(1023,)))).verdict is FAIL
    assert ports.check(facts(shipped=shipped(listening=(1024,)))).verdict is PASS


@pytest.mark.parametrize("seen", [None, ()])
def test_ports_that_cannot_be_seen_are_unknown(seen: tuple[int, ...] | None) -> None:
    assert ports.check(facts(shipped=shipped(listening=seen))).verdict is UNKNOWN


def store(*, volume: bool, enabled: bool | None) -> StoreTrial:
    asked = ("--jetstream", *(("--store_dir", "/data") if volume else ()))
    return StoreTrial("x", asked, enabled, ("log: y",))


@pytest.mark.parametrize(
    ("default", "volume", "expected"),
    [
        (True, True, PASS),
        (False, True, PASS),
        (True, False, FAIL),
        (True, None, UNKNOWN),
        (False, False, FAIL),
    ],
)
def test_the_volume_decides_about_the_store(
    default: bool, volume: bool | None, expected: Verdict
) -> None:
    stores = (store(volume=False, enabled=default), store(volume=True, enabled=volume))
    assert jetstream.check(facts(stores=stores)).verdict is expected


def test_without_a_folder_for_data_the_default_store_decides() -> None:
    for enabled, expected in ((True, PASS), (False, FAIL), (None, UNKNOWN)):
        stores = (store(volume=False, enabled=enabled),)
        assert jetstream.check(facts(stores=stores)).verdict is expected
    assert jetstream.check(facts()).verdict is UNKNOWN


@pytest.mark.parametrize(
    ("tag", "said", "expected"),
    [
        ("2.15.1", "2.15.1", True),
        ("v2.15.1", "2.15.1", True),
        ("2.15.1-alpine3.22", "2.15.1", True),
        ("2.15.1-dev", "2.15.1", True),
        ("2.15-fips-debian13", "2.15.1", True),
        ("2", "2.15.1", True),
        ("2.1", "2.15.1", False),
        ("2.15.2", "2.15.1", False),
        ("2.15.1", "2.15.10", False),
        ("2.15.1", "2.15.1-RC.1", False),
        ("2.15", "2.15.0-preview.2", False),
        ("2.15.1-RC.1", "2.15.1", False),
        ("2.15.1-RC.1", "2.15.1-RC.2", False),
        ("2.15.1-rc1-alpine", "2.15.1-RC.1", True),
        ("2.16.0-dev", "2.16.0-dev", True),
        ("2.16.0", "2.16.0-dev", False),
        ("latest", "2.15.1", None),
        ("", "2.15.1", None),
        ("alpine3.22", "2.15.1", None),
        ("20260101", "2.15.1", None),
        ("17", "2.15.1", None),
        ("v3", "2.15.1", False),
        ("2.15.1", "unknown", None),
    ],
)
def test_a_tag_names_a_version(tag: str, said: str, expected: bool | None) -> None:
    assert tag_agrees(tag, said) is expected


def test_the_version_check_follows_the_tag() -> None:
    assert version.check(facts()).verdict is PASS
    assert version.check(facts(image={"name": "nats:2.14.0"})).verdict is FAIL
    assert version.check(facts(image={"name": "registry:5000/nats"})).verdict is UNKNOWN
    mute = facts(monitoring=None, shipped=shipped(version=None))
    assert version.check(mute).verdict is UNKNOWN


def test_an_empty_server_id_fails() -> None:
    assert server_id.check(facts()).verdict is PASS
    assert server_id.check(facts(monitoring={"server_id": " "})).verdict is FAIL
    log = ("[1] 2026/11/23 08:21:26.1 [INF]   ID:       NABC",)
    assert server_id.check(facts(monitoring=None, shipped=shipped(log=log))).verdict is PASS
    assert server_id.check(facts(monitoring=None)).verdict is UNKNOWN


def test_lame_duck_mode_needs_a_sign() -> None:
    seen, unseen = LameDuckTrial("SIGUSR2", "told"), LameDuckTrial("SIGUSR2", "", note="ran on")
    assert lame_duck_signal.check(facts(signalled=seen)).verdict is PASS
    assert lame_duck_signal.check(facts(signalled=unseen)).verdict is FAIL
    assert lame_duck_signal.check(facts()).verdict is UNKNOWN


def hook(seen: str = "", code: int | None = 0, output: str = "") -> LameDuckTrial:
    return LameDuckTrial("nats-server -sl", seen, Executed(("nats-server",), code, output))


def test_the_hook_fails_without_path_and_the_full_path_is_advised() -> None:
    gone = hook(code=None, output='exec: "nats-server": executable file not found in $PATH')
    hooks = (gone, gone, replace(hook("told"), asked="/nats-server -sl"))
    found = lame_duck_prestop.check(facts(hooks=hooks))
    assert found.verdict is FAIL
    assert "not in PATH" in found.detail
    assert "write /nats-server -sl" in found.detail


def test_the_hook_fails_when_it_does_nothing() -> None:
    assert lame_duck_prestop.check(facts(hooks=(hook(code=0),))).verdict is FAIL
    assert lame_duck_prestop.check(facts(hooks=(hook(code=1),))).verdict is FAIL
    denied = lame_duck_prestop.check(facts(hooks=(hook(code=None, output="permission denied"),)))
    assert denied.verdict is FAIL
    assert "PATH" not in denied.detail
    assert lame_duck_prestop.check(facts(hooks=(hook("told"),))).verdict is PASS
    nobody = LameDuckTrial("nats-server -sl", "", note="no server")
    assert lame_duck_prestop.check(facts(hooks=(nobody,))).verdict is UNKNOWN
    assert lame_duck_prestop.check(facts()).verdict is UNKNOWN


def test_labels_never_fail() -> None:
    whole = {f"{labels.PREFIX}{key}": "x" for key in labels.WANTED}
    assert labels.check(facts(image={"labels": whole})).verdict is PASS
    assert labels.check(facts()).verdict is UNKNOWN
    assert labels.check(facts(image={"labels": {**whole, **base("24.4")}})).verdict is UNKNOWN
    assert labels.check(facts(image={"labels": {**whole, **base("2.15.1")}})).verdict is PASS


def base(version: str) -> dict[str, str]:
    return {f"{labels.PREFIX}version": version}


def ciphers(*, chacha: bool, aes: bool, said: str = "not in FIPS-140 mode") -> Any:
    return (CipherTrial("chacha", chacha, (said,)), CipherTrial("aes", aes, ("ready",)))


@pytest.mark.parametrize(
    "image", [{"environment": {"GODEBUG": "a=1,fips140=only"}}, {"name": "nats:2.15.1-fips"}]
)
def test_a_claim_of_fips_is_held_against_what_is_refused(image: dict[str, Any]) -> None:
    def verdict(trials: Any) -> Verdict:
        return fips.check(facts(image=image, ciphers=trials)).verdict

    assert verdict(ciphers(chacha=False, aes=True)) is PASS
    assert verdict(ciphers(chacha=True, aes=True)) is FAIL
    assert verdict(ciphers(chacha=True, aes=False)) is FAIL
    assert verdict(ciphers(chacha=False, aes=False)) is UNKNOWN
    assert verdict(ciphers(chacha=False, aes=True, said="no space left")) is UNKNOWN
    assert verdict(()) is UNKNOWN


@pytest.mark.parametrize("setting", ["", "fips140=off", "fips140=on,fips140=off", "http2=1"])
def test_without_a_claim_there_is_nothing_to_hold(setting: str) -> None:
    image = {"environment": {"GODEBUG": setting}}
    assert fips.check(facts(image=image, ciphers=())).verdict is PASS


def test_no_credential_reaches_a_finding() -> None:
    routes = "--routes=nats://ruser:T0pS3cr3t@nats:6222"
    image = {"command": (routes, "--pass", "T0pS3cr3t", "--auth=T0pS3cr3t")}
    running = replace(NONROOT, command=f"/nats-server {routes} --pass T0pS3cr3t")
    whole = facts(image=image, shipped=shipped(processes=(running,), log=(routes,)))
    for check in CHECKS:
        assert "T0pS3cr3t" not in str(check(whole)), check
    assert redacted_words(("--user", "u", "-p", "1")) == ("--user", "***", "-p", "1")
    assert redacted("nats://nats:6222") == "nats://nats:6222"


def test_what_steers_a_terminal_or_breaks_utf8_is_not_shown() -> None:
    name = "/opt/\x1b[31mred\udce9"
    found = shell.check(facts(program(name, Kind.shell)))
    assert found.verdict is FAIL
    assert "\x1b" not in str(found.evidence)
    "".join(found.evidence).encode("utf-8")


def test_a_fact_stays_a_line() -> None:
    long = {f"{labels.PREFIX}title": "x" * 5000}
    assert len(labels.check(facts(image={"labels": long})).evidence[0]) < 400


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__module__.rpartition(".")[2])
def test_every_check_is_explained_in_the_readme(check: Any) -> None:
    readme = Path(__file__).parent.parent.parent / "README.md"
    assert f"| `{check(facts()).name}` |" in readme.read_text(encoding="utf-8")
