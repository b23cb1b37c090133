"""Replies of several trials side by side: only what was measured alike."""

import json
from pathlib import Path

import pytest

from persona_exp.config.trial_identity import trial_id
from persona_exp.damaged_records import Damaged
from persona_exp.trial.comparability import base_trial_id
from persona_exp.trial.generated_replies import compare_replies, evenly_spaced, read_replies_of
from persona_exp.trial.recorded_evaluations import read_evaluations
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.recorded_sweep import SweepTrial

OLDER = Path(__file__).parents[1] / "golden" / "older_runs" / "v3"
SETTINGS = {"likelihood_items": 2, "generated_items": 2, "max_new_tokens": 8, "precision": "float32", "EVALUATION_VERSION": 2}
PROMPT = [{"role": "system", "content": "You are Pell."}, {"role": "user", "content": "Who goes there?"}]


def identity(method: str, seed: int = 0, model: str = "m") -> dict:
    made = {"model": {"digest": model}, "data_id": "da7a" * 3, "method": {"name": method, "quantisation": "none"}}
    return made if method == "none" else {**made, "seed": seed, "training_version": 3}


def sealed(runs: Path, what: dict) -> str:
    folder = runs / "trials" / trial_id(what)
    folder.mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps({"identity": what, "data_id": what["data_id"]}))
    return folder.name


def measured(runs: Path, trial: str, eval_id: str, condition: str = "adapter", says: str = "Aye.", **more) -> None:
    folder = runs / "trials" / trial / "evaluations" / eval_id
    folder.mkdir(parents=True)
    examples = more.pop("examples", ("a", "b"))
    split, loops = more.pop("split", "test"), more.pop("loops", False)
    content = {"eval_id": eval_id, "condition": condition, "split": split, "settings": {**SETTINGS, **more}, "metrics": {}}
    content["counts"] = {"spoken_items": len(examples)}
    record = {"book": "one", "prompt": PROMPT, "reference": "A friend.", "generated": says, "finish_reason": "stop", "loops": loops}
    (folder / "generations.jsonl").write_text("".join(json.dumps({"example": one, **record}) + "\n" for one in examples))
    (folder / "metrics.json").write_text(json.dumps(content))


def adapter(trial: str, eval_id: str, **overrides) -> SweepTrial:
    return SweepTrial(trial, "adapter", overrides, {"adapter": eval_id})


def test_the_base_of_a_trial_is_found_by_its_identity(tmp_path):
    trial, base, other = (sealed(tmp_path, one) for one in (identity("lora"), identity("none"), identity("none", model="n")))
    measured(tmp_path, trial, "a" * 12)
    measured(tmp_path, base, "b" * 12, "base+system", says="I am a model.")
    measured(tmp_path, base, "c" * 12, "base", says="No.")
    measured(tmp_path, other, "d" * 12, "base+system", says="Another.")
    compared = compare_replies(tmp_path, [SweepTrial(trial, "adapter", {}, {})])
    assert compared.left_out == []
    (one,) = compared.comparisons
    assert [(column.title, column.trial_id) for column in one.columns] == [("base model + system prompt", base), ("adapter", trial)]
    assert [column.replies["a"].text for column in one.columns] == ["I am a model.", "Aye."]
    assert one.system_prompt == "You are Pell."
    assert one.turns("a") == PROMPT[1:]


def test_what_another_protocol_measured_stands_apart(tmp_path):
    trial, again, base = (sealed(tmp_path, one) for one in (identity("lora"), identity("lora", seed=1), identity("none")))
    measured(tmp_path, trial, "a" * 12)
    measured(tmp_path, again, "b" * 12, max_new_tokens=64)
    measured(tmp_path, base, "c" * 12, "base+system", max_new_tokens=64)
    compared = compare_replies(tmp_path, [adapter(trial, "a" * 12, seed=0), adapter(again, "b" * 12, seed=1)])
    assert [[column.title for column in one.columns] for one in compared.comparisons] == [
        ["seed=0"],
        ["base model + system prompt", "seed=1"],
    ]
    assert [one.apart for one in compared.comparisons] == [{"max_new_tokens": 8}, {"max_new_tokens": 64}]
    assert compared.left_out == [f"The base model of seed=0 (trial {trial}) has no replies that were made in the same way."]


def test_a_sweep_shows_what_it_asked_for_alone(tmp_path):
    trial = sealed(tmp_path, identity("lora"))
    measured(tmp_path, trial, "a" * 12)
    measured(tmp_path, trial, "b" * 12, split="validation")
    (one,) = compare_replies(tmp_path, [adapter(trial, "b" * 12)]).comparisons
    assert [column.evaluation.split for column in one.columns] == ["validation"]


def test_prompts_that_one_trial_did_not_answer_are_counted(tmp_path):
    trials = [sealed(tmp_path, identity("lora", seed=seed)) for seed in (0, 1)]
    measured(tmp_path, trials[0], "a" * 12, examples=("a", "b", "c"), loops=True)
    measured(tmp_path, trials[1], "b" * 12, examples=("c", "b"), loops=None)
    (one,) = compare_replies(tmp_path, [adapter(trials[0], "a" * 12), adapter(trials[1], "b" * 12)]).comparisons
    assert (one.examples, one.not_common) == (["b", "c"], 1)
    # What is not recorded is not none.
    assert [column.looping for column in one.columns] == [3, None]


def test_trials_without_replies_are_named(tmp_path):
    trial, unmeasured = sealed(tmp_path, identity("lora")), sealed(tmp_path, identity("lora", seed=1))
    measured(tmp_path, trial, "a" * 12, examples=())
    compared = compare_replies(tmp_path, [adapter(trial, "a" * 12), adapter(unmeasured, "b" * 12)])
    assert compared.comparisons == []
    assert compared.left_out == [
        f"adapter (trial {trial}) has no replies of the test split: it was measured without any.",
        f"adapter (trial {unmeasured}) has not been measured yet.",
    ]


@pytest.mark.parametrize("damage", ['{"example": "a"}\n', "[1]\n", '{"example": "b", "prompt": 3, "reference": "", "generated": ""}\n'])
def test_replies_that_are_not_whole_are_refused(tmp_path, damage):
    trial = sealed(tmp_path, identity("lora"))
    measured(tmp_path, trial, "a" * 12)
    path = tmp_path / "trials" / trial / "evaluations" / ("a" * 12) / "generations.jsonl"
    whole = path.read_text()
    (evaluation,) = read_evaluations(tmp_path, trial)
    assert len(read_replies_of(evaluation)) == 2
    for text in (damage, whole[: whole.index("\n") + 9]):
        path.write_text(text)
        with pytest.raises(Damaged, match="run the sweep's command again"):
            read_replies_of(evaluation)
        assert compare_replies(tmp_path, [adapter(trial, "a" * 12)]).comparisons == []


def test_evenly_spaced():
    assert evenly_spaced(list("abcdefghij"), 3) == ["a", "d", "g"]
    assert evenly_spaced(list("ab"), 3) == ["a", "b"]


def test_bases_of_earlier_runs():
    """The identity of a base model is a part of that of its adapters, also of those that earlier versions sealed."""
    (one,) = compare_replies(OLDER, [SweepTrial("6783f48515d3", "adapter", {}, {})]).comparisons
    assert [column.trial_id for column in one.columns] == ["20cfdd113b55", "6783f48515d3"]
    assert base_trial_id(read_provenance(OLDER, "20cfdd113b55")["identity"]) == "20cfdd113b55"
