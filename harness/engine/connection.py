"""Reach the Docker Engine, and say in one line why it cannot be reached.

Every call of the SDK blocks: code that runs in an event loop calls it in a thread.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, gethostbyname, socket
from typing import Any
from urllib.parse import urlsplit

import docker
from docker.errors import APIError, DockerException, TLSParameterError
from requests.exceptions import RequestException

from harness.errors import EngineError, HarnessError

CALL_LIMIT_S = 30.0
OLDEST_API = (1, 40)  # Engine 19.03
FIRST_API = "1.40"  # only to ask, on the path without a version, which one to speak
START_FIX = "start it (sudo systemctl start docker), or set DOCKER_HOST"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le"}


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answers.

    Attributes:
        client: the SDK's client; each of its calls blocks.
        version: of the Engine.
        architecture: of its machine, as images name it: amd64, arm64, ...
        address: where it was reached.
        here: whether it is this machine's own, so that its containers' processes and
            networks are this kernel's.
        reach: why their networks cannot be reached into; None when they can.
        rootless: whether it runs without root, its networks in a namespace of their own.
    """

    client: docker.DockerClient
    version: str
    architecture: str
    address: str
    here: bool
    reach: str | None
    rootless: bool = False

    @property
    def direct(self) -> bool:
        """Tell whether its containers' addresses can be reached from this process."""
        return self.here and not self.rootless

    @property
    def host(self) -> str:
        """Return the address of its machine, where ports of containers are published."""
        if self.address.startswith(("unix://", "http+unix://")):
            return "127.0.0.1"
        name = urlsplit(self.address).hostname or "127.0.0.1"
        try:
            return gethostbyname(name)
        except OSError as error:
            raise EngineError(f"{name}, the Engine's machine, has no address: {error}") from error

    @property
    def api(self) -> docker.APIClient:
        """Return the SDK's low-level client."""
        api: docker.APIClient = self.client.api
        return api


@contextmanager
def engine(limit_s: float = CALL_LIMIT_S) -> Iterator[Engine]:
    """Connect as the docker command would (DOCKER_HOST and its kin); let go on leaving.

    Args:
        limit_s: how long a call may take.

    Raises:
        EngineError: there is none, it does not answer, or does not let this user in.
    """
    address = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    _knock(address, limit_s)
    with _client(address, FIRST_API, limit_s) as first:
        spoken = _ask(address, lambda: first.api.version(api_version=False))
    api = str(spoken.get("ApiVersion", "0.0"))
    if tuple(int(part) for part in api.split(".")) < OLDEST_API:
        oldest = ".".join(map(str, OLDEST_API))
        raise EngineError(
            f"the Docker Engine at {address} speaks API {api}; expected {oldest} or later"
        )
    with _client(address, api, limit_s) as client:
        info: dict[str, Any] = _ask(address, client.info)
        yield _describe(client, address, str(spoken.get("Version", "unknown")), info)


@contextmanager
def translated(what: str, error: type[HarnessError] = EngineError) -> Iterator[None]:
    """Turn the SDK's errors in the body into one of ours that begins with `what`."""
    try:
        yield
    except (DockerException, RequestException, OSError) as raised:
        raise error(f"{what}: {explain(raised)}") from raised


def explain(error: BaseException) -> str:
    """Return what an error of the SDK says, in one line."""
    said = error.explanation if isinstance(error, APIError) and error.explanation else str(error)
    return " ".join(str(said).split()) or type(error).__name__


def _knock(address: str, limit_s: float) -> None:
    """Raise EngineError where nobody answers at a socket: the SDK leaks one that is refused."""
    if not address.startswith("unix://"):
        return
    with socket(AF_UNIX, SOCK_STREAM) as one:
        one.settimeout(limit_s)
        try:
            one.connect(address.removeprefix("unix://"))
        except OSError as error:
            raise EngineError(_why_not(address, error)) from error


@contextmanager
def _client(address: str, api: str, limit_s: float) -> Iterator[docker.DockerClient]:
    """Make a client that speaks `api`; left to find that out, it leaks when nobody answers."""
    try:
        client = docker.from_env(timeout=max(1, round(limit_s)), version=api)
    except (DockerException, TLSParameterError, RequestException, ValueError, OSError) as error:
        raise EngineError(_why_not(address, error)) from error
    try:
        yield client
    finally:
        client.close()


def _ask(address: str, question: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return question()
    except (DockerException, RequestException, OSError, ValueError) as error:
        if isinstance(error, APIError) and error.response is not None:
            error.response.close()  # else its connection outlives the client
        raise EngineError(_why_not(address, error)) from error


def _describe(
    client: docker.DockerClient, address: str, version: str, info: dict[str, Any]
) -> Engine:
    if info.get("OSType", "linux") != "linux":
        raise EngineError(f"the Docker Engine at {address} runs {info['OSType']} containers")
    here = _is_here(info, address)
    machine = str(info.get("Architecture", ""))
    return Engine(
        client=client,
        version=version,
        architecture=_MACHINES.get(machine, machine),
        address=address,
        here=here,
        reach=_obstacle(info, here=here),
        rootless=_is_rootless(info),
    )


def _is_here(info: dict[str, Any], address: str) -> bool:
    """Tell whether the Engine and this process share a kernel."""
    own = platform.uname()
    same = (info.get("Name"), info.get("KernelVersion")) == (own.node, own.release)
    return same and address.startswith(("unix://", "http+unix://"))


def _obstacle(info: dict[str, Any], *, here: bool) -> str | None:
    if not here:
        return "the Engine is not this machine's own"
    if _is_rootless(info):
        return "the Engine runs rootless, in namespaces of its own"
    if os.geteuid() != 0:
        return "reaching into the containers' networks takes root"
    return None


def _is_rootless(info: dict[str, Any]) -> bool:
    return any("rootless" in str(option) for option in info.get("SecurityOptions") or [])


def _why_not(address: str, error: BaseException) -> str:
    """Return the reason in the user's terms: not there, no permission, or its own words."""
    reasons = [error, *_causes(error)]
    if any(isinstance(one, PermissionError) for one in reasons) or "Permission" in str(error):
        return (
            f"the Docker Engine at {address} does not let this user in; "
            "add the user to the group docker, or use sudo"
        )
    path = Path(address.removeprefix("unix://"))
    if address.startswith("unix://") and not path.exists():
        return f"there is no Docker Engine at {address}; {START_FIX}"
    if any(isinstance(one, ConnectionError | FileNotFoundError) for one in reasons):
        return f"no Docker Engine answers at {address}; {START_FIX}"
    return f"no Docker Engine can be used at {address} ({explain(error)}); {START_FIX}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to an error, through the layers of the SDK, which keep it in `args`."""
    todo: list[object] = [error.__cause__, error.__context__, *error.args]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__, *one.args]
