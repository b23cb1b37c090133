"""Trials trained together: each published as if alone, in the same bits however often the bundle was killed, and ended for itself."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from persona_exp.atomic_files import file_digest
from persona_exp.evaluation import evaluate as measuring
from persona_exp.evaluation.evaluate import EvaluatedModel, evaluate
from persona_exp.evaluation.evaluation_target import EvaluationTarget
from persona_exp.modeling.lora_adapter import load_adapter
from persona_exp.modeling.tokenizer_loading import load_tokenizer
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import run_sealed_trials as running
from persona_exp.trial.evaluate_trial import evaluation_settings, owed_evaluations
from persona_exp.trial.seal import seal
from persona_exp.trial.seal_facts import all_published
from persona_exp.trial.trial_base_model import fetch_model, load_base
from persona_exp.trial.trial_dataset import evaluation_examples

pytestmark = pytest.mark.long

FUSED = ("engine=fused", "train.checkpoint_steps=2", "evaluation.generated_items=2", "evaluation.max_new_tokens=4")
# Ranks, rates, batches, dropouts and lengths of training that differ.
TRIALS = (
    ("lora.r=4", "train.max_steps=9", "lora.dropout=0.1"),
    ("lora.r=8", "optim.lr=3e-3", "train.max_steps=5"),
    ("lora.r=16", "optim.effective_batch_size=4", "train.max_steps=9", "lora.dropout=0.3"),
)


@pytest.fixture
def sealed(tiny):
    return [seal(tiny(*FUSED, *trial), command="") for trial in TRIALS]


# All at once; and two, so that the third takes the place of the second.
sizes = pytest.mark.parametrize("size", ["bundle.size=8", "bundle.size=2"])


def record(trial, number=1):
    return json.loads((trial.directory.attempts / f"{number:04}.json").read_text())


def adapters(sealed):
    return [file_digest(trial.directory.adapter / "adapter_model.safetensors") for trial in sealed]


def lines(trial):
    logs = sorted(trial.directory.attempts.glob("*/train.jsonl"))
    return {line["step"]: line["loss"] for log in logs for line in map(json.loads, log.read_text().splitlines())}


def gone_on_until(last, kill, sealed, child):
    """Kill a bundle when its first trial is at step `last`."""
    process = child(*(trial.path for trial in sealed))
    deadline = time.monotonic() + 300
    while max(lines(sealed[0]), default=0) < last:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(kill)
    process.communicate(timeout=300)
    assert process.returncode == (-9 if kill == signal.SIGKILL else 75)


def test_each_is_published_as_if_alone(sealed, child):
    process = child("--log", *(trial.path for trial in sealed))
    process.communicate(timeout=300)
    assert process.returncode == 0
    together = [trial.trial_id for trial in sealed]
    for trial, steps in zip(sealed, (9, 5, 9), strict=True):
        assert all_published(trial.path)
        found = record(trial)
        assert (found["status"], found["training"]["steps"]) == ("finished", steps)
        assert found["together_with"] == [one for one in together if one != trial.trial_id]
        assert sorted(lines(trial)) == list(range(1, steps + 1))
        assert "3 trials are trained together" in (trial.directory.attempts / "0001" / "output.log").read_text()
        assert not (trial.directory.attempts / "0001" / "checkpoints").exists()


def test_neither_peft_nor_trl_is_imported(sealed):
    """They cost a second each, and the fused engine needs neither."""
    code = "import sys; from persona_exp.trial.__main__ import main; ended = main(); print(ended, {'peft', 'trl'} & set(sys.modules))"
    command = [sys.executable, "-c", code, str(sealed[0].path)]
    copied = sealed[0].directory.runs / "code" / running.read_seal_facts(sealed[0].path)["code_folder"]
    done = subprocess.run(command, cwd=copied, capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.splitlines()[-1] == "0 set()", done.stdout + done.stderr
    assert all_published(sealed[0].path)
    named = json.loads((sealed[0].directory.adapter / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named.startswith("persona-exp model=tiny (sha256:")


def test_what_is_published_is_what_peft_computes(sealed, child, tmp_path):
    child(*(trial.path for trial in sealed)).communicate(timeout=300)
    folder = fetch_model(running.read_seal(sealed[0].path)[1])
    for trial in sealed:
        config, data_id = running.read_seal(trial.path)[1], running.read_seal_facts(trial.path)["data_id"]
        adapted = load_adapter(load_base(config, folder), trial.directory.adapter)
        (owed,) = owed_evaluations(config, trial.trial_id, data_id)
        examples = [vars(one) for one in evaluation_examples(config, data_id)]
        (tmp_path / trial.trial_id).mkdir()
        subject = EvaluationTarget(owed.eval_id, trial.trial_id, owed.condition, examples, tmp_path / trial.trial_id)
        (theirs,) = evaluate(
            EvaluatedModel(adapted, load_tokenizer(folder, config.model.chat_template)), [subject], evaluation_settings(config)
        )
        assert not isinstance(theirs, Exception)
        ours = json.loads((trial.directory.evaluations / owed.eval_id / "metrics.json").read_text())["metrics"]
        assert ours == {name: {**one, "value": pytest.approx(one["value"], rel=1e-5)} for name, one in theirs.items()}


@sizes
def test_killed_and_gone_on_with_they_end_in_the_same_bits(size, child, tiny, tmp_path_factory):
    sealed = [seal(tiny(*FUSED, *trial, size), command="") for trial in TRIALS]
    child(*(trial.path for trial in sealed)).communicate(timeout=300)
    whole = adapters(sealed)
    folder = tmp_path_factory.mktemp("killed")
    again = [seal(tiny(*FUSED, *trial, size, f"runs={folder}"), command="") for trial in TRIALS]
    for last, kill in ((3, signal.SIGKILL), (7, signal.SIGTERM)):
        gone_on_until(last, kill, again, child)
    process = child(*(trial.path for trial in again))
    process.communicate(timeout=300)
    assert process.returncode == 0
    assert adapters(again) == whole


def test_the_next_takes_the_place_of_who_is_done(tiny):
    sealed = [seal(tiny(*FUSED, *trial, "bundle.size=2"), command="") for trial in TRIALS]
    assert running.run([trial.path for trial in sealed], Interruption()) == 0
    first, second, third = (trial.trial_id for trial in sealed)
    assert [record(trial)["together_with"] for trial in sealed] == [[second, third], [first], [first]]
    assert [record(trial)["training"]["steps"] for trial in sealed] == [9, 5, 9]
    assert record(sealed[0])["ended"] <= record(sealed[2])["ended"]


# The first and the third learn nothing; the second has the whole way to go.
STOPPING = ("data.validation_fraction=0.3", "train.eval_steps=2", "train.early_stopping_patience=2", "bundle.size=2", "train.max_steps=20")
LEARNING = (
    ("lora.r=4", "optim.lr=1e-30", "lora.dropout=0.1"),
    ("lora.r=8", "optim.lr=1e-4"),
    ("lora.r=8", "optim.lr=1e-30", "seed=3"),
)


def validations(trial):
    logs = sorted(trial.directory.attempts.glob("*/validation.jsonl"))
    return {line["step"]: line["eval_loss"] for log in logs for line in map(json.loads, log.read_text().splitlines())}


def test_who_no_longer_gets_better_stops_and_publishes_its_best(child, tiny, tmp_path_factory):
    sealed = [seal(tiny(*FUSED, *STOPPING, *trial), command="") for trial in LEARNING]
    child("--log", *(trial.path for trial in sealed)).communicate(timeout=300)
    for trial in sealed:
        recorded, seen, steps = record(trial)["validation"], validations(trial), record(trial)["training"]["steps"]
        best = min(seen, key=lambda step: (seen[step], step))
        assert recorded == {"best_step": best, "best_eval_loss": seen[best], "stopped_early": steps < 20}
        assert (steps, max(seen)) == ((best + 4, best + 4) if steps < 20 else (20, 20))
    assert [record(trial)["validation"]["stopped_early"] for trial in sealed] == [True, False, True]
    # The slot was free for the third while the second went on.
    assert record(sealed[2])["together_with"] == [sealed[1].trial_id]
    folder = tmp_path_factory.mktemp("killed")
    again = [seal(tiny(*FUSED, *STOPPING, *trial, f"runs={folder}"), command="") for trial in LEARNING]
    for last, kill in ((3, signal.SIGKILL), (6, signal.SIGTERM)):
        gone_on_until(last, kill, again, child)
    child(*(trial.path for trial in again)).communicate(timeout=300)
    assert adapters(again) == adapters(sealed)
    assert [validations(trial) for trial in again] == [validations(trial) for trial in sealed]


def test_a_trial_without_a_number_at_its_first_validation_fails_alone(tiny, child):
    trials = (("optim.lr=1e25", "train.max_steps=1", "optim.warmup_ratio=0"), ("train.max_steps=3",))
    validated = ("data.validation_fraction=0.3", "train.eval_steps=5")
    sealed = [seal(tiny(*FUSED, *validated, *trial), command="") for trial in trials]
    child(*(trial.path for trial in sealed)).communicate(timeout=300)
    assert [(record(trial)["status"], record(trial)["cause"]) for trial in sealed] == [("failed", "FloatingPointError"), ("finished", None)]
    assert validations(sealed[0]) == {1: None}


def test_the_base_model_is_measured_beside_its_adapters(tiny, child):
    trials = (("method=none",), *TRIALS[:2])
    sealed = [seal(tiny(*FUSED, *trial), command="") for trial in trials]
    child(*(trial.path for trial in sealed)).communicate(timeout=300)
    assert [record(trial)["status"] for trial in sealed] == ["finished"] * 3
    output = (sealed[0].directory.attempts / "0001" / "output.log").read_text()
    assert "2 trials are trained together" in output
    assert "likelihood (4 together)" in output


def test_what_cannot_be_measured_fails_alone(sealed, monkeypatch):
    write = measuring.write_evaluation

    def fails(subject, *given):
        if subject.trial_id == sealed[1].trial_id:
            raise ValueError("no such number")
        return write(subject, *given)

    monkeypatch.setattr(measuring, "write_evaluation", fails)
    assert running.run([trial.path for trial in sealed], Interruption()) == 1
    assert [record(trial)["status"] for trial in sealed] == ["finished", "failed", "finished"]
    assert record(sealed[1])["message"] == "no such number"


def test_a_trial_that_fails_takes_no_other_with_it(tiny):
    trials = (*TRIALS[:2], ("lora.target_modules=[no_such_proj]", "train.max_steps=2"))
    sealed = [seal(tiny(*FUSED, *trial), command="") for trial in trials]
    assert running.run([trial.path for trial in sealed], Interruption()) == 1
    assert [record(trial)["status"] for trial in sealed] == ["finished", "finished", "failed"]
    assert "no_such_proj" in record(sealed[2])["message"]


def test_a_whole_bundle_of_nothing_to_do_does_nothing(sealed, child):
    child(*(trial.path for trial in sealed)).communicate(timeout=300)
    before = adapters(sealed)
    assert running.run([trial.path for trial in sealed], Interruption()) == 0
    assert adapters(sealed) == before
    assert all(not (trial.directory.attempts / "0002.json").exists() for trial in sealed)
    assert all(torch.isfinite(tensor).all() for tensor in load_file(sealed[0].directory.adapter / "adapter_model.safetensors").values())


def test_after_a_lack_of_memory_fewer_travel_together_in_shorter_rows(sealed):
    assert running.run([trial.path for trial in sealed], Interruption(), together=1, row_tokens=64) == 0
    for trial in sealed:
        found = record(trial)
        assert (found["together"], found["row_tokens"], found["training"]["bundle"]["trials"]) == (1, 64, 1)


def test_a_trial_says_what_its_training_took(sealed):
    assert running.run([trial.path for trial in sealed], Interruption()) == 0
    records = [record(trial) for trial in sealed]
    for found, trial in zip(records, sealed, strict=True):
        training = found["training"]
        steps = [json.loads(line) for line in (trial.directory.attempts / "0001" / "train.jsonl").read_text().splitlines()]
        assert training["tokens"] == sum(one["tokens"] for one in steps)
        assert training["supervised_tokens"] == sum(one["supervised_tokens"] for one in steps)
        assert training["seconds"] == pytest.approx(steps[-1]["seconds"], abs=0.01)
        assert training["bundle"]["trials"] == 3
        assert found["own_seconds"] >= training["seconds"] - 0.1


def test_a_person_cancels_one_of_them(tiny, child):
    sealed = [seal(tiny(*FUSED, f"lora.r={rank}", "train.max_steps=40", "bundle.size=2"), command="") for rank in (4, 8, 16)]
    process = child(*(trial.path for trial in sealed))
    deadline = time.monotonic() + 300
    while max(lines(sealed[1]), default=0) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # The one that rides, and the one in line.
    for trial in sealed[1:]:
        trial.directory.cancelled.write_text("{}")
    process.communicate(timeout=300)
    assert process.returncode == 75
    assert (record(sealed[0])["status"], record(sealed[0])["training"]["steps"]) == ("finished", 40)
    assert (record(sealed[1])["status"], record(sealed[1])["cause"]) == ("interrupted", "cancelled")
    assert not (sealed[2].directory.attempts / "0001.json").exists()
