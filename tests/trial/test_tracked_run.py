"""The group under which trackers show a trial: on record with its first attempt, and kept by those that follow."""

from dataclasses import replace

import pytest
from tensorboard.summary.writer import event_file_writer

from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.attempt_records import read_record
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.tracked_run import SWEEP_VARIABLE, open_trial_tracker
from persona_exp.trial.trial_directory import trial_directory
from tests.training.curves import hyperparameters_of_tensorboard, of_tensorboard

TRIAL, DATA = "aaaaaaaaaaaa", "dadadadadada"


@pytest.fixture
def attempted(config, runs, monkeypatch):
    """`attempted("tensorboard")`: an attempt that has sent one step; its number is that of the step."""

    # Files of one second are read in the order of their names, and .10 comes before .9; attempts of one trial lie seconds apart.
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))

    def attempted(tracker, name="Ada Lovelace, Countess"):
        directory = trial_directory(runs, TRIAL)
        attempt = claim(directory.attempts)
        asked = config(f"tracker={tracker}")
        asked = replace(asked, persona=replace(asked.persona, name=name))
        opened = open_trial_tracker(ClaimedTrial(asked, directory, DATA, attempt), attempt.number - 1)
        opened.log(attempt.number, {"loss": 1.0})
        opened.close()
        attempt.end("interrupted")
        return read_record(attempt.path)

    return attempted


def test_a_later_attempt_keeps_the_group_of_the_first(attempted, runs, monkeypatch):
    for sweep in ("lora.r=8,16-1a2b3c4d", "seed=1,2-5e6f7a8b", None):
        monkeypatch.setenv(SWEEP_VARIABLE, sweep) if sweep else monkeypatch.delenv(SWEEP_VARIABLE)
        assert attempted("tensorboard")["tracker_group"] == "lora.r=8,16-1a2b3c4d"
    (shown,) = (runs / "tensorboard").glob("*/*")
    assert shown.relative_to(runs / "tensorboard").parts == ("lora.r=8,16-1a2b3c4d", TRIAL)
    assert of_tensorboard(shown) == {"train/loss": [(step, 1.0) for step in (1, 2, 3)]}


def test_a_trial_of_no_sweep_is_in_the_group_of_its_persona_and_data(attempted, runs, monkeypatch):
    monkeypatch.delenv(SWEEP_VARIABLE, raising=False)
    assert attempted("tensorboard", "../Zoë / O’Brien")["tracker_group"] == f"Zoë-O-Brien-{DATA}"
    (shown,) = (runs / "tensorboard").glob("*/*")
    values = hyperparameters_of_tensorboard(shown)
    assert values["persona.name"] == "../Zoë / O’Brien"
    assert values["lora.r"] == 16
    assert not [key for key in values if key.startswith(("cluster.", "runs", "persona.system_prompt"))]


def test_without_a_tracker_nothing_is_recorded(attempted, runs):
    assert "tracker_group" not in attempted("none")
    assert not (runs / "tensorboard").exists()
