"""Trials trained together: each published as if alone, in the same bits however often the bundle was killed, and ended for itself."""

import json
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from persona_exp.evaluation.evaluate import evaluate
from persona_exp.evaluation.subject import Subject
from persona_exp.files import file_digest
from persona_exp.modeling.adapter import load_adapter
from persona_exp.modeling.base import load_tokenizer
from persona_exp.training.interruption import Interruption
from persona_exp.trial import run as running
from persona_exp.trial import stages
from persona_exp.trial.data import evaluation_examples
from persona_exp.trial.seal import finished, seal

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


def record(trial, number=1):
    return json.loads((trial.directory.attempts / f"{number:04}.json").read_text())


def adapters(sealed):
    return [file_digest(trial.directory.adapter / "adapter_model.safetensors") for trial in sealed]


def lines(trial):
    logs = sorted(trial.directory.attempts.glob("*/train.jsonl"))
    return {line["step"]: line["loss"] for log in logs for line in map(json.loads, log.read_text().splitlines())}


def test_each_is_published_as_if_alone(sealed, child):
    process = child("--log", *(trial.path for trial in sealed))
    process.communicate(timeout=200)
    assert process.returncode == 0
    together = [trial.trial_id for trial in sealed]
    for trial, steps in zip(sealed, (9, 5, 9), strict=True):
        assert finished(trial.path)
        found = record(trial)
        assert (found["status"], found["training"]["steps"]) == ("finished", steps)
        assert found["together_with"] == [one for one in together if one != trial.trial_id]
        assert sorted(lines(trial)) == list(range(1, steps + 1))
        assert "3 trials are trained together" in (trial.directory.attempts / "0001" / "output.log").read_text()
        assert not (trial.directory.attempts / "0001" / "checkpoints").exists()


def test_what_is_published_is_what_peft_computes(sealed, child, tmp_path):
    child(*(trial.path for trial in sealed)).communicate(timeout=200)
    folder = stages.fetch_model(running.read_seal(sealed[0].path)[1])
    for trial in sealed:
        config, data_id = running.read_seal(trial.path)[1], running.read_seal_facts(trial.path)["data_id"]
        adapted = load_adapter(stages.load_base(config, folder), trial.directory.adapter)
        (owed,) = stages.owed(config, trial.trial_id, data_id)
        examples = [vars(one) for one in evaluation_examples(config, data_id)]
        (tmp_path / trial.trial_id).mkdir()
        subject = Subject(owed.eval_id, trial.trial_id, owed.condition, examples, tmp_path / trial.trial_id)
        (theirs,) = evaluate(adapted, load_tokenizer(folder, config.model.chat_template), [subject], stages.evaluation_settings(config))
        ours = json.loads((trial.directory.evaluations / owed.eval_id / "metrics.json").read_text())["metrics"]
        assert ours["perplexity"]["value"] == pytest.approx(theirs["perplexity"]["value"], rel=1e-2)


def test_killed_and_gone_on_with_they_end_in_the_same_bits(sealed, child, tiny, tmp_path_factory):
    child(*(trial.path for trial in sealed)).communicate(timeout=200)
    whole = adapters(sealed)
    folder = tmp_path_factory.mktemp("killed")
    again = [seal(tiny(*FUSED, *trial, f"runs={folder}"), command="") for trial in TRIALS]
    for number, kill in enumerate((signal.SIGKILL, signal.SIGTERM), start=1):
        process = child(*(trial.path for trial in again))
        last = 3 * number
        deadline = time.monotonic() + 120
        while max(lines(again[0]), default=0) < last:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(kill)
        process.communicate(timeout=60)
        assert process.returncode == (-9 if kill == signal.SIGKILL else 75)
    process = child(*(trial.path for trial in again))
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert adapters(again) == whole


def test_a_trial_that_fails_takes_no_other_with_it(tiny):
    trials = (*TRIALS[:2], ("lora.target_modules=[no_such_proj]", "train.max_steps=2"))
    sealed = [seal(tiny(*FUSED, *trial), command="") for trial in trials]
    assert running.run([trial.path for trial in sealed], Interruption()) == 1
    assert [record(trial)["status"] for trial in sealed] == ["finished", "finished", "failed"]
    assert "no_such_proj" in record(sealed[2])["message"]


def test_a_whole_bundle_of_nothing_to_do_does_nothing(sealed, child):
    child(*(trial.path for trial in sealed)).communicate(timeout=200)
    before = adapters(sealed)
    assert running.run([trial.path for trial in sealed], Interruption()) == 0
    assert adapters(sealed) == before
    assert all(not (trial.directory.attempts / "0002.json").exists() for trial in sealed)
    assert all(torch.isfinite(tensor).all() for tensor in load_file(sealed[0].directory.adapter / "adapter_model.safetensors").values())
