"""On a CPU neither batch nor company nor the engine that measures shows in a figure; an error that is one trial's ends it alone."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from persona_exp.evaluation import evaluate as measuring
from persona_exp.training.stop_signals import Interruption
from persona_exp.trial import run_sealed_trials as running
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.seal import seal
from persona_exp.trial.trial_pipeline import run_trial

pytestmark = pytest.mark.long

GIVEN = ("engine=fused", "lora.r=4", "optim.lr=3e-3", "train.max_steps=4", "evaluation.generated_items=4", "evaluation.max_new_tokens=12")
GIVEN = (*GIVEN, "evaluation.likelihood_items=6", "data.test_fraction=0.5")


def run(*trials):
    assert running.run([trial.path for trial in trials], Interruption()) == 0


def figures(trial):
    """Its one evaluation's id, with its metrics, and what each reply scored and what the model said."""
    (folder,) = trial.directory.evaluations.iterdir()
    lines = {name: (folder / f"{name}.jsonl").read_text().splitlines() for name in ("items", "generations")}
    written = json.loads((folder / "metrics.json").read_text())
    return folder.name, written, [json.loads(one) for one in lines["items"]], [json.loads(one) for one in lines["generations"]]


def alike(one, other):
    """To 1e-5, and in all words."""
    assert one[0] == other[0]
    assert other[1] == {**one[1], "metrics": {name: near(metric, "value") for name, metric in one[1]["metrics"].items()}}
    assert other[2] == [near(item, "nats", "nats_with_end") for item in one[2]]
    assert other[3] == one[3]


def near(numbers, *names):
    return {**numbers, **{name: pytest.approx(numbers[name], rel=1e-5) for name in names}}


def test_the_size_of_a_batch_does_not_show(tiny, tmp_path):
    trials = [
        seal(tiny(*GIVEN, f"runs={tmp_path / name}", f"evaluation.batch_size={size}"), command="") for name, size in (("a", 1), ("b", 24))
    ]
    for trial in trials:
        run(trial)
    assert trials[0].trial_id == trials[1].trial_id
    alike(*map(figures, trials))


def test_company_does_not_show_and_neither_does_the_engine(tiny, tmp_path, capsys):
    alone = seal(tiny(*GIVEN), command="")
    run(alone)
    expected = figures(alone)
    others = [("lora.r=8", "optim.lr=1e-3"), ("lora.r=16",), ("seed=3",)]
    together = [seal(tiny(*GIVEN, *one, f"runs={tmp_path / 'together'}"), command="") for one in (*others, ())]
    # How it trains in company is not in question here: it has the adapter of the trial alone.
    publish(alone, together[-1])
    run(*together)
    assert "likelihood (4 together)" in capsys.readouterr().err
    alike(expected, figures(together[-1]))

    sft = seal(tiny(*GIVEN, f"runs={tmp_path / 'sft'}"), command="")
    publish(alone, sft)
    config, facts = running.read_seal(sft.path)[1], running.read_seal_facts(sft.path)
    attempt = claim(sft.directory.attempts)
    run_trial(ClaimedTrial(config, sft.directory, facts["data_id"], attempt), Interruption())
    attempt.end("finished")
    alike(expected, figures(sft))


def publish(of, as_of):
    """Give a trial the adapter of another."""
    as_of.directory.adapter.mkdir(parents=True)
    for file in of.directory.adapter.iterdir():
        (as_of.directory.adapter / file.name).write_bytes(file.read_bytes())


def test_4_bits_count_the_same_whether_they_were_dequantised_or_not(tiny, tmp_path):
    given = (*GIVEN, "method=qlora")
    kept, packed = (seal(tiny(*given, f"model.cache_dequantized={way}", f"runs={tmp_path / way}"), command="") for way in ("true", "false"))
    run(kept)
    publish(kept, packed)
    run(packed)
    alike(figures(kept), figures(packed))


def test_scores_that_are_not_finite_fail_one_trial_in_one_sentence(tiny, capsys):
    sealed = [seal(tiny(*GIVEN, f"seed={seed}"), command="") for seed in (1, 2, 3)]
    run(*sealed)
    for trial in sealed:
        (folder,) = trial.directory.evaluations.iterdir()
        folder.rename(trial.directory.path / "before")
    weights = sealed[1].directory.adapter / "adapter_model.safetensors"
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(weights).items()}, weights)
    assert running.run([trial.path for trial in sealed], Interruption()) == 1
    recorded = [json.loads((trial.directory.attempts / "0002.json").read_text()) for trial in sealed]
    assert [one["status"] for one in recorded] == ["finished", "failed", "finished"]
    assert recorded[1]["message"].startswith("6 of 6 replies have a likelihood that is not finite")
    assert "in two halves" not in capsys.readouterr().out
    assert not list(sealed[1].directory.evaluations.iterdir())
    for trial in (sealed[0], sealed[2]):
        before = json.loads((trial.directory.path / "before" / "metrics.json").read_text())
        after = figures(trial)[1]
        assert after["metrics"] == {name: near(metric, "value") for name, metric in before["metrics"].items()}


def test_the_base_model_trains_on_as_it_was(tiny, monkeypatch):
    """The second takes the place of the first, which is measured in float32 before."""
    sealed = [seal(tiny(*GIVEN, "bundle.size=1", f"seed={seed}"), command="") for seed in (1, 2)]
    dtypes = []
    evaluate = measuring.evaluate

    def watched(evaluated, *given):
        dtypes.append({one.dtype for one in evaluated.model.parameters()})
        found = evaluate(evaluated, *given)
        dtypes.append({one.dtype for one in evaluated.model.parameters()})
        return found

    monkeypatch.setattr(measuring, "evaluate", watched)
    run(*sealed)
    assert len(dtypes) == 4
    assert dtypes == [{torch.bfloat16}] * 4
