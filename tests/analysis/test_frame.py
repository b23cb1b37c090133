import json

import pytest

from analysis.frame import changes_text, load, number, shown
from persona_exp.errors import UserError


def open_sweep(folder, **wanted):
    return load(folder.parent.parent, folder.name, wanted)


def test_one_row_for_each_evaluation_owed(ranks):
    results = open_sweep(ranks())
    frame = results.frame
    assert list(frame["condition"]) == ["base", "base+system", "adapter", "adapter", "adapter"]
    assert list(frame["lora.r"][2:]) == [32, 8, 16]
    assert list(frame["status"]) == ["evaluated", "evaluated", "failed", "evaluated", "evaluated"]
    assert frame.loc[2, "perplexity"] != frame.loc[2, "perplexity"]
    assert sorted(results.items) == [0, 1, 3, 4]
    assert len(results.items[0]) == 40


def test_missing_interrupted_sealed_and_unevaluated_trials_are_there(runs):
    gone = {"trial_id": "feedfeedfeed", "role": "adapter", "overrides": {"lora.r": 1}}
    folder = runs.sweep(
        ["lora.r"],
        [
            runs.base(),
            gone,
            runs.adapter({"lora.r": 2}, status="interrupted"),
            runs.adapter({"lora.r": 4}, status=None),
            runs.adapter({"lora.r": 8}, evaluated=False),
        ],
    )
    assert list(open_sweep(folder).frame["status"][2:]) == ["missing", "interrupted", "sealed", "not evaluated"]


def test_published_evaluation_counts_although_the_last_word_is_missing(runs):
    folder = runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8}, status="interrupted", evaluated=True)])
    assert open_sweep(folder).frame["status"].iloc[-1] == "evaluated"


def test_other_split_is_refused(runs):
    folder = runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8}, split="validation")])
    with pytest.raises(UserError, match="split is test or validation") as caught:
        open_sweep(folder)
    assert "\n" not in str(caught.value)


def test_other_settings_are_refused_but_not_batch_size(runs):
    folder = runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8}, batch_size=2)])
    assert len(open_sweep(folder).items) == 3
    folder = runs.sweep(["lora.r"], [runs.base(model="b"), runs.adapter({"lora.r": 9}, max_new_tokens=8)], name="other")
    with pytest.raises(UserError, match="max_new_tokens is 64 or 8"):
        open_sweep(folder)


def test_other_data_is_refused_unless_data_is_swept(runs):
    trials = [runs.base(), runs.base(data="feedfeedfeed"), runs.adapter({"data.min_reply_words": 4}),
              runs.adapter({"data.min_reply_words": 9}, data="feedfeedfeed")]  # fmt: skip
    with pytest.raises(UserError, match="different data"):
        open_sweep(runs.sweep(["lora.r"], trials, name="not-swept"))
    assert len(open_sweep(runs.sweep(["data.min_reply_words"], trials, name="swept")).items) == 6


def test_evaluated_twice_needs_a_choice(runs):
    trials = [runs.base(), runs.adapter({"lora.r": 8})]
    for trial, condition in ((0, "base"), (0, "base+system"), (1, "adapter")):
        runs.evaluation(trials[trial]["trial_id"], condition, runs.items(level=4, count=30), split="validation")
    folder = runs.sweep(["lora.r"], trials)
    with pytest.raises(UserError, match="add --evaluation"):
        open_sweep(folder)
    assert set(open_sweep(folder, split="validation").frame["split"]) == {"validation"}
    assert set(open_sweep(folder, likelihood_items="40").frame["split"]) == {"test"}
    said = runs.sweep(["lora.r"], trials, name="said", evaluation={"split": "test", "likelihood_items": 40, "batch_size": 1})
    assert set(open_sweep(said).frame["split"]) == {"test"}


def test_more_asked_than_there_are(runs):
    capped = {"available_items": 40, "generated_items": 24}
    trials = [runs.base(**capped), runs.adapter({"lora.r": 8}, **capped)]
    assert len(open_sweep(runs.sweep(["lora.r"], trials, evaluation={"likelihood_items": 100})).items) == 3


def test_choice_of_an_unknown_setting_is_refused(ranks):
    with pytest.raises(UserError, match="no_such"):
        open_sweep(ranks(), no_such="1")


def test_items_that_contradict_the_metrics_are_refused(runs):
    trial = runs.adapter({"lora.r": 8})
    folder = runs.sweep(["lora.r"], [runs.base(), trial])
    (path,) = (runs.path / "trials" / trial["trial_id"] / "evaluations").glob("*/items.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="its items give"):
        open_sweep(folder)
    path.write_text("".join([*lines, json.dumps({**json.loads(lines[0])}) + "\n"]))
    with pytest.raises(UserError, match="twice"):
        open_sweep(folder)


def test_other_hardware_is_noted(runs):
    trial = runs.adapter({"lora.r": 8})
    folder = runs.sweep(["lora.r"], [runs.base(), trial])
    assert open_sweep(folder).notes == []
    path = runs.path / "trials" / trial["trial_id"] / "attempts" / "0001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hardware": "gpu"}))
    assert open_sweep(folder).notes == ["Trials ran with 2 different hardware; each trial's attempts record them."]


def test_no_sweep(runs):
    with pytest.raises(UserError, match="There is no sweep"):
        load(runs.path, "nothing", {})


@pytest.mark.parametrize(("value", "wanted"), [(8, 8.0), ("1e-4", 1e-4), (True, None), (None, None), ("cosine", None), ([1], None)])
def test_number(value, wanted):
    assert number(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"), [(1e-4, "0.0001"), (1e-5, "1e-05"), (True, "true"), (None, "null"), (["a", 2], "[a, 2]"), ({"a": 1.5}, "{a: 1.5}")]
)
def test_shown(value, wanted):
    assert shown(value) == wanted


@pytest.mark.parametrize(
    ("key", "wanted"), [("data.mix.dialogue", False), ("data.size", False), ("data.split", True), ("corpus", True), ("lora.r", False)]
)
def test_changes_text(key, wanted):
    assert changes_text([key]) is wanted
