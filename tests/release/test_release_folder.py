from __future__ import annotations

import pytest

from harness.release.check import name_folder


@pytest.mark.parametrize(
    ("candidate", "folder"),
    [
        ("2.15.1", "release-2.15.1-against-2.14.6"),
        ("/opt/nats/nats-server", "release-_opt_nats_nats-server-against-2.14.6"),
        ("../nats-server", "release-.._nats-server-against-2.14.6"),
    ],
)
def test_a_check_has_one_folder_also_where_a_release_is_a_path(candidate: str, folder: str) -> None:
    assert name_folder(candidate, "2.14.6") == folder
