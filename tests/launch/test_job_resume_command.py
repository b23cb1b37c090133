"""The command that a job leaves for its next start, and the trial that is read out of it."""

import pytest

from persona_exp.atomic_files import write_text
from persona_exp.launch.job_resume_command import VARIABLE, trial_of_job, write_resume_command
from persona_exp.trial.sweep_file import sweep_text
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
    base = {"trial_id": "b" * 12, "role": "base", "overrides": {}, "evaluations": {}}
    own = {**base, "trial_id": name.split("/")[0], "role": "adapter"}
    for trials, expected in (
        ([base, own], own["trial_id"]),
        ([base], base["trial_id"]),
        ([base, own, {**own, "trial_id": "c" * 12}], None),
    ):
        write_text(runs / "sweeps" / "a" / "sweep.yaml", sweep_text({"name": "a", "command": "x", "swept": [], "created": "y"}, trials))
        assert trial_of_job(runs, "7") == expected
    assert trial_of_job(runs, "8") is None
