"""Arrays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.launch.sweeps.job_arrays import array_sizes


@pytest.mark.parametrize(
    ("n", "size", "limit", "first", "expected"),
    [
        (1000, 1001, None, 1, [(1, 999)]),
        (2500, 1001, None, 0, [(0, 1001), (1001, 1001), (2002, 498)]),
        (10, 1001, 4, 1, [(1, 4)]),
        (10, 3, 4, 0, [(0, 3), (3, 1)]),
        (1, 1001, None, 1, []),
    ],
)
def test_arrays_within_the_sites_limits(n: int, size: int, limit: int | None, first: int, expected: list[tuple[int, int]]) -> None:
    assert array_sizes(n, size, limit, first=first) == expected


@given(st.integers(0, 3000), st.integers(1, 1500), st.none() | st.integers(0, 3000), st.integers(0, 1))
def test_every_task_that_fits_is_in_one_array(n: int, size: int, limit: int | None, first: int) -> None:
    found = array_sizes(n, size, limit, first=first)
    tasks = [task for start, count in found for task in range(start, start + count)]
    assert tasks == list(range(first, first + len(tasks)))
    assert all(0 < count <= size for _, count in found)
    assert len(tasks) == max(0, n - first if limit is None else min(n - first, limit))
