"""The stages of a real trial in its child: what is noted, how it is stopped, what it goes on from."""

import json
import re
import shutil
import signal
import time

import pytest
from safetensors.torch import load_file

from persona_exp.errors import UserError
from persona_exp.training import checkpoint
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import resume_checkpoint
from persona_exp.trial import run_sealed_trials as running
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.evaluate_trial import owed_evaluations
from persona_exp.trial.seal import seal
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.trial_directory import TrialDirectory


def record(directory, number=1):
    return json.loads((directory.attempts / f"{number:04}.json").read_text())


def steps(directory, number=1):
    log = directory.attempts / f"{number:04}" / "train.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def until_it_trains(process, directory, number=1):
    deadline = time.monotonic() + 300
    while not steps(directory, number):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.long
def test_a_trial_trains_is_measured_and_leaves_no_checkpoint(tiny, child):
    config = tiny("engine=sft", "train.checkpoint_steps=1", "cluster.heartbeat_seconds=0.2", "cluster.lease_seconds=1")
    sealed = seal(config, command="")
    assert not all_published(sealed.path)
    process = child("--log", "--micro-batch", 1, sealed.path)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert out == ""
    assert all_published(sealed.path)
    found = record(sealed.directory)
    assert (found["status"], found["micro_batch_size"], found["seal"], found["gpus"]) == ("finished", 1, sealed.path.name, 0)
    assert (found["checkpoint_step"], found["resumed_from_step"], found["training"]["steps"]) == (1, None, 2)
    assert found["progress"]["phase"] == "evaluating"
    assert (found["progress"]["step"], found["progress"]["of"]) == (2, 2)
    assert found["heartbeat"] > 2
    assert found["code"] == read_seal_facts(sealed.path)["code"]
    assert found["versions"].keys() >= {"torch", "python"}
    assert {"cpu", "gpu"} <= found["hardware"].keys()
    folder = sealed.directory.attempts / "0001"
    assert not (folder / "checkpoints").exists()
    assert not list((folder / "staging").iterdir())
    assert "training: 2/2" in (folder / "output.log").read_text()


@pytest.mark.long
def test_a_signal_saves_and_what_was_saved_must_be_there(tiny, child):
    sealed = seal(tiny("train.max_steps=500", "train.checkpoint_steps=1000"), command="")
    process = child(sealed.path)
    until_it_trains(process, sealed.directory)
    process.send_signal(signal.SIGUSR2)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 75
    found = record(sealed.directory)
    assert (found["status"], found["cause"], found["message"]) == ("interrupted", "signal", "stopped by SIGUSR2")
    (saved,) = (sealed.directory.attempts / "0001" / "checkpoints").glob("step-*")
    assert found["checkpoint_step"] == checkpoint.step_of(saved)
    assert "the same command goes on" in out

    shutil.rmtree(saved)
    process = child(sealed.path)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert record(sealed.directory, 2)["cause"] == "input"
    assert f"persona-exp retry {sealed.trial_id} --from-scratch" in errors


@pytest.mark.long
def test_a_stale_attempt_stops_at_its_next_step(tiny, child):
    sealed = seal(tiny("train.max_steps=500", "train.checkpoint_steps=1000"), command="")
    process = child(sealed.path)
    until_it_trains(process, sealed.directory)
    process.send_signal(signal.SIGSTOP)
    later = claim(sealed.directory.attempts, dead=[1])
    before = steps(sealed.directory)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert steps(sealed.directory) <= before + 2
    found = record(sealed.directory)
    assert (found["status"], found["cause"]) == ("interrupted", "superseded")
    assert not sealed.directory.adapter.exists()
    later.end("interrupted")


@pytest.mark.parametrize("place", ["persona_exp.trial.encoded_examples.training_examples", "persona_exp.modeling.model_loading.load_model"])
def test_a_signal_is_honoured_while_things_are_prepared(tiny, monkeypatch, place):
    sealed, interruption = seal(tiny(), command=""), Interruption()
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)}
    interruption.listen()

    def slow(*_, **__):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the signal was not honoured")

    monkeypatch.setattr(place, slow)
    try:
        assert running.run([sealed.path], interruption) == 75
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (record(sealed.directory)["status"], record(sealed.directory)["cause"]) == ("interrupted", "signal")


