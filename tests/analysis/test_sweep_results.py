import json

import pytest

from analysis.sweep_results import read_results
from persona_exp.errors import UserError
from tests.analysis.conftest import read


def open_sweep(folder):
    return read(folder)[0]


def test_one_outcome_for_each_evaluation_owed(ranks):
    found = open_sweep(ranks()).outcomes
    assert [one.condition for one in found] == ["base", "base+system", "adapter", "adapter", "adapter"]
    assert [one.overrides for one in found[2:]] == [{"lora.r": 32}, {"lora.r": 8}, {"lora.r": 16}]
    assert [one.status for one in found] == ["evaluated", "evaluated", "failed", "evaluated", "evaluated"]
    assert [len(one.replies.nats) for one in found] == [40, 40, 0, 40, 40]
    assert (found[2].cause, found[2].metrics, found[2].settings) == ("out_of_memory", {}, {})
    assert [one.seed for one in found] == [None, None, 0, 0, 0]


def test_missing_interrupted_sealed_and_unevaluated_trials_are_there(runs):
    gone = {"trial_id": "feedfeedfeed", "role": "adapter", "overrides": {"lora.r": 1}, "evaluations": {"adapter": "beefbeefbeef"}}
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
    assert [one.status for one in open_sweep(folder).outcomes[2:]] == ["missing", "interrupted", "sealed", "not evaluated"]


def test_cancelled_and_held_trials_say_so_with_their_cause(runs):
    sealed, stopped, done = (
        runs.adapter({"lora.r": 1}, status=None),
        runs.adapter({"lora.r": 2}, status="interrupted"),
        runs.adapter({"lora.r": 4}),
    )
    gone = runs.adapter({"lora.r": 8}, status="interrupted", cause="signal")
    (runs.path / "trials" / gone["trial_id"] / "cancel.json").write_text(json.dumps({"at": "2026-01-01T00:00:00+00:00", "by": "ada"}))
    folder = runs.sweep(["lora.r"], [sealed, stopped, gone, done])
    found = open_sweep(folder).outcomes
    assert [one.reason for one in found] == ["sealed", "interrupted", "cancelled", "evaluated"]
    assert "persona-exp why" in found[0].message
    assert "ada" in found[2].message
    held = {"cause": "KeyError", "message": "3 trials failed of the same cause", "trials": [], "at": "2026-01-01T00:00:00+00:00"}
    (folder / "hold.json").write_text(json.dumps(held))
    found = open_sweep(folder).outcomes
    assert [one.reason for one in found] == ["held (KeyError)", "held (KeyError)", "cancelled", "evaluated"]
    assert "3 trials failed" in found[0].message


def test_only_what_the_sweep_asked_for_is_read(runs):
    trials = [runs.base(), runs.adapter({"lora.r": 8})]
    runs.evaluation(trials[1]["trial_id"], "adapter", runs.items(level=1), split="validation")
    results = open_sweep(runs.sweep(["lora.r"], trials))
    assert [one.settings["split"] for one in results.outcomes] == ["test"] * 3


def test_published_evaluation_counts_although_the_last_word_is_missing(runs):
    folder = runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8}, status="interrupted", evaluated=True)])
    assert open_sweep(folder).outcomes[-1].evaluated


def test_another_split_is_refused(runs):
    folder = runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8}, split="validation")])
    with pytest.raises(UserError, match="split is test or validation") as caught:
        open_sweep(folder)
    assert "\n" not in str(caught.value)


def test_other_settings_are_refused_but_not_batch_size(runs):
    folder = runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8}, batch_size=2)])
    assert open_sweep(folder).settings["max_new_tokens"] == 64
    folder = runs.sweep(["lora.r"], [runs.base(model="b"), runs.adapter({"lora.r": 9}, max_new_tokens=8)], name="other")
    with pytest.raises(UserError, match="max_new_tokens is 64 or 8"):
        open_sweep(folder)


@pytest.mark.parametrize("key", ["evaluation.max_new_tokens", "evaluation"])
def test_swept_settings_may_differ(runs, key):
    trials = [
        entry for length in (8, 16) for entry in (runs.base(max_new_tokens=length), runs.adapter({key: length}, max_new_tokens=length))
    ]
    settings = open_sweep(runs.sweep([key], trials)).settings
    assert "max_new_tokens" not in settings
    assert settings["generated_items"] == 24


def test_other_data_are_refused_unless_they_are_swept(runs):
    trials = [
        runs.base(),
        runs.base(data="feedfeedfeed"),
        runs.adapter({"data.min_reply_words": 4}),
        runs.adapter({"data.min_reply_words": 9}, data="feedfeedfeed"),
    ]
    with pytest.raises(UserError, match="different data"):
        open_sweep(runs.sweep(["lora.r"], trials, name="not-swept"))
    for key in ("data.min_reply_words", "corpus", "persona"):
        assert len(open_sweep(runs.sweep([key], trials, name=key)).outcomes) == 6


def test_other_hardware_is_noted(runs):
    trial = runs.adapter({"lora.r": 8})
    folder = runs.sweep(["lora.r"], [runs.base(), trial])
    assert open_sweep(folder).notes == []
    path = runs.path / "trials" / trial["trial_id"] / "attempts" / "0001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hardware": "gpu"}))
    assert open_sweep(folder).notes == ["Trials ran with 2 different hardware; each trial's attempts record them."]


def test_what_was_cut_is_noted(runs):
    trials = [runs.base(cut_replies=2), runs.adapter({"lora.r": 8}, cut_replies=3, wordless_replies=1, skipped_items=2)]
    assert open_sweep(runs.sweep(["lora.r"], trials)).notes == [
        "Up to 2 more replies did not fit into evaluation.max_length and are left out.",
        "Up to 3 of 40 scored replies were cut to evaluation.max_length.",
        "Up to 1 of 24 generated replies hold no word.",
    ]


def test_no_sweep_and_no_trials(runs):
    with pytest.raises(UserError, match="There is no sweep"):
        read_results(runs.path, "nothing")
    with pytest.raises(UserError, match="lists no trials"):
        open_sweep(runs.sweep(["lora.r"], []))


@pytest.mark.parametrize("content", ["", "{", "\0\x80", "[" * 100_000, "[]\n", '{"metrics": 3, "split": 2}\n', '{"identity": 4}\n'])
@pytest.mark.parametrize("name", ["attempts/0001.json", "config.yaml", "provenance.json", "evaluations", "attempts/0001/train.jsonl"])
def test_one_damaged_file_costs_one_trial_at_most(runs, name, content):
    entries = [runs.base(), runs.adapter({"lora.r": 8}), runs.adapter({"lora.r": 16})]
    folder = runs.sweep(["lora.r"], entries)
    trial = runs.path / "trials" / entries[1]["trial_id"]
    path = trial / "evaluations" / entries[1]["evaluations"]["adapter"] / "metrics.json" if name == "evaluations" else trial / name
    path.write_text(content)
    found = {one.overrides.get("lora.r"): one for one in read_results(folder.parent.parent, folder.name).outcomes}
    assert (found[None].status, found[16].status) == ("evaluated", "evaluated")
    if name == "attempts/0001.json":
        assert (found[8].status, found[8].training.seconds) == ("evaluated", None), "what is published stands"
    elif found[8].status != "evaluated":
        assert found[8].status == "damaged"
        assert path.name in found[8].message
        assert "again" in found[8].message
    else:
        assert name.endswith("train.jsonl"), "the last line of a log may be cut short"
