"""What the containers of a cluster are made from; no Engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.backends.docker.network import endpoints_at
from harness.backends.docker.services import services
from harness.cluster.config import render
from harness.errors import UsageError
from harness.scenario.model import ClusterSpec


def test_joined_clusters_in_containers_are_given_each_others_ports() -> None:
    for spec in (
        ClusterSpec.model_validate({"clusters": {"east": {"servers": 1}, "west": {"servers": 1}}}),
        ClusterSpec.model_validate({"servers": 1, "leafnodes": [{"name": "shop"}]}),
    ):
        endpoints = endpoints_at({"n1": "198.18.0.1", "n2": "198.18.0.2"})
        texts = [render(spec, node, endpoints, Path("/data")).text for node in spec.nodes]
        assert not any("None" in text for text in texts)
        port = ":7222" if spec.clusters else ":7422"
        assert all(port in text for text in texts)


def test_a_command_line_that_is_none_is_a_usage_error() -> None:
    spec = ClusterSpec.model_validate({"servers": 1, "container": {"arguments": "--name 'x"}})
    with pytest.raises(UsageError, match=r"^cluster\.container\.arguments: No closing quotation$"):
        services(spec, {}, endpoints_at({"n1": "198.18.0.1"}), {}, here=True)


def test_a_read_only_container_needs_a_command_line_of_its_own() -> None:
    spec = ClusterSpec.model_validate({"servers": 1, "container": {"read_only": True}})
    with pytest.raises(UsageError, match=r"^cluster\.container\.read_only: the harness's config"):
        services(spec, {}, endpoints_at({"n1": "198.18.0.1"}), {}, here=True)
