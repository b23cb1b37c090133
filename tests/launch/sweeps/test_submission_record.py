"""Records of submissions: made once, by one of many."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Cluster
from persona_exp.errors import UserError
from persona_exp.launch.launcher_options import SlurmOptions, launch_options
from persona_exp.launch.slurm.slurm_queue import Job
from persona_exp.launch.sweeps import reconcile, submission_record

TASKS = [[f"{one:012x}/seals/00000000.json"] for one in range(10)]


def make(folder: Path, **settings: object) -> submission_record.Submission | None:
    given = {"launcher": "slurm", "tasks": TASKS, "options": {"sbatch": {}, "launch": {}}, "canary": False, **settings}
    made = submission_record.draft(folder / "sweeps" / "x", **given)  # type: ignore[arg-type]
    return made if submission_record.create(made) else None


def _race(folder: Path, start: object, wins: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    wins.put(make(folder, after=0) is not None)  # type: ignore[attr-defined]


def test_of_many_processes_one_makes_a_record(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, wins = context.Barrier(8), context.Queue()
    racers = [context.Process(target=_race, args=(tmp_path, start, wins)) for _ in range(8)]
    for racer in racers:
        racer.start()
    won = [wins.get(timeout=300) for _ in racers]
    for racer in racers:
        racer.join()
    assert sum(won) == 1
    assert submission_record.numbers(tmp_path / "sweeps" / "x") == [1]


def test_whoever_read_an_older_number_comes_second(tmp_path: Path) -> None:
    first = make(tmp_path, after=0)
    assert first
    assert make(tmp_path, after=0) is None
    second = make(tmp_path, after=1)
    assert second
    assert (second.number, second.job_name.rsplit("-", 1)[1]) == (2, "2")
    assert first.job_name.split("-")[1] != second.job_name.split("-")[1]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = make(tmp_path, canary=True, progress=[1, 2])
    assert made
    assert submission_record.read(made.path) == made == submission_record.latest_submission(made.sweep_folder)
    assert made.runs == tmp_path.absolute()
    submission_record.note_jobs(made, {"canary": "7", "complete": False})
    assert submission_record.recorded_jobs(made) == {"canary": "7", "arrays": [], "keeper": None, "complete": False}


@pytest.mark.parametrize("name", [None, "ranks", "a=1+b._-"])
@pytest.mark.parametrize("cluster", [None, "testbed", "gpu_1.north-2"])
def test_a_submission_of_any_name_is_found_again(tmp_path: Path, name: str | None, cluster: str | None) -> None:
    options = SlurmOptions(name=name, clusters=cluster)
    made = make(tmp_path, options={"sbatch": {"clusters": options.clusters}, "launch": {"name": options.name}})
    assert made
    assert submission_record.all_submissions(made.sweep_folder) == [made]


def test_what_would_be_taken_for_damaged_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form"):
        make(tmp_path, tasks=[["elsewhere"]])
    assert not submission_record.numbers(tmp_path / "sweeps" / "x")


def test_another_slurm_than_the_submissions_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLURM_CONF", "/a")
    made = make(tmp_path, options={"sbatch": {}, "launch": launch_options(SlurmOptions(), Cluster(name="c"))})
    assert made
    reconcile._warn_of_another_slurm(made.sweep_folder)
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("SLURM_CONF")
    reconcile._warn_of_another_slurm(made.sweep_folder)
    assert capsys.readouterr().err.startswith("warning: SLURM_CONF was /a when x was submitted, and is not set here: if that is another")


def test_a_persons_comment_is_not_taken_for_the_sweeps(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert made
    one = Job("7", None, None, made.job_name, "PENDING", "None", None, None, submission_record.comment(3, "first=8"))
    assert submission_record.task_numbers(one, made) == [3]


def test_a_damaged_record_is_one_sentence(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert made
    made.path.write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        submission_record.read(made.path)


@pytest.mark.parametrize("by", [{"at": None}, {"at": "2026-01-01T00:00:00"}, {"at": "yesterday"}, {"who": "x"}, {"progress": None}])
def test_a_record_that_does_not_say_who_made_it_and_when_is_damaged(tmp_path: Path, by: dict[str, Any]) -> None:
    made = make(tmp_path)
    assert made
    record = json.loads(made.path.read_text())
    made.path.write_text(json.dumps({**record, "by": {**record["by"], **by}}))
    assert submission_record.all_submissions(made.sweep_folder) == []
    assert len(submission_record.damaged_submissions(made.sweep_folder)) == 1


def test_a_maker_of_this_host_is_in_making_as_long_as_it_lives(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert made
    assert submission_record.in_making(made)
    dead = submission_record.Submission(**{**vars(made), "by": {**made.by, "process_started": "other:1"}})
    assert not submission_record.in_making(dead)
    submission_record.note_jobs(made, {"complete": True})
    assert not submission_record.in_making(made)


def test_a_maker_of_another_host_is_given_a_minute(tmp_path: Path) -> None:
    made = make(tmp_path)
    assert made
    there = submission_record.Submission(**{**vars(made), "by": {**made.by, "host": "elsewhere"}})
    assert submission_record.in_making(there)
    long_ago = submission_record.Submission(**{**vars(made), "by": {**there.by, "at": "2020-01-01T00:00:00+00:00"}})
    assert not submission_record.in_making(long_ago)


@pytest.mark.parametrize(
    ("array", "task", "tasks", "comment", "expected"),
    [
        (None, None, "", "first=0", [0]),
        ("1", 3, "", "first=1", [4]),
        ("1", None, "0-2,5", "first=1", [1, 2, 3, 6]),
        ("1", None, "0-6:3%2", "mine first=2", [2, 5, 8]),
        ("1", None, "0-1,4,...", "first=0", [0, 1, 4, 5, 6, 7, 8, 9]),
        ("1", 12, "", "first=1", []),
    ],
)
def test_which_tasks_a_job_stands_for(
    tmp_path: Path, array: str | None, task: int | None, tasks: str, comment: str, expected: list[int]
) -> None:
    made = make(tmp_path)
    assert made
    job = Job("2", array, task, made.job_name, "PENDING", "", None, None, comment, tasks)
    assert submission_record.task_numbers(job, made) == expected
