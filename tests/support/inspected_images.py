"""Images for the inspector: the shapes of `docker_images`, and each with one thing broken."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import replace

import docker
from docker_images import BUSYBOX, Entry, Shape, build, hardened, pack, relaxed

from harness.cluster.binaries import bundled

VERSION = bundled().version
EXPIRED = b"""\
-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIBATAKBggqhkjOPQQDAjApMScwJQYDVQQDDB5uYXRzLWhh
cm5lc3MgZXhwaXJlZCBhdXRob3JpdHkwHhcNMjAwMTAxMDAwMDAwWhcNMjEwMTAx
MDAwMDAwWjApMScwJQYDVQQDDB5uYXRzLWhhcm5lc3MgZXhwaXJlZCBhdXRob3Jp
dHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT77srbGpxrJBn3IQiVeD/cTBZW
EWPwwOkKqd9MUaynWTcp0ZEPa4ukU+7pXR2zxuY+olQ/7hcM8HhcMaRGsEayozIw
MDAPBgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBSMlvroKATo25dpfL9dfAa41SD4
4TAKBggqhkjOPQQDAgNJADBGAiEA/vcldPTFQ/x+fiDJLq3b8N4O2FtiD4UDoxRF
MlAxiJMCIQCc1WOU6xVm9bKtuyyPWleldbgBd/H7fdWK+Wme1tOchg==
-----END CERTIFICATE-----
"""  # an authority of 2020 alone
NOT_ONE = b"-----BEGIN CERTIFICATE-----\nbm90IGEgcmVhbCBvbmU=\n-----END CERTIFICATE-----\n"
WRAPPER = "/wrapper"


def wrapper() -> bytes:
    """Return a program (x86-64) that runs /nats-server as its child and hands no signal on."""
    path = b"/nats-server\0"
    parent = bytes.fromhex("b83d000000 48c7c7ffffffff 31f6 31d2 4531d2 0f05 b83c000000 31ff 0f05")
    child = bytes.fromhex("488d742408 488b0c24 488d54cc10 b83b000000 0f05 b83c000000 0f05")
    fork = bytes.fromhex("b839000000 0f05 85c0 74") + bytes([len(parent)])
    code = fork + parent + b"\x48\x8d\x3d" + struct.pack("<i", len(child)) + child + path
    base, offset = 0x400000, 64 + 56
    size = offset + len(code)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, base + offset, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


def changed(
    *changes: str, drop: str = "", named: Mapping[str, Entry] | None = None, **files: Entry
) -> Shape:
    """Return the hardened shape with more files and other instructions.

    A file's name has `_` for `/`; in `named` are those whose names cannot be keywords. An
    instruction of the hardened shape that begins with `drop` is left out.
    """
    shape = hardened()
    kept = [one for one in shape.changes if not (drop and one.startswith(drop))]
    added = {name.replace("_", "/"): entry for name, entry in {**files, **(named or {})}.items()}
    return replace(shape, files={**shape.files, **added}, changes=(*kept, *changes))


def development() -> Shape:
    """Return the -dev variant's shape: root, a shell, a package manager, nothing started."""
    shape = hardened()
    apt = Entry(b"#!/bin/bash\necho apt\n", 0o755)
    files = {"bin": Entry(), "bin/bash": Entry(BUSYBOX.read_bytes()), "usr/bin/apt": apt}
    kept = [one for one in shape.changes if not one.startswith(("USER", "ENTRYPOINT"))]
    return Shape({**shape.files, **files}, (*kept, 'CMD ["/bin/bash"]'))


def scripted() -> Shape:
    """Return the shape of images whose entry point is a script, which hands its flags on."""
    script = b'#!/bin/sh\nset -e\nexec /nats-server "$@"\n'
    return changed(
        'ENTRYPOINT ["/entry.sh"]',
        'CMD ["--name", "scripted"]',
        bin_sh=Entry(BUSYBOX.read_bytes()),
        drop="ENTRYPOINT",
        named={"entry.sh": Entry(script)},
    )


def mixed() -> Shape:
    """Return a shape that looks suspicious and is not: nothing in it may alarm."""
    return changed(
        sh=Entry(),
        bash_README=Entry(b"a folder called bash\n", 0o644),
        usr_share_apt=Entry(b"not a program\n", 0o644),
        bin_ash=Entry(link="/gone"),
        bin_busybox=Entry(link="/nats-server"),
        var_lib_dpkg_status=Entry(b"Package: nats\n", 0o644),
        setgid=Entry(mode=0o2755),
    )


# Each breaks one check and no other.
BROKEN: Mapping[str, Shape] = {
    "user": changed(
        "USER admin", etc_passwd=Entry(b"root:x:0:0:::\nadmin:x:0:0:::\n", 0o644), drop="USER"
    ),
    "entry_point": changed('ENTRYPOINT ["/missing"]', drop="ENTRYPOINT"),
    "no_shell": changed(opt_tool=Entry(BUSYBOX.read_bytes())),
    "no_setuid": changed(opt_file=Entry(b"text", 0o4644)),
    "ca_certificates": changed(named={"etc_ssl_certs_ca-certificates.crt": Entry(NOT_ONE, 0o644)}),
    "ports": changed('CMD ["-p", "80"]'),
    "jetstream_store": changed(data=Entry(owner=0)),
    "lame_duck_signal": changed(
        f'ENTRYPOINT ["{WRAPPER}"]', wrapper=Entry(wrapper()), drop="ENTRYPOINT"
    ),
    "lame_duck_prestop": changed('ENV PATH="/bin"', drop="ENV"),
}


def build_foreign(name: str, architecture: str) -> str:
    """Load an empty image for another architecture; return its name."""
    image = f"nats-harness-test/{name}:{VERSION}"
    layer = pack({"nats-server": Entry(b"nothing")})
    digest = hashlib.sha256(layer).hexdigest()
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/nats-server"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image], "Layers": ["layer.tar"]}]
    parts = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for part, data in parts.items():
            info = tarfile.TarInfo(part)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    client = docker.from_env()
    try:
        client.images.load(buffer.getvalue())
    finally:
        client.close()
    return image


def remove(images: Iterable[str]) -> None:
    client = docker.from_env()
    try:
        for image in images:
            client.images.remove(image, force=True)
    finally:
        client.close()


__all__ = [
    "BROKEN",
    "BUSYBOX",
    "Entry",
    "Shape",
    "build",
    "changed",
    "development",
    "hardened",
    "mixed",
    "relaxed",
    "scripted",
]