@pytest.mark.parametrize("engine", ["fused", pytest.param("sft", marks=pytest.mark.long)])
def test_what_the_last_step_has_blown_up_is_not_published(tiny, engine):
    """The loss of the only step is a number; the weights that it makes are none that anything could be computed with."""
    sealed = seal(tiny(f"engine={engine}", "optim.lr=1e30", "train.max_steps=1"), command="")
    assert running.run([sealed.path], Interruption()) == 1
    found = record(sealed.directory)
    assert (found["status"], found["cause"]) == ("failed", "FloatingPointError")
    assert re.fullmatch(r"\d+ of 28 trained tensors, \S+ the first, have no finite norm: lower optim\.lr\.", found["message"])
    assert not sealed.directory.adapter.exists()
    again = seal(tiny(f"engine={engine}", "optim.lr=1e-3", "train.max_steps=1"), command="")
    assert running.run([again.path], Interruption()) == 0
    weights = load_file(again.directory.adapter / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in weights.values())


def test_a_target_that_no_engine_trains_fails_its_trial_alone(tiny):
    targets = ("[q_proj]", "[q_proj,lm_head]", "[v_proj]")
    sealed = [seal(tiny(f"lora.target_modules={one}"), command="") for one in targets]
    assert running.run([one.path for one in sealed], Interruption()) == 1
    assert [record(one.directory)["status"] for one in sealed] == ["finished", "failed", "finished"]
    assert "lm_head is this model's output head" in record(sealed[1].directory)["message"]


def test_a_warmup_longer_than_the_data_make_steps_is_not_sealed(tiny):
    epochs = ("train.max_steps=null", "train.epochs=1")
    seal(tiny(*epochs, "optim.warmup_steps=1"), command="")
    with pytest.raises(UserError, match=r"optim\.warmup_steps=99 is not below the \d+ steps"):
        seal(tiny(*epochs, "optim.warmup_steps=99"), command="")


def test_router_losses_of_a_model_without_experts_are_refused(tiny):
    sealed = seal(tiny("engine=sft", "train.router_aux_loss=true"), command="")
    assert running.run([sealed.path], Interruption()) == 1
    assert "has no load-balancing loss of experts" in record(sealed.directory)["message"]
    halved = seal(tiny("engine=sft", "train.router_aux_loss=true", "seed=1"), command="")
    assert running.run([halved.path], Interruption(), micro_batch_size=1) == 1
    assert "set train.micro_batch_size=1" in record(halved.directory)["message"]


def test_without_a_reply_to_look_at_nothing_is_sealed(tiny):
    sealed = seal(tiny(), command="")
    with pytest.raises(UserError, match="validation split holds no reply for"):
        seal(tiny("train.eval_steps=1"), command="")
    assert [path.name for path in sealed.directory.path.parent.iterdir()] == [sealed.trial_id]
    assert seal(tiny("method=none", "train.eval_steps=1"), command="").path.is_file()


def test_noop_owes_no_evaluation_and_others_do(config):
    assert owed_evaluations(config("engine=noop"), "t", "d") == []
    assert [one.condition for one in owed_evaluations(config(), "t", "d")] == ["adapter"]
    assert [one.condition for one in owed_evaluations(config("method=none"), "t", "d")] == ["base", "base+system"]


@pytest.fixture
def trial(tmp_path):
    """A trial with two interrupted attempts, the first of which saved step 4."""
    directory = TrialDirectory(tmp_path / "trials" / "0123456789ab")
    first = claim(directory.attempts)
    save(first.folder / "checkpoints", 4, directory.trial_id)
    first.note(checkpoint_step=4)
    first.end("interrupted")
    claim(directory.attempts).end("interrupted")
    return directory


