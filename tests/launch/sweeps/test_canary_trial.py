"""The first trial, before the rest."""

import pytest

from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.slurm import slurm_queue, submit_and_cancel
from persona_exp.launch.slurm.slurm_queue import Job
from persona_exp.launch.sweeps import canary_trial
from persona_exp.launch.sweeps.submission_record import comment, create, draft, note_jobs
from tests.launch.rehearsed import SEAL, recorded_trial, submitted

FAILED = {"status": "failed", "cause": "ValueError", "message": "why"}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([{"status": "running"}], None),
        ([{"status": "running", "progress": {"phase": "training", "step": 2, "of": 100}}], None),
        ([{"status": "running", "progress": {"phase": "training", "step": 3, "of": 100}}], True),
        ([{"status": "running", "progress": {"phase": "training", "step": 2, "of": 2}}], True),
        ([{"status": "running", "progress": {"phase": "evaluating", "step": None}}], True),
        ([{"status": "finished"}], True),
        ([FAILED], False),
        ([{"status": "failed", "cause": "out_of_memory", "micro_batch_size": 8}], None),
        ([{"status": "interrupted", "progress": {"phase": "training", "step": 9, "of": 100}}, FAILED], True),
    ],
)
def test_passed(tmp_path, records, expected):
    assert canary_trial.passed(recorded_trial(tmp_path, *records)) is expected


@pytest.fixture
def slurm(monkeypatch):
    """What Slurm was told."""
    calls = []
    monkeypatch.setattr(submit_and_cancel, "end_dependency", lambda id, **_: calls.append(("release", id)))
    monkeypatch.setattr(submit_and_cancel, "cancel", lambda ids, **_: calls.append(("cancel", *ids)))
    return calls


def jobs(*arrays, complete=True):
    return {"canary": "1", "arrays": [{"id": id, "first": 0, "size": 1} for id in arrays], "keeper": None, "complete": complete}


def test_the_others_are_let_go_once_also_when_they_are_submitted_later(tmp_path, slurm):
    made = submitted(tmp_path, [["0123456789ab/seals/00000000.json"]])
    directory = recorded_trial(tmp_path, {"status": "running", "progress": {"phase": "training", "step": 3, "of": 9}})
    one = canary_trial.Canary(made, lambda line: None)
    one.check([directory])
    note_jobs(made, jobs("2", complete=False))
    one.check([directory])
    note_jobs(made, jobs("2", "3"))
    for _ in range(3):
        one.check([directory])
    assert slurm == [("release", "2"), ("release", "3")]


def test_an_array_that_waits_for_a_place_waits_on(tmp_path, slurm):
    made = submitted(tmp_path, [["0123456789ab/seals/00000000.json"]])
    noted = jobs("2", "3")
    noted["arrays"][1]["after"] = "2"
    note_jobs(made, noted)
    canary_trial.Canary(made, lambda line: None).check([recorded_trial(tmp_path, {"status": "finished"})])
    assert slurm == [("release", "2")]


def test_a_canary_that_fails_holds_the_sweep(tmp_path, slurm):
    made = submitted(tmp_path, [["0123456789ab/seals/00000000.json"]])
    object.__setattr__(made, "launcher", "slurm")
    note_jobs(made, jobs("2", "3"))
    one = canary_trial.Canary(made, lambda line: None)
    one.check([recorded_trial(tmp_path, FAILED)])
    one.fail("x", "ValueError", "why")
    assert slurm == [("cancel", "2", "3")]
    assert sweep_hold.read(made.sweep_folder)["cause"] == "canary"


@pytest.mark.parametrize("cause", ["no_gpu", "disk_full"])
def test_a_canary_that_fails_for_its_site_holds_until_the_command_is_given_again(tmp_path, slurm, cause):
    made = submitted(tmp_path, [["0123456789ab/seals/00000000.json"]])
    canary_trial.Canary(made, lambda line: None).fail("x", cause, "why")
    assert sweep_hold.read(made.sweep_folder)["cause"] == cause
    assert sweep_hold.take_back(made.sweep_folder) == f"the first trial failed ({cause}): why"
    assert sweep_hold.read(made.sweep_folder) is None


def test_a_later_failure_of_a_canary_that_passed_holds_nothing(tmp_path, slurm):
    made = submitted(tmp_path, [["0123456789ab/seals/00000000.json"]])
    one = canary_trial.Canary(made, lambda line: None)
    one.check([recorded_trial(tmp_path, {"status": "finished"})])
    one.fail("x", "ValueError", "why")
    assert sweep_hold.read(made.sweep_folder) is None


def queued(made, task, id="1"):
    return Job(id, None, None, made.job_name, "PENDING", "None", None, None, comment(task))


@pytest.fixture
def behind(tmp_path):
    """A submission of which the canary's job, 1, should have run the first trial."""
    made = submitted(tmp_path, [[f"0123456789ab/seals/{SEAL}"], ["abcdefabcdef/seals/00000000.json"]], canary=True)
    object.__setattr__(made, "launcher", "slurm")
    note_jobs(made, jobs("2"))
    return made


def look(made, monkeypatch, in_queue):
    monkeypatch.setattr(slurm_queue, "queued", lambda names: in_queue and [one for one in in_queue if one.name in names])
    canary_trial.hold_if_it_never_began(made, lambda line: None)
    return sweep_hold.read(made.sweep_folder)


def test_a_canary_whose_job_ended_before_its_first_attempt_holds_the_sweep(behind, slurm, monkeypatch):
    held = look(behind, monkeypatch, [queued(behind, 1, "2")])
    assert (held["cause"], held["trials"]) == ("start", ["0123456789ab"])
    assert "job 1 ended (its exit code is not known) before its Python began and left no log" in held["message"]
    assert str(behind.folder / "logs") in held["message"]
    assert slurm == [("cancel", "2")]


def test_a_canary_that_may_still_begin_holds_nothing(behind, slurm, monkeypatch):
    assert look(behind, monkeypatch, None) is None
    assert look(behind, monkeypatch, [queued(behind, 0)]) is None
    # Where there is no scontrol its worker submits its trial again.
    again = draft(behind.sweep_folder, launcher="slurm", tasks=[behind.tasks[0]], options={}, canary=False, who="worker")
    assert create(again)
    assert look(behind, monkeypatch, [queued(again, 0, "9")]) is None
    assert look(behind, monkeypatch, [queued(behind, 1, "2")]) is not None


@pytest.mark.parametrize("what", ["tried", "cancelled", "not noted"])
def test_a_canary_that_began_or_was_cancelled_holds_nothing(behind, slurm, monkeypatch, what):
    directory = recorded_trial(behind.runs, *([{"status": "interrupted"}] if what == "tried" else []))
    if what == "cancelled":
        directory.cancelled.write_text("{}")
    if what == "not noted":
        note_jobs(behind, {**jobs("2"), "canary": None})
    assert look(behind, monkeypatch, []) is None
