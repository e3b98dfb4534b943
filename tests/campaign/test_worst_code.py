from __future__ import annotations

import pytest

from harness.session import worst_exit_code


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([0, 0], 0),
        ([0, 3], 3),
        ([3, 1, 0], 1),
        ([0, 137], 3),
        ([0, -9], 3),
        ([-9], 3),
        ([127, 1], 1),
        ([0, 4], 4),
        ([2, 0], 2),
        ([130, 1], 130),
        ([], 3),
    ],
)
def test_a_run_that_was_killed_or_never_was_is_no_pass(codes: list[int], worst: int) -> None:
    assert worst_exit_code(codes) == worst
