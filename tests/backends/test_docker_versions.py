"""Which version the servers in images must have."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from harness.backends.docker import images
from harness.backends.docker.images import Server, examine_images
from harness.backends.docker.services import Question
from harness.errors import UsageError
from harness.scenario.model import ClusterSpec


@pytest.fixture(autouse=True)
def an_image_of_2_12_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(engine: object, question: Question, run: str) -> Server:
        image: Any = SimpleNamespace(name=question.image)
        return Server(image, "2.12.1")

    monkeypatch.setattr(images, "_ask", answer)


def examined(**spec: Any) -> set[str]:
    engine: Any = None  # it is not asked
    found = examine_images(engine, ClusterSpec.model_validate(spec), "r")
    return {one.version for one in found.values()}


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "registry/nats:mine"},
        {"image": "registry/nats:mine", "version": "2.12.1"},
        {"version": "v2.12.1"},
        {"version": "2.12"},
        {"image": "registry/nats:mine", "version": {"n2": "2.12.1"}},
    ],
)
def test_a_server_of_the_version_that_was_asked_for_will_do(spec: dict[str, Any]) -> None:
    assert examined(**spec) == {"2.12.1"}


@pytest.mark.parametrize("version", ["2.12.2", {"n3": "2.12.2"}, "/opt/nats-server"])
def test_another_version_than_the_one_asked_for_is_refused(version: Any) -> None:
    with pytest.raises(UsageError, match=r"^n[13]: image registry/nats:mine has the server 2.12.1"):
        examined(image="registry/nats:mine", version=version)
