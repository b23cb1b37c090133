"""What is said of lengths before anything is submitted."""

import json
import shutil

import pytest

from persona_exp.errors import UserError
from persona_exp.modeling.context_length import context_length
from persona_exp.modeling.supervised_token_mask import Encoded
from persona_exp.modeling.tokenised_dataset import TokenisedConversation, gather
from persona_exp.trial import encoded_examples, max_length_check, token_cache, trial_dataset
from persona_exp.trial.max_length_check import Losses, check
from persona_exp.trial.seal import seal
from persona_exp.trial.trial_base_model import fetch_model


@pytest.fixture(autouse=True)
def _nothing_said_before():
    max_length_check._checked.clear()
    max_length_check._shown.clear()


@pytest.fixture
def said(capsys):
    """The sentences about lengths since it was last called."""
    return lambda: [line for line in capsys.readouterr().err.splitlines() if "train.max_length=" in line and "longer" in line]


def test_the_sentence_counts_what_is_lost():
    assert Losses(480, 9, 2, 1).sentence("training examples", 1024) == (
        "12 of 480 training examples are longer than train.max_length=1024: "
        "9 lose the start of a question, 2 lose the end of a reply, 1 is skipped."
    )
    assert Losses(5000, 0, 1, 0).sentence("items", 64) == "1 of 5,000 items is longer than train.max_length=64: 1 loses the end of a reply."
    assert Losses(480, 0, 0, 0).sentence("training examples", 1024) is None


def test_it_is_said_at_sealing_of_what_the_trial_draws_and_once(tiny, said):
    for r in (1, 2):
        seal(tiny("train.max_length=120", f"lora.r={r}"), command="")
    (line,) = said()
    assert line.startswith("9 of 9 training examples are longer than train.max_length=120: ")
    # The mix decides what is drawn, and of what: as they stand these fit, and so does the rest that nobody draws not matter.
    seal(tiny("train.max_length=150"), command="")
    assert said() == []
    seal(tiny("train.max_length=150", "data.mix.general=1"), command="")
    assert [line.split(" of ")[1].split()[0] for line in said()] != ["9"]


def test_each_number_of_validation_items_is_checked(tiny, monkeypatch):
    few, many = (tiny("data.validation_fraction=0.4", "train.eval_steps=1", f"train.eval_items={items}") for items in (1, 100))
    data_id, folder = trial_dataset.prepare(few), fetch_model(few)
    examples = [vars(one) for one in trial_dataset.validation_examples(few, data_id)]
    (chosen,) = encoded_examples.sample_items(examples, 1)
    unfit = next(one for one in examples if one["id"] != chosen["id"])
    real = token_cache.supervised_token_mask.encode

    def encode(tokenizer, messages, *rest):
        if messages == unfit["messages"]:
            raise UserError("The template writes it otherwise.")
        return real(tokenizer, messages, *rest)

    monkeypatch.setattr(token_cache.supervised_token_mask, "encode", encode)
    check(few, data_id, folder)
    with pytest.raises(UserError, match=unfit["id"]):
        check(many, data_id, folder)


def test_of_many_lengths_the_first_are_said(capsys):
    cut = gather([TokenisedConversation("long", 9, Encoded([1, 2], [-100, 2], shortened=False, cut=True))], 2)
    for length in (5, 5, 6, 7, 8, 7, 9):
        max_length_check._report(cut, length)
    *first, last = capsys.readouterr().err.splitlines()
    assert [line.split("max_length=")[1].split(":")[0] for line in first] == ["5", "6", "7"]
    assert "data build --tokens" in last


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (("train.max_length=2049",), r"train\.max_length=2049 is more than the 2048 positions of tiny: lower it\."),
        (("evaluation.max_length=4096",), r"evaluation\.max_length=4096 is more than the 2048 positions"),
        (("method=none", "evaluation.max_length=2048"), r"evaluation\.max_length=2048 and max_new_tokens=2 together"),
    ],
)
def test_a_length_beyond_the_models_context_is_refused(tiny, runs, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        seal(tiny(*overrides), command="")
    assert not (runs / "trials").exists()


@pytest.mark.parametrize(
    ("overrides", "reads"),
    [
        (("method=none", "train.max_length=4096"), "method=lora"),
        (("evaluation.max_length=2048", "evaluation.generated_items=0"), "evaluation.generated_items=1"),
    ],
)
def test_what_is_not_read_is_not_refused(tiny, overrides, reads):
    assert seal(tiny(*overrides), command="").path.is_file()
    with pytest.raises(UserError, match="more than the 2048 positions"):
        seal(tiny(*overrides, reads), command="")


def test_a_model_that_names_no_length_is_taken_as_it_is(tiny, tmp_path):
    config = tiny("train.max_length=4096")
    data_id, folder = trial_dataset.prepare(config), tmp_path / "copy"
    shutil.copytree(fetch_model(config), folder)
    settings = json.loads((folder / "config.json").read_text())
    del settings["max_position_embeddings"]
    with pytest.raises(UserError, match="more than the 2048 positions"):
        check(config, data_id, folder)
    (folder / "config.json").write_text(json.dumps(settings))
    assert context_length(folder) is None
    check(config, data_id, folder)
    (what,) = max_length_check._checked
    assert str(folder) in what
