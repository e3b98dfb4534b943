"""Images of the shapes that people deploy, built without pulling anything.

Each is a tar file imported from nothing: the server from the installed wheel and what the
shape needs. Names are `nats-harness-test/<shape>:<tag>`. An image that is there with the same
contents is taken as it is, and one that a new one takes the name from is removed, so that
however often tests run there is one image for each name.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import shutil
import struct
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from harness.cluster.binaries import bundled

REPOSITORY = "nats-harness-test"
DIGEST = f"{REPOSITORY}.digest"  # the label that says what an image was made of
NONROOT = 65532
PEM = b"""\
-----BEGIN CERTIFICATE-----
MIIBozCCAUmgAwIBAgIUUn0r6bDc2vA1xxG3AOGWJ4g/hd4wCgYIKoZIzj0EAwIw
JjEkMCIGA1UEAwwbbmF0cy1oYXJuZXNzIHRlc3QgYXV0aG9yaXR5MCAXDTI2MTEy
MzA4MzU1NloYDzIxMjYxMDMwMDgzNTU2WjAmMSQwIgYDVQQDDBtuYXRzLWhhcm5l
c3MgdGVzdCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAT77srb
GpxrJBn3IQiVeD/cTBZWEWPwwOkKqd9MUaynWTcp0ZEPa4ukU+7pXR2zxuY+olQ/
7hcM8HhcMaRGsEayo1MwUTAdBgNVHQ4EFgQUjJb66CgE6NuXaXy/XXwGuNUg+OEw
HwYDVR0jBBgwFoAUjJb66CgE6NuXaXy/XXwGuNUg+OEwDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAgNIADBFAiBgEvzKvLYqKNf3DmKIWMBnK0xuf73nCcjJpOdc
OFPZHQIhAJ9dufh8Fjd58UpS3pLBjR1f87rwHCUdCwzgjke7XTP8
-----END CERTIFICATE-----
"""  # an authority whose key nobody has; valid for a hundred years
BUSYBOX = Path("/bin/busybox")


def _says_hello() -> bytes:
    """Return the smallest static x86-64 program that says hello and ends with status 3."""
    base, start = 0x400000, 0x78
    code = (
        b"\xb8\x01\0\0\0\xbf\x01\0\0\0\x48\x8d\x35\x13\0\0\0\xba\x06\0\0\0\x0f\x05"
        b"\xb8\x3c\0\0\0\xbf\x03\0\0\0\x0f\x05hello\n"
    )
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(2, 0x3E, 1, base + start, 64, 0, 0, 64, 56, 1, 64, 0, 0),
    )
    size = start + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + code


SAYS_HELLO = _says_hello()


@dataclass(frozen=True)
class Entry:
    """A file, folder (`data` is None) or link of an image."""

    data: bytes | None = None
    mode: int = 0o755
    owner: int = 0
    link: str | None = None


@dataclass(frozen=True)
class Shape:
    """The files of an image by path, and its configuration as Dockerfile instructions."""

    files: Mapping[str, Entry]
    changes: tuple[str, ...]


def server() -> Entry:
    return Entry(bundled().path.read_bytes())


def hardened_files(user: int = NONROOT) -> dict[str, Entry]:
    return {
        "nats-server": server(),
        "etc": Entry(),
        "etc/passwd": Entry(b"nonroot:x:65532:65532::/home/nonroot:/sbin/nologin\n", 0o644),
        "etc/ssl/certs/ca-certificates.crt": Entry(PEM, 0o644),
        "data": Entry(owner=user),
        "tmp": Entry(mode=0o1777),
    }


HARDENED_CHANGES = (
    f"USER {NONROOT}",
    'ENTRYPOINT ["/nats-server"]',
    "EXPOSE 4222/tcp 6222/tcp 8222/tcp",
    "WORKDIR /data",
    'ENV PATH="/"',
    'LABEL org.opencontainers.image.title="nats"',
    f'LABEL org.opencontainers.image.version="{bundled().version}"',
    'LABEL org.opencontainers.image.revision="0123456789abcdef"',
    'LABEL org.opencontainers.image.source="https://example.org/nats"',
)


def hardened() -> Shape:
    """Return the runtime shape of a hardened image: static, nonroot, without a shell."""
    return Shape(hardened_files(), HARDENED_CHANGES)


def relaxed() -> Shape:
    """Return a deliberately non-hardened shape: root, busybox with a shell, a setuid file."""
    files = hardened_files(0)
    files |= {
        "bin": Entry(),
        "bin/busybox": Entry(BUSYBOX.read_bytes()),
        "bin/sh": Entry(link="busybox"),
        "bin/su": Entry(b"\x7fELF", 0o4755),
        "usr/local/bin/nats-server": files.pop("nats-server"),
        "nats-server.conf": Entry(b"http: 8222\ncluster { port: 6222 }\n", 0o644),
    }
    return Shape(
        files,
        (
            'ENTRYPOINT ["/usr/local/bin/nats-server"]',
            'CMD ["-c", "/nats-server.conf"]',
            "EXPOSE 4222/tcp 6222/tcp 8222/tcp",
            'ENV PATH="/usr/local/bin:/bin"',
        ),
    )


def build(name: str, shape: Shape, tag: str | None = None) -> str:
    """Import a shape unless it is there; return the image's name."""
    image = f"{REPOSITORY}/{name}:{tag or bundled().version}"
    content = pack(shape.files)
    digest = hashlib.sha256(content + "\n".join(shape.changes).encode()).hexdigest()
    client = docker.from_env()
    try:
        with _alone():
            before = _inspect(client, image)
            labels = (before.get("Config") or {}).get("Labels") or {}
            if labels.get(DIGEST) == digest:
                return image
            client.api.import_image_from_data(
                content,
                repository=image.rpartition(":")[0],
                tag=image.rpartition(":")[2],
                changes=[*shape.changes, f"LABEL {DIGEST}={digest}"],
            )
            if before:
                with suppress(APIError):  # a container, or another name, may still want it
                    client.api.remove_image(before["Id"])
    finally:
        client.close()
    return image


def _inspect(client: docker.DockerClient, image: str) -> dict[str, Any]:
    """Return what the Engine knows of an image; nothing where there is none."""
    try:
        found: dict[str, Any] = client.api.inspect_image(image)  # type: ignore[no-untyped-call]  # the stubs leave it open
    except ImageNotFound:
        return {}
    return found


@contextmanager
def _alone() -> Iterator[None]:
    """Hold others off who build images on this machine: two at once would leave one nameless."""
    with (Path(tempfile.gettempdir()) / f"{REPOSITORY}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def pack(files: Mapping[str, Entry]) -> bytes:
    """Return the files as a tar file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, entry in files.items():
            info = tarfile.TarInfo(path)
            info.mode, info.uid, info.gid = entry.mode, entry.owner, entry.owner
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
                archive.addfile(info)
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
                archive.addfile(info)
            else:
                info.size = len(entry.data)
                archive.addfile(info, io.BytesIO(entry.data))
    return buffer.getvalue()


def busybox_available() -> bool:
    return BUSYBOX.exists() or shutil.which("busybox") is not None
