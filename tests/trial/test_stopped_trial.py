"""A trial that a person stops: its checkpoint becomes a trial of its own, published in the bits of one that ends there from the start."""

import json
import time
from dataclasses import replace

import pytest

from persona_exp.atomic_files import file_digest
from persona_exp.cli.commands.stop import stop
from persona_exp.errors import UserError
from persona_exp.launch.recovery.retry_decision import decide, undo_cancellations
from persona_exp.trial import stopped_trial
from persona_exp.trial.added_trials import added_trials
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.seal import read_seal, seal
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.stopped_trial import stop_at
from persona_exp.trial.trial_directory import TrialDirectory, trial_directory
from persona_exp.trial.trial_status import read_status, stopped_as

FUSED = ("engine=fused", "train.checkpoint_steps=2", "bundle.size=2", "train.max_steps=1000", "lora.dropout=0.1")


def record(directory, number=1):
    return json.loads((directory.attempts / f"{number:04}.json").read_text())


def until(holds, process, seconds=240.0):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def step(directory):
    path = directory.attempts / "0001.json"
    return int((json.loads(path.read_text()).get("progress") or {}).get("step") or 0) if path.exists() else 0


def listed(runs, trials):
    """A sweep that wants these trials."""
    folder = runs / "sweeps" / "one"
    folder.mkdir(parents=True)
    folder.joinpath("seals.json").write_text(json.dumps([{"seal": f"{one.trial_id}/seals/{one.path.name}", "title": ""} for one in trials]))
    folder.joinpath("sweep.yaml").write_text("command: python run.py\nswept: []\ntrials: []\n")
    return folder


@pytest.mark.long
def test_what_is_published_has_the_bits_of_one_that_ends_there_from_the_start(tiny, runs, child, tmp_path):
    trial, other = (seal(tiny(*FUSED, f"lora.r={rank}"), command="") for rank in (4, 8))
    folder = listed(runs, [trial, other])
    process = child(trial.path, other.path, "--log", "--sweep", folder)
    until(lambda: step(trial.directory) >= 3, process)
    answer = stop(runs, trial.trial_id, wait_seconds=60)
    ended, successor = answer["step"], trial_directory(runs, answer["successor"])
    assert 3 <= ended < 400
    until(successor.adapter.is_dir, process)
    assert stop(runs, other.trial_id, wait_seconds=60)["successor"]
    process.communicate(timeout=240)
    assert process.returncode == 0
    assert len(list(successor.evaluations.glob("*/metrics.json"))) == 1
    assert record(successor)["resumed_from_step"] == ended, "it took over the checkpoint"
    assert record(trial.directory)["cause"] == "stopped"
    assert (read_status(trial.directory.path).status, stopped_as(trial.directory.path)) == ("cancelled", successor.trial_id)
    assert successor.trial_id in read_status(trial.directory.path).message
    assert next((one.trial_id, one.overrides) for one in added_trials(folder)) == (successor.trial_id, {"train.stop_at_step": ended})
    assert not trial.directory.adapter.exists()

    anew = seal(replace(tiny(*FUSED, "lora.r=4", f"train.stop_at_step={ended}"), runs=str(tmp_path / "anew")), command="")
    assert anew.trial_id == successor.trial_id
    process = child(anew.path)
    process.communicate(timeout=240)
    assert process.returncode == 0
    name = "adapter_model.safetensors"
    assert file_digest(successor.adapter / name) == file_digest(anew.directory.adapter / name)