def save(checkpoints, step, run):
    staged = checkpoints / ".staging" / str(step)
    staged.mkdir(parents=True)
    (staged / "adapter").write_text(f"{run} {step}")
    return checkpoint.save(staged, checkpoints, step=step, keep=9, run=run)


def test_the_newest_checkpoint_is_gone_on_from(trial):
    attempt = claim(trial.attempts)
    copy = resume_checkpoint.adopt(trial, attempt, 2)
    assert copy == attempt.folder / "checkpoints" / "resumed" / "step-00000004"
    attempt.end("interrupted")


def test_a_checkpoint_that_was_saved_and_is_gone_is_an_error(trial):
    shutil.rmtree(trial.attempts / "0001" / "checkpoints")
    attempt = claim(trial.attempts)
    with pytest.raises(UserError, match="its last was of step 4"):
        resume_checkpoint.adopt(trial, attempt, 2)
    (trial.attempts / "0001" / "checkpoints-aside").mkdir()
    assert resume_checkpoint.adopt(trial, attempt, 2) is None
    attempt.end("interrupted")


def test_checkpoints_that_were_cleared_once_the_adapter_stood_are_not_missed(trial):
    shutil.rmtree(trial.attempts / "0001" / "checkpoints")
    attempt = claim(trial.attempts)
    attempt.note(checkpoints_cleared=True)
    attempt.end("finished")
    attempt = claim(trial.attempts)
    assert resume_checkpoint.adopt(trial, attempt, 2) is None
    attempt.end("interrupted")


def test_a_checkpoint_named_by_hand_is_taken_and_must_be_this_trials(trial, tmp_path, monkeypatch):
    attempt = claim(trial.attempts)
    monkeypatch.setenv("RESUME_CHECKPOINT", str(save(tmp_path / "kept", 2, trial.trial_id)))
    assert resume_checkpoint.adopt(trial, attempt, 2).name == "step-00000002"
    monkeypatch.setenv("RESUME_CHECKPOINT", str(save(tmp_path / "foreign", 3, "ba9876543210")))
    with pytest.raises(UserError, match="saved for ba9876543210"):
        resume_checkpoint.adopt(trial, attempt, 2)
    # In a sweep the variable reaches every trial: whose it is not goes on as ever.
    monkeypatch.setenv("RESUME_CHECKPOINT", str(save(tmp_path / "trials" / "ba9876543210" / "checkpoints", 3, "ba9876543210")))
    assert resume_checkpoint.adopt(trial, attempt, 2).name == "step-00000004"
    for wrong in ("kept/step-00000002", str(tmp_path / "nowhere")):
        monkeypatch.setenv("RESUME_CHECKPOINT", wrong)
        with pytest.raises(UserError, match=r"RESUME_CHECKPOINT=.* is no folder: give the full path"):
            resume_checkpoint.adopt(trial, attempt, 2)
    attempt.end("interrupted")


def test_a_checkpoint_named_by_hand_is_begun_from_once(trial, tmp_path, monkeypatch, capsys):
    # The fixture's own attempt has saved step 4, which is not what the person wants.
    named = save(tmp_path / "kept", 2, trial.trial_id)
    monkeypatch.setenv("RESUME_CHECKPOINT", str(named))

    def start():
        attempt = claim(trial.attempts)
        step = resume_checkpoint.adopt(trial, attempt, 2).name
        attempt.end("interrupted")
        return attempt, step

    first, step = start()
    assert step == "step-00000002"
    assert first.record["resume_checkpoint"] == str(named)
    # It saved nothing newer: the name holds.
    assert start()[1] == "step-00000002"
    second, _ = start()
    save(second.folder / "checkpoints", 3, trial.trial_id)
    second.note(checkpoint_step=3)
    third, step = start()
    assert step == "step-00000003"
    assert "has saved step 3 since" in capsys.readouterr().out
    save(third.folder / "checkpoints", 6, trial.trial_id)
    third.note(checkpoint_step=6)
    assert start()[1] == "step-00000006"
