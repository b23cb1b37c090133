"""array_parallelism holds for the whole sweep."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_exp.launch.slurm import slurm_queue
from persona_exp.launch.slurm.slurm_queue import Job
from persona_exp.launch.slurm.submit_and_cancel import Busy
from persona_exp.launch.sweeps.submission_record import Submission, create, draft, note_jobs
from persona_exp.launch.sweeps.tasks_at_once import Part, TasksAtOnce, tasks_at_once


def parts(most: int, sizes: list[int], *, canary: bool = False) -> list[tuple[int, str | None]]:
    held, left, found = TasksAtOnce(most), sum(sizes), []
    if canary:
        held.add("canary", Part(1))
    for number, size in enumerate(sizes):
        part = held.part(size, left)
        held.add(f"array-{number}", part)
        left -= size
        found.append((part.at_once, part.after))
    return found


@pytest.mark.parametrize(
    ("most", "sizes", "canary", "expected"),
    [
        (256, [999], True, [(255, None)]),
        (256, [1001, 1001, 498], False, [(103, None), (102, None), (51, None)]),
        (2, [1001, 1001, 498], False, [(1, None), (1, None), (1, "array-0")]),
        (1, [5, 5], False, [(1, None), (1, "array-0")]),
        # With one at once, nothing goes beside the canary, whether it has passed or not.
        (1, [5], True, [(1, "canary")]),
        (256, [3], False, [(3, None)]),
    ],
)
def test_the_parts_of_arrays(most: int, sizes: list[int], canary: bool, expected: list[tuple[int, str | None]]) -> None:
    assert parts(most, sizes, canary=canary) == expected


@given(st.integers(1, 9), st.lists(st.integers(1, 30), min_size=1, max_size=8), st.booleans(), st.randoms())
def test_no_more_run_at_once_in_whatever_order_arrays_end(most: int, sizes: list[int], canary: bool, random) -> None:
    found = parts(most, sizes, canary=canary)
    jobs = {f"array-{number}": (at_once, after) for number, (at_once, after) in enumerate(found)}
    jobs |= {"canary": (1, None)} if canary else {}
    ended: set[str] = set()
    while len(ended) < len(jobs):
        runs = [one for one, (_, after) in jobs.items() if one not in ended and (after is None or after in ended)]
        assert runs
        assert sum(jobs[one][0] for one in runs) <= most
        ended.add(random.choice(runs))


def submission(folder: Path, tasks: int = 9) -> Submission:
    options = {"launch": {"array_parallelism": 4}, "sbatch": {}}
    made = draft(
        folder / "sweeps" / "x",
        launcher="slurm",
        tasks=[[f"{one:012}/seals/01234567.json"] for one in range(tasks)],
        options=options,
        canary=False,
    )
    assert create(made)
    return made


def test_what_other_submissions_run_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = submission(tmp_path)
    note_jobs(first, {"arrays": [{"id": "10", "first": 0, "size": 9, "after": None}], "complete": True})
    second = submission(tmp_path)
    ids = itertools.count(11)

    def running(task: int) -> Job:
        return Job(str(next(ids)), "10", task, first.job_name, "RUNNING", "None", "n", None, "first=0")

    pending = Job("10", "10", None, first.job_name, "PENDING", "JobArrayTaskLimit", None, None, "first=0", tasks="3-8%4")
    for queue, expected in (
        ([], (4, None)),
        ([running(8)], (3, None)),
        ([running(1), running(2), pending], (4, "10")),
        ([pending], (4, "10")),
    ):
        monkeypatch.setattr(slurm_queue, "queued", lambda names, queue=queue: queue)
        part = tasks_at_once(second).part(9, 9)
        assert (part.at_once, part.after) == expected
    # The job that submits leaves its own place.
    last = running(8)
    monkeypatch.setattr(slurm_queue, "queued", lambda names: [last])
    monkeypatch.setenv("SLURM_JOB_ID", last.id)
    assert tasks_at_once(second).part(9, 9).at_once == 4
    monkeypatch.setattr(slurm_queue, "queued", lambda names: None)
    with pytest.raises(Busy, match="how many tasks of the sweep run is not known"):
        tasks_at_once(second)


def test_one_that_waits_takes_the_place_of_the_one_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (submission(tmp_path) for _ in range(3))
    note_jobs(first, {"arrays": [{"id": "10", "first": 0, "size": 9, "after": None}], "complete": True})
    note_jobs(second, {"arrays": [{"id": "20", "first": 0, "size": 9, "after": "10"}], "complete": True})
    queue = [
        Job("10", "10", None, first.job_name, "PENDING", "Resources", None, None, "first=0", tasks="0-8%4"),
        Job("20", "20", None, second.job_name, "PENDING", "Dependency", None, None, "first=0", tasks="0-8%3"),
    ]
    monkeypatch.setattr(slurm_queue, "queued", lambda names: [job for job in queue if job.name in names])
    part = tasks_at_once(third).part(9, 9)
    assert (part.at_once, part.after) == (3, "20")
    # What starts at the end of another has its places already, however few tasks that one has left.
    queue[0] = Job("11", "10", 8, first.job_name, "RUNNING", "None", "n", None, "first=0")
    part = tasks_at_once(third).part(9, 9)
    assert (part.at_once, part.after) == (1, None)
    # Its predecessor has ended.
    del queue[0]
    assert tasks_at_once(third).part(9, 9) == Part(1)
