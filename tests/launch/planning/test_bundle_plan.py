"""The plan of a sweep: which trials share a task, how many ride at once, in which order."""

import itertools
import math
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.launch.planning.bundle_plan import Task, Terms, TrialCost, plan, plan_summary

GRID = [(r, rate, seed) for r in (8, 16, 32, 64) for rate in (1e-4, 2e-4) for seed in range(3)]
FULL = "method=full changes the base model"


def cost(number: int, **known: object) -> TrialCost:
    return TrialCost(**{"seals": (f"{number:012x}/seals/00000000.json",), "base": "m", "work": 100.0, **known})  # type: ignore[arg-type]


def numbers(task: Task) -> list[int]:
    return [int(one.trial_id, 16) for one in task.trials]


def shapes(tasks: tuple[Task, ...]) -> list[tuple[int, int]]:
    return [(len(task.trials), task.at_once) for task in tasks]


def largest(task: Task) -> int:
    # What trains nothing takes no place.
    return sum(sorted((one.state_bytes for one in task.trials if one.work), reverse=True)[: task.at_once])


# What a sweep may hold: three bases or none, work that repeats or not, states and steps of many sizes.
LOADS = st.lists(
    st.tuples(
        st.sampled_from(["m", "n", "o", None]),
        st.sampled_from([0.0, 1.0, 100.0]) | st.floats(0.5, 1e9),
        st.none() | st.floats(1, 1e5),
        st.integers(0, 1000),
        st.booleans(),
    ),
    max_size=40,
).map(
    lambda drawn: [
        cost(number, base=base, work=work, tokens_a_step=tokens, state_bytes=size, brief=brief and base is None)
        for number, (base, work, tokens, size, brief) in enumerate(drawn)
    ]
)
TERMS = st.builds(
    Terms,
    size=st.integers(1, 9),
    tasks_at_once=st.integers(1, 12),
    slot_bytes=st.dictionaries(st.sampled_from("mn"), st.integers(0, 4000)),
    saturated=st.dictionaries(st.sampled_from("mo"), st.floats(1, 1e6)),
    trials_per_task=st.none() | st.integers(1, 12),
    share=st.booleans(),
)


@given(LOADS, TERMS)
def test_each_trial_is_in_one_task_of_its_own_base_within_size_and_memory(costs: list[TrialCost], terms: Terms) -> None:
    tasks = plan(costs, terms)
    assert Counter(seal for task in tasks for seal in task.seals) == Counter(seal for one in costs for seal in one.seals)
    for task in tasks:
        assert len({one.base for one in task.trials}) == 1
        assert 1 <= task.at_once <= max(1, terms.size)
        assert task.at_once <= len(task.trials)
        assert task.at_once == 1 or largest(task) <= terms.slot_bytes.get(task.base or "", math.inf)
        assert task.base or task.at_once == 1
        assert terms.trials_per_task is None or len(task.trials) <= terms.trials_per_task
        works = [one.work for one in task.trials]
        assert works == sorted(works, reverse=True)
    assert [task.work for task in tasks] == sorted((task.work for task in tasks), reverse=True)
    assert tasks == plan(costs, terms)


@given(LOADS, TERMS)
def test_a_trial_whose_states_have_no_room_goes_alone_and_says_so(costs: list[TrialCost], terms: Terms) -> None:
    for task in plan(costs, terms):
        for one in task.trials:
            too_large = one.base is not None and one.state_bytes > terms.slot_bytes.get(one.base, math.inf)
            assert too_large == (one.reason is not None)
            assert not too_large or task.at_once == 1


@given(LOADS, st.integers(1, 9), st.integers(1, 12))
def test_of_bundles_no_more_tasks_than_may_run_at_once_unless_each_has_a_base_of_its_own(
    costs: list[TrialCost], size: int, slots: int
) -> None:
    together = [one for one in costs if one.base]
    tasks = plan(together, Terms(size=size, tasks_at_once=slots))
    bases = {one.base for one in together}
    assert len(tasks) <= max(len(bases), slots)
    # Nor fewer than there is use for.
    wanted = sum(max(1, math.ceil(sum(one.work > 0 for one in together if one.base == base) / size)) for base in bases)
    assert len(tasks) == min(wanted, max(len(bases), slots))


