"""Start an image's server and try what it promises; each trial in a container of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import EngineError
from harness.inspection.containers import (
    CLIENT_PORT,
    MONITOR_PORT,
    Bench,
    Container,
    Launch,
    exposed_ports,
    last_lines,
)
from harness.inspection.facts import CipherTrial, LameDuckTrial, Shipped, StoreTrial
from harness.inspection.processes import read_listeners, read_processes
from harness.inspection.server import greeted, is_greeting, is_lame, is_ready, logged, monitored

READY_LIMIT_S = 30.0
LAME_LIMIT_S = 15.0
PID_FOLDER = "/var/run/nats"
PID_FILE = f"{PID_FOLDER}/nats.pid"  # as the Helm chart of NATS has it
_CONFIG = "nats-harness-inspect.conf"
_MONITORED = ("--http_port", str(MONITOR_PORT))
_CIPHER_CONFIG = """
port: 4222
jetstream {{ store_dir: "/tmp/nats-harness-inspect", cipher: {cipher}, key: "{key}" }}
"""
_THROWAWAY_KEY = "inspection-only-" * 2


def client_ports(bench: Bench) -> tuple[int, ...]:
    """Return the ports on which clients may be greeted, the likeliest first."""
    return tuple(dict.fromkeys((CLIENT_PORT, *exposed_ports(bench.image))))


def wait_ready(container: Container, ports: tuple[int, ...]) -> bool:
    """Wait until the server greets clients or its log says ready; tell whether it runs then."""

    def ready() -> bool:
        return is_ready(container.log()) or is_greeting(container, ports)

    came = container.until(ready, READY_LIMIT_S)
    return came and bool(container.state()["Running"])


def try_shipped(bench: Bench, launch: Launch) -> tuple[Shipped, LameDuckTrial | None]:
    """Start the image as it is; look at what runs, then send it SIGUSR2.

    Without a server within the limit nothing else is looked at.
    """
    ports = client_ports(bench)
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(bench.running(launch))
        except EngineError as error:
            return Shipped(started=False, why_not=str(error)), None
        if not wait_ready(container, ports):
            return _not_started(container), None
        processes = read_processes(container)
        log = container.log()
        with greeted(container, ports) as client:
            version = str(client.info.get("version") or "") if client else ""
        shipped = Shipped(
            log=log,
            processes=processes,
            listening=read_listeners(processes),
            version=version or logged(log).get("Version"),
        )
        return shipped, _try_signal(container, ports)


def try_store(
    bench: Bench, launch: Launch, volume: str | None
) -> tuple[StoreTrial, Mapping[str, Any] | None]:
    """Start the server with JetStream; return how that went and its ``/varz``."""
    asked: tuple[str, ...] = ("--jetstream",)
    where = "the default store"
    if volume is not None:
        asked = (*asked, "--store_dir", volume)
        where = f"a fresh volume on {volume}"
    with bench.running(launch.replaced(*asked, *_MONITORED), volume=volume) as container:
        ready = wait_ready(container, client_ports(bench))
        log = container.log()
        if not ready:
            enabled = None if container.state()["Running"] else False  # slow is not refused
            return StoreTrial(where, asked, enabled, _ending(container, log)), None
        varz = monitored(container, MONITOR_PORT, "/varz")
        jsz = monitored(container, MONITOR_PORT, "/jsz")
    enabled, said = _store_of(jsz, log)
    return StoreTrial(where, asked, enabled, said), varz


def try_hook(bench: Bench, launch: Launch, program: str, argument: str) -> LameDuckTrial:
    """Start the server with a pid file and ask it to go lame as a preStop hook does."""
    asked = f"{program} -sl=ldm={argument}"
    flags = ("--pid", PID_FILE)
    with bench.running(launch.replaced(*flags), scratch=PID_FOLDER) as container:
        ports = client_ports(bench)
        if not wait_ready(container, ports):
            return LameDuckTrial(asked, "", note=f"no server with {' '.join(flags)}")
        with greeted(container, ports) as client:
            executed = container.execute(program, f"-sl=ldm={argument}")
            limit_s = LAME_LIMIT_S if executed.code == 0 else 0.5
            seen = _lameness(container, client.lame_duck if client else lambda: False, limit_s)
        return LameDuckTrial(asked, seen, executed, "" if seen else _state_of(container))


def try_cipher(bench: Bench, launch: Launch, cipher: str) -> CipherTrial:
    """Start the server with encrypted streams."""
    config = _CIPHER_CONFIG.format(cipher=cipher, key=_THROWAWAY_KEY).encode()
    started = launch.replaced("-c", f"/{_CONFIG}")
    with bench.running(started, files={_CONFIG: config}, scratch="/tmp") as container:  # noqa: S108  # in the container
        ready = wait_ready(container, client_ports(bench))
        log = container.log()
        said = last_lines(log) if ready else _ending(container, log)
        return CipherTrial(cipher, ready, said)


def _try_signal(container: Container, ports: tuple[int, ...]) -> LameDuckTrial:
    with greeted(container, ports) as client:
        container.signal("SIGUSR2")
        hears = client.lame_duck if client else lambda: False
        seen = _lameness(container, hears, LAME_LIMIT_S)
    return LameDuckTrial("SIGUSR2", seen, note="" if seen else _state_of(container))


def _lameness(container: Container, heard: Callable[[], bool], limit_s: float) -> str:
    """Wait for a sign that the server goes lame; return it, or nothing."""
    signs: list[str] = []

    def sign() -> bool:
        if heard():
            signs.append("a client was told (INFO with ldm)")
        elif is_lame(container.log()):
            signs.append("its log says: Entering lame duck mode")
        return bool(signs)

    container.until(sign, limit_s)
    return signs[0] if signs else ""


def _state_of(container: Container) -> str:
    state = container.state()
    if state["Running"]:
        return "it ran on as if nothing had been asked"
    return f"it ended with code {state['ExitCode']} and without a sign of it"


def _store_of(
    jsz: Mapping[str, Any] | None, log: tuple[str, ...]
) -> tuple[bool | None, tuple[str, ...]]:
    config = (jsz or {}).get("config") or {}
    if config.get("store_dir") and not (jsz or {}).get("disabled"):
        return True, (f"/jsz: store_dir {config['store_dir']}",)
    if jsz is not None:
        return None, ("/jsz: JetStream is disabled, although it was asked for",)
    folder = logged(log).get("Store Directory")
    if folder is not None:
        return True, (f"log: Store Directory {folder}, Server is ready",)
    return None, ("neither monitoring nor the log says whether JetStream is on",)


def _not_started(container: Container) -> Shipped:
    log = container.log()
    state = container.state()
    if state["Running"]:
        why = f"it runs, but no NATS server was seen within {READY_LIMIT_S:g} s"
    else:
        why = f"it exited at once with code {state['ExitCode']}"
        if state.get("OOMKilled"):
            why += ", out of memory"
    return Shipped(started=False, why_not=why, log=log)


def _ending(container: Container, log: tuple[str, ...]) -> tuple[str, ...]:
    state = container.state()
    how = "runs on, not ready" if state["Running"] else f"exited with code {state['ExitCode']}"
    return (how, *last_lines(log))
