"""What a job notes of itself, and what is read out of that."""

import pytest

from persona_exp.launch.note import SINGLE, VARIABLE, note, single_trial
from tests.launch.rehearsed import sealed

pytestmark = pytest.mark.usefixtures("one_copy_of_the_code")


def test_the_trial_of_a_job_of_its_own(config, tmp_path, monkeypatch):
    (name,) = sealed(config, tmp_path, 1)
    runs = tmp_path / "runs"
    seal = runs / "trials" / name
    (runs / "jobs").mkdir()
    monkeypatch.setenv(VARIABLE, str(runs / "jobs" / "7"))
    note(seal, SINGLE, str(seal))
    assert single_trial(runs, "7") == name.split("/")[0]
    note(seal, "persona_exp.launch.workers.local_sweep", str(runs / "sweeps" / "a"), "2")
    assert single_trial(runs, "7") is None
    assert single_trial(runs, "8") is None
