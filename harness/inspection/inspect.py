"""Inspect an image from start to end: read its files, try its server, judge what was seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.engine.connection import Engine
from harness.engine.images import Image, find_image
from harness.errors import EngineError
from harness.inspection.checks import CHECKS
from harness.inspection.claims import fips_claims, store_folders
from harness.inspection.containers import Bench, Launch, bench, last_lines
from harness.inspection.content import Kind
from harness.inspection.facts import CipherTrial, Facts, LameDuckTrial, Shipped
from harness.inspection.filesystem import FileSystem, FileType
from harness.inspection.model import Inspection, redacted
from harness.inspection.trials import PID_FILE, try_cipher, try_hook, try_shipped, try_store

PROGRAM = "nats-server"
Tell = Callable[[str], None]


def inspect_image(engine: Engine, name: str, tell: Tell) -> Inspection:
    """Inspect the image called `name`; `tell` hears what is being done.

    Raises:
        EngineError: there is no such image, it is no NATS server's, or its server does not
            start; the message carries the log.
    """
    image = find_image(engine, name)
    with bench(engine, image) as made:
        facts = gather(made, tell)
    return Inspection(image, tuple(check(facts) for check in CHECKS))


def gather(made: Bench, tell: Tell) -> Facts:
    """Return all that is observed of the bench's image."""
    image = made.image
    tell(f"{image.name}: reading its files")
    files = made.read_files()
    servers = sorted(one.path for one in files if Kind.server in one.kinds)
    tell(f"{image.name}: starting it as shipped")
    launch = Launch(image.entrypoint, image.command)
    shipped, signalled = _come_up(made, files, servers, launch)
    if not shipped.started:
        launch = Launch((servers[0],), ())
        seen, signalled = try_shipped(made, launch)
        if not seen.started:
            raise EngineError(_no_server(image, seen))
        shipped = _beside(shipped, seen)
    tell(f"{image.name}: trying JetStream, lame duck mode and what else it promises")
    stores, monitoring = [], None
    for volume in (None, *store_folders(image, data_folder=_has_data(files))):
        trial, varz = try_store(made, launch, volume)
        stores.append(trial)
        monitoring = monitoring or varz
    return Facts(
        image=image,
        files=files,
        shipped=shipped,
        monitoring=monitoring,
        stores=tuple(stores),
        signalled=signalled,
        hooks=tuple(_try_hooks(made, launch, servers)),
        ciphers=tuple(_try_ciphers(made, launch)),
    )


def _come_up(
    made: Bench, files: FileSystem, servers: list[str], launch: Launch
) -> tuple[Shipped, LameDuckTrial | None]:
    """Start the image as it is; where that cannot be a server, say so rather than go on."""
    image = made.image
    if not (image.entrypoint or image.command):
        shipped, signalled = Shipped(started=False, why_not="it has nothing to start"), None
    else:
        shipped, signalled = try_shipped(made, launch)
    if shipped.started:
        return shipped, signalled
    if not servers:
        raise EngineError(
            f"image {image.name} is not NATS: there is no nats-server in it, and as shipped "
            f"{redacted(shipped.why_not)}{_quoted(shipped)}"
        )
    words = (*image.entrypoint, *image.command)
    path = image.environment.get("PATH")
    entry = files.find_program(words[0], path, image.working_directory) if words else None
    if entry is not None and Kind.server in entry.kinds:
        raise EngineError(_no_server(image, shipped))
    return shipped, signalled


def _beside(shipped: Shipped, seen: Shipped) -> Shipped:
    """Return what was seen of a server that the image does not start by itself."""
    return Shipped(
        started=False,
        why_not=shipped.why_not,
        log=seen.log,
        processes=seen.processes,
        listening=seen.listening,
        version=seen.version,
    )


def _has_data(files: FileSystem) -> bool:
    found = files.resolve("/data")
    return found is not None and found.type is FileType.folder


def _try_hooks(made: Bench, launch: Launch, servers: list[str]) -> Iterator[LameDuckTrial]:
    """Yield the hook's command as charts have it, then by process id and by full path."""
    yield try_hook(made, launch, PROGRAM, PID_FILE)
    yield try_hook(made, launch, PROGRAM, "1")
    for path in servers[:1]:
        yield try_hook(made, launch, path, PID_FILE)


def _try_ciphers(made: Bench, launch: Launch) -> Iterator[CipherTrial]:
    if fips_claims(made.image):
        yield try_cipher(made, launch, "chacha")
        yield try_cipher(made, launch, "aes")


def _no_server(image: Image, shipped: Shipped) -> str:
    return f"image {image.name} cannot be inspected: {redacted(shipped.why_not)}{_quoted(shipped)}"


def _quoted(shipped: Shipped) -> str:
    lines = [redacted(line) for line in last_lines(shipped.log, 8)]
    return "".join(f"\n    {line}" for line in lines) if lines else "; its log is empty"
