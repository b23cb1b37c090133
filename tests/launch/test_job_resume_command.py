"""The command that a job leaves for its next start, and the trial that is read out of it."""

import pytest

from persona_exp.launch.job_resume_command import VARIABLE, trial_of_job, write_resume_command
from tests.launch.rehearsed import sealed

pytestmark = pytest.mark.usefixtures("one_copy_of_the_code")


def test_the_trial_of_a_job_of_its_own(config, tmp_path, monkeypatch):
    (name,) = sealed(config, tmp_path, 1)
    runs = tmp_path / "runs"
    seal = runs / "trials" / name
    (runs / "jobs").mkdir()
    monkeypatch.setenv(VARIABLE, str(runs / "jobs" / "7"))
    # The second is the module's name in older code.
    for name_then in ("launch_trial", "single"):
        write_resume_command(seal, f"persona_exp.launch.{name_then}", str(seal))
        assert trial_of_job(runs, "7") == name.split("/")[0]
    write_resume_command(seal, "persona_exp.launch.workers.local_sweep", str(runs / "sweeps" / "a"), "2")
    assert trial_of_job(runs, "7") is None
    assert trial_of_job(runs, "8") is None
