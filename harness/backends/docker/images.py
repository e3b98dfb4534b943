"""Ask images what they are, before a cluster is made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from requests.exceptions import RequestException

from harness.backends.docker.container import ContainerSpec, make_container
from harness.backends.docker.services import Question, version_questions
from harness.engine.connection import Engine, translated
from harness.engine.images import Image, find_image
from harness.errors import EngineError, UsageError
from harness.scenario.model import ClusterSpec

ANSWER_LIMIT_S = 15
LOG_LINES = 10
_BANNER = re.compile(r"^nats-server: v(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """An image, and the version that the server in it says it is."""

    image: Image
    version: str


def examine_images(engine: Engine, spec: ClusterSpec, run: str) -> Mapping[str, Server]:
    """Return the server in each node's image; each image is asked once. Blocks.

    Raises:
        EngineError: an image is missing, for another machine, cannot be started or is no
            nats-server; with what it said.
        UsageError: there is no image of what was asked for, or it has another version.
    """
    questions = version_questions(spec)
    found = {one: _ask(engine, one, run) for one in dict.fromkeys(questions.values())}
    servers = {node: found[one] for node, one in questions.items()}
    for node in filter(spec.image_of, servers) if spec.compose is None else ():
        # without an image, the version is what the image is named by
        server, asked = servers[node], spec.version_of(node)
        if asked not in ("bundled", server.version, f"v{server.version}"):
            raise UsageError(
                f"{node}: image {server.image.name} has the server {server.version}, and {asked} "
                "was asked for; give the image or the version"
            )
    return servers


def _ask(engine: Engine, question: Question, run: str) -> Server:
    """Run ``--version`` in a container of the image, as `docker run IMAGE --version` does."""
    image = find_image(engine, question.image)
    spec = ContainerSpec(
        "version", image, question.arguments, None, (), {}, entrypoint=question.entrypoint
    )
    name = f"nats-harness-ask-{run}-{image.id.rpartition(':')[2][:12]}"
    container = make_container(engine, spec, None, run, name)
    api = engine.api
    try:
        with translated(f"image {image.name} cannot be started"):
            api.start(container.id)
        try:
            code = int(api.wait(container.id, timeout=ANSWER_LIMIT_S)["StatusCode"])
        except RequestException as error:
            raise EngineError(
                f"image {image.name} is not a nats-server: --version gave no answer in "
                f"{ANSWER_LIMIT_S} s{_said(engine, container.id)}"
            ) from error
        output = _log(engine, container.id)
    finally:
        with translated(f"container {name} cannot be removed"):
            api.remove_container(container.id, force=True, v=True)
    match = _BANNER.search(output)
    if match is None:
        tail = "\n  ".join(output.splitlines()[-LOG_LINES:]) or "(nothing)"
        raise EngineError(
            f"image {image.name} is not a nats-server: with --version it ended with status {code} "
            f"and said:\n  {tail}"
        )
    return Server(image, match[1])


def _log(engine: Engine, container: str) -> str:
    with translated("a container's log cannot be read"):
        return bytes(engine.api.logs(container)).decode(errors="replace")


def _said(engine: Engine, container: str) -> str:
    said = _log(engine, container).splitlines()[-LOG_LINES:]
    return "; it said:\n  " + "\n  ".join(said) if said else ""