@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 6))
def test_queues_end_within_grahams_bound(works: list[float], size: int, slots: int) -> None:
    tasks = plan([cost(number, work=work) for number, work in enumerate(works)], Terms(size=size, tasks_at_once=slots))
    if len(works) <= slots * size:
        return
    assert len(tasks) == slots
    # Of any list, in any order: no queue is longer than the mean and what the last trial adds to it.
    longest = max(task.work for task in tasks)
    assert longest <= (math.fsum(works) / slots + (1 - 1 / slots) * max(works)) * (1 + 1e-9)


@given(st.lists(st.integers(1, 30), min_size=3, max_size=7))
def test_queues_end_within_four_thirds_of_the_best(works: list[int]) -> None:
    tasks = plan([cost(number, work=float(work)) for number, work in enumerate(works)], Terms(size=1, tasks_at_once=2))
    total = sum(works)
    halves = (sum(some) for count in range(len(works) + 1) for some in itertools.combinations(works, count))
    best = min(max(half, total - half) for half in halves)
    assert max(task.work for task in tasks) <= best * (4 / 3 - 1 / 6) + 1e-9


@given(LOADS, st.floats(1, 1e6))
def test_a_device_that_is_busy_gets_no_more_trials_at_once(costs: list[TrialCost], enough: float) -> None:
    terms = Terms(size=8, tasks_at_once=1000, saturated=dict.fromkeys("mno", enough))
    for task in plan([one for one in costs if one.base], terms):
        bundled = [one.tokens_a_step or 0 for one in task.trials if one.work][: task.at_once]
        assert sum(bundled[:-1]) < enough


def test_a_grid_is_cut_into_even_bundles_of_like_ranks() -> None:
    costs = [cost(number, state_bytes=r) for number, (r, _, _) in enumerate(GRID)]
    tasks = plan(costs, Terms(size=8, tasks_at_once=256))
    assert shapes(tasks) == [(8, 8)] * 3
    assert [sorted({GRID[number][0] for number in numbers(task)}) for task in tasks] == [[32, 64], [16, 32], [8, 16]]
    assert plan_summary(tasks) == "Bundles: 24 trials in 3 tasks, up to 8 at once on one base model."
    assert shapes(plan(costs[:9], Terms(size=8, tasks_at_once=256))) == [(5, 5), (4, 4)]


def test_few_tasks_make_long_queues() -> None:
    costs = [cost(number, work=float(100 - number)) for number in range(24)]
    tasks = plan(costs, Terms(size=4, tasks_at_once=2))
    assert shapes(tasks) == [(12, 4), (12, 4)]
    assert numbers(tasks[0])[:3] == [0, 3, 4]
    assert abs(tasks[0].work - tasks[1].work) <= 2


def test_devices_that_would_stand_idle_have_their_share() -> None:
    costs = [cost(number) for number in range(6)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=4))) == [(6, 6)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=4, share=True))) == [(2, 2)] * 3
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=1, share=True))) == [(6, 6)]


def test_memory_and_a_busy_device_bound_who_rides_at_once() -> None:
    costs = [cost(number, state_bytes=10, tokens_a_step=500.0) for number in range(8)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=9, slot_bytes={"m": 45}))) == [(4, 4), (4, 4)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=9, saturated={"m": 1000.0}))) == [(2, 2)] * 4
    # Tasks are scarce: no device stands idle for which fewer ought to ride.
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=2, saturated={"m": 1000.0}))) == [(4, 4), (4, 4)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=1, saturated={"m": 1000.0}))) == [(8, 8)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=1, slot_bytes={"m": 45}))) == [(8, 4)]