@pytest.fixture
def begun(tiny, runs):
    """A trial that has an attempt and a checkpoint of step 1, as far as files tell, and that a person wants to end."""
    from persona_exp.training import checkpoint
    from persona_exp.trial.claimed_trial import ClaimedTrial

    sealed = seal(tiny(*FUSED), command="")
    listed(runs, [sealed])
    sealed.directory.stop.write_text(json.dumps({"by": "ada", "sweeps": ["one"]}))
    attempt = claim(sealed.directory.attempts, seal=sealed.path.name)
    staged = attempt.folder / "checkpoints" / ".staging"
    staged.mkdir(parents=True)
    (staged / "lane.json").write_text("{}")
    saved = checkpoint.save(staged, attempt.folder / "checkpoints", step=1, keep=2, run=sealed.trial_id)
    config, facts = read_seal(sealed.path)[1], read_seal_facts(sealed.path)
    return sealed, ClaimedTrial(config, sealed.directory, facts["data_id"], attempt), saved


def test_its_identity_differs_in_the_step_alone_and_all_of_it_may_be_done_again(begun, runs, monkeypatch):
    sealed, trial, saved = begun
    killed = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
    with monkeypatch.context() as patched:
        patched.setattr(stopped_trial, "add_trial", killed)
        with pytest.raises(KeyboardInterrupt):
            stop_at(trial, 1, saved)
    assert decide(sealed.directory, sealed.path.name, lambda _: "dead").next == "run", "it goes on, to stop"
    successor = stop_at(trial, 1, saved).successor
    assert stop_at(trial, 1, saved).successor == successor
    assert len(added_trials(runs / "sweeps" / "one")) == 1
    before, after = (read_provenance(runs, one)["identity"] for one in (sealed.trial_id, successor.trial_id))
    assert after["train"].pop("stop_at_step") == 1
    assert after == before
    (copy,) = successor.directory.attempts.glob("*/checkpoints/step-00000001")
    assert json.loads((copy / "manifest.json").read_text())["run"] == successor.trial_id
    assert json.loads((saved / "manifest.json").read_text())["run"] == sealed.trial_id
    assert not all_published(successor.path)
    assert decide(sealed.directory, sealed.path.name, lambda _: "dead").next == "cancelled"
    assert undo_cancellations([sealed.directory]) == 0, "the sweep's command, given again, leaves it stopped"
    trial.attempt.end("interrupted", cause="stopped")


def test_why_names_the_other_and_retry_takes_it_back(begun, runs, monkeypatch, capsys):
    from persona_exp.cli.main import main

    sealed, trial, saved = begun
    successor = stop_at(trial, 1, saved).successor
    trial.attempt.end("interrupted", cause="stopped")
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(runs))
    assert main(["why", sealed.trial_id]) == 0
    said = capsys.readouterr().out
    assert "stopped by ada at step 1" in said
    assert successor.trial_id in said
    assert main(["retry", sealed.trial_id, "--json"]) == 0
    assert not sealed.directory.stop.exists()
    assert decide(sealed.directory, sealed.path.name, lambda _: "dead").next == "run"


def test_what_cannot_be_stopped_is_refused(sealed_noop, runs):
    sealed = sealed_noop()
    with pytest.raises(UserError, match="only what runs can be stopped"):
        stop(runs, sealed.trial_id, wait_seconds=0)
    attempt = claim(sealed.directory.attempts, seal=sealed.path.name)
    with pytest.raises(UserError, match="engine=noop"):
        stop(runs, sealed.trial_id, wait_seconds=0)
    attempt.end("finished")
    assert not TrialDirectory(sealed.directory.path).stop.exists()


def test_a_step_that_ends_nothing_is_refused(config):
    with pytest.raises(UserError, match="is not below"):
        config("train.max_steps=5", "train.stop_at_step=5")
    with pytest.raises(UserError, match="needs engine=fused"):
        config("train.stop_at_step=5", "engine=sft")


def test_code_that_does_not_look_for_the_wish_is_not_asked(begun, runs, monkeypatch):
    sealed, _, _ = begun
    assert stop(runs, sealed.trial_id, wait_seconds=0)["successor"] is None
    monkeypatch.setattr("persona_exp.cli.commands.stop.KNOWS_STOPPING", "persona_exp/trial/of_a_later_version.py")
    with pytest.raises(UserError, match="from before there was"):
        stop(runs, sealed.trial_id, wait_seconds=0)
