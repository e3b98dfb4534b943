"""Images for tests do not pile up on the Engine."""

from __future__ import annotations

from collections.abc import Iterator

import docker
import docker_images
import pytest
from docker.errors import ImageNotFound
from docker_images import Entry, Shape

pytestmark = pytest.mark.docker

NAME = "built-again"


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.api.remove_image(f"{docker_images.REPOSITORY}/{NAME}:x")
    client.close()


def test_an_image_of_the_same_contents_is_built_once(client: docker.DockerClient) -> None:
    shape = Shape({"hello": Entry(b"1")}, ('ENTRYPOINT ["/hello"]',))
    ids = {client.api.inspect_image(docker_images.build(NAME, shape, "x"))["Id"] for _ in range(3)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    "other",
    [
        Shape({"hello": Entry(b"2")}, ('ENTRYPOINT ["/hello"]',)),
        Shape({"hello": Entry(b"1", 0o644)}, ('ENTRYPOINT ["/hello"]',)),
        Shape({"hello": Entry(b"1")}, ('ENTRYPOINT ["/bye"]',)),
    ],
    ids=["contents", "mode", "configuration"],
)
def test_an_image_of_other_contents_replaces_the_one_before(
    client: docker.DockerClient, other: Shape
) -> None:
    first = Shape({"hello": Entry(b"1")}, ('ENTRYPOINT ["/hello"]',))
    before = client.api.inspect_image(docker_images.build(NAME, first, "x"))["Id"]
    assert client.api.inspect_image(docker_images.build(NAME, other, "x"))["Id"] != before
    with pytest.raises(ImageNotFound):
        client.api.inspect_image(before)