def test_bases_have_tasks_by_their_work() -> None:
    costs = [cost(number, base="m" if number < 12 else "n") for number in range(16)]
    tasks = plan(costs, Terms(size=2, tasks_at_once=4))
    assert sorted((task.base, *shape) for task, shape in zip(tasks, shapes(tasks), strict=True)) == [
        ("m", 4, 2),
        ("m", 4, 2),
        ("m", 4, 2),
        ("n", 4, 2),
    ]


def test_the_base_model_comes_last_and_takes_no_place() -> None:
    costs = [cost(99, work=0.0), *(cost(number) for number in range(8))]
    tasks = plan(costs, Terms(size=8, tasks_at_once=256))
    assert shapes(tasks) == [(9, 8)]
    assert numbers(tasks[0])[-1] == 99
    assert shapes(plan(costs[:1], Terms(size=8))) == [(1, 1)]


def test_who_rides_alone_is_told_by_reason() -> None:
    alone = [cost(number, base=None, reason=FULL) for number in (90, 91)]
    tasks = plan(
        [*alone, *(cost(number) for number in range(3)), cost(80, state_bytes=99)], Terms(size=8, tasks_at_once=9, slot_bytes={"m": 50})
    )
    assert shapes(tasks) == [(3, 3), (1, 1), (1, 1), (1, 1)]
    assert plan_summary(tasks) == (
        "Bundles: 3 trials in 1 task, up to 3 at once on one base model; 2 alone (method=full changes the base model); "
        "1 alone (more than the device's memory, as far as can be told)."
    )
    assert plan_summary(plan(alone, Terms())) == "No bundles: 2 trials alone (method=full changes the base model)."
    assert plan_summary(plan([cost(0, base=None)], Terms())) is None


def test_a_person_who_says_how_long_a_queue_is_wins() -> None:
    costs = [cost(number, tokens_a_step=500.0) for number in range(7)]
    assert shapes(plan(costs, Terms(size=2, tasks_at_once=1, trials_per_task=3))) == [(3, 2), (3, 2), (1, 1)]
    assert shapes(plan(costs, Terms(size=8, tasks_at_once=9, trials_per_task=1, saturated={"m": 1.0}))) == [(1, 1)] * 7


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (Terms(), [100, 100, 50]),
        (Terms(trials_per_task=2), [2] * 125),
        (Terms(tasks_at_once=4, share=True), [63, 63, 63, 61]),
        (Terms(tasks_at_once=2, share=True), [100, 100, 50]),
    ],
)
def test_a_rehearsal_has_many_in_a_task(terms: Terms, expected: list[int]) -> None:
    tasks = plan([cost(number, base=None, brief=True) for number in range(250)], terms)
    assert [len(task.trials) for task in tasks] == expected
    assert [number for task in tasks for number in numbers(task)] == list(range(250))


def test_seals_of_one_trial_stay_together() -> None:
    two = [TrialCost((seal,)) for seal in ("aaaaaaaaaaaa/seals/1.json", "bbbbbbbbbbbb/seals/1.json", "aaaaaaaaaaaa/seals/2.json")]
    assert [task.seals for task in plan(two, Terms())] == [
        ("aaaaaaaaaaaa/seals/1.json", "aaaaaaaaaaaa/seals/2.json"),
        ("bbbbbbbbbbbb/seals/1.json",),
    ]


def test_a_thousand_trials_are_planned_in_no_time() -> None:
    costs = [cost(number, work=1.0 + number % 97, tokens_a_step=512.0, state_bytes=number % 7) for number in range(1000)]
    terms = Terms(size=8, tasks_at_once=32, slot_bytes={"m": 40}, saturated={"m": 4096.0})
    took = []
    for _ in range(3):
        began = time.process_time()
        assert len(plan(costs, terms)) == 32
        took.append(time.process_time() - began)
    # It takes some milliseconds.
    assert min(took) < 0.5
