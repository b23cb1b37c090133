"""Tasks and arrays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.launch.sweeps.plan import arrays, plan


def seals(number: int) -> list[str]:
    return [f"{one:012x}/seals/00000000.json" for one in range(number)]


def test_a_task_is_a_trial_and_of_a_rehearsal_many() -> None:
    assert [len(task) for task in plan(seals(3), engine="sft")] == [1, 1, 1]
    assert [len(task) for task in plan(seals(250), engine="noop")] == [100, 100, 50]
    assert [len(task) for task in plan(seals(5), engine="noop", trials_per_task=2)] == [2, 2, 1]


def test_seals_of_one_trial_stay_in_one_task() -> None:
    two = ["aaaaaaaaaaaa/seals/1.json", "bbbbbbbbbbbb/seals/1.json", "aaaaaaaaaaaa/seals/2.json"]
    assert plan(two, engine="sft") == (("aaaaaaaaaaaa/seals/1.json", "aaaaaaaaaaaa/seals/2.json"), ("bbbbbbbbbbbb/seals/1.json",))


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
    assert arrays(n, size, limit, first=first) == expected


@given(st.integers(0, 3000), st.integers(1, 1500), st.none() | st.integers(0, 3000), st.integers(0, 1))
def test_every_task_that_fits_is_in_one_array(n: int, size: int, limit: int | None, first: int) -> None:
    found = arrays(n, size, limit, first=first)
    tasks = [task for start, count in found for task in range(start, start + count)]
    assert tasks == list(range(first, first + len(tasks)))
    assert all(0 < count <= size for _, count in found)
    assert len(tasks) == max(0, n - first if limit is None else min(n - first, limit))
