"""Tokens: made once, as the encoder makes them, and noticed when they are not that any more."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.errors import UserError
from persona_exp.modeling.supervised_token_mask import encode
from persona_exp.modeling.tokenised_dataset import DamagedFiles
from persona_exp.modeling.tokenizer_loading import load_tokenizer
from persona_exp.trial import max_length_check, token_cache, trial_dataset
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.encoded_examples import encode_examples, encode_validation_examples
from persona_exp.trial.seal import seal
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.trial_base_model import fetch_model

# As it is before the fixture of this folder takes its place.
MAKE_IN_CHILD = token_cache.make_in_child


class Notes(dict):
    """What an attempt notes."""

    note = dict.update


@pytest.fixture(autouse=True)
def _nothing_opened_before():
    for known in (token_cache._opened, token_cache._digest_of_split, token_cache.tokenizer_digest):
        known.cache_clear()
    max_length_check._checked.clear()
    max_length_check._shown.clear()


@pytest.fixture
def built(tiny):
    """`built("train.max_length=90")`: a config, its data's id and its model's folder."""

    def make(*overrides):
        config = tiny(*overrides)
        return config, trial_dataset.prepare(config), fetch_model(config)

    return make


def of(config, data_id, model, split="train"):
    return token_cache.tokenisation(config, data_id, model, split)


def files_of(folder: Path):
    return {path.relative_to(folder): path.stat().st_ino for path in folder.rglob("*.npy")}


@pytest.mark.parametrize("overrides", [(), ("train.max_length=91",), ("train.max_length=120", "model.system_role=user")])
def test_they_are_what_the_encoder_makes(built, overrides):
    config, data_id, model = built(*overrides)
    tokenizer = load_tokenizer(model, None)
    examples = trial_dataset.read_examples(Path(config.runs), data_id, "train")
    found = token_cache.tokens_of(of(config, data_id, model))
    assert list(found.names) == [one.id for one in examples]
    fits = found.rows["length"] > 0
    for number, one in enumerate(examples):
        if fits[number]:
            assert found[number] == encode(tokenizer, one.messages, config.train.max_length, config.model.system_role, "<|im_end|>")
        whole = encode(tokenizer, one.messages, 100_000, config.model.system_role, "<|im_end|>")
        assert found.rows["whole"][number] == len(whole.input_ids)
    assert (found.rows["cut"] | ~fits).any() == bool(overrides)
    assert fits.all() == (config.train.max_length != 91)


def test_a_trial_trains_on_its_mix_and_names_what_does_not_fit(built, capsys):
    config, data_id, model = built("train.max_length=96", "data.mix.contrast=2", "data.mix.general=1", "data.seed=3")
    drawn, tokenizer, attempt = trial_dataset.training_examples(config, data_id), load_tokenizer(model, None), Notes()
    encoded = encode_examples(ClaimedTrial(config, None, data_id, attempt), model)
    kept, skipped = [], []
    for one in drawn:
        try:
            kept.append(encode(tokenizer, one.messages, 96, "system", "<|im_end|>"))
        except UserError:
            skipped.append(one.id)
    assert [*encoded] == kept
    labels = attempt["labels"]
    assert labels["skipped"] == len(skipped) > 0 < len(kept) == labels["examples"]
    assert labels["skipped_examples"] == list(dict.fromkeys(skipped))[:5]
    assert f"{len(skipped)} skipped, which do not fit: {skipped[0]}" in capsys.readouterr().out
    assert labels["tokens"] == sum(len(one.input_ids) for one in kept)
    assert labels["supervised_tokens"] == sum(label != -100 for one in kept for label in one.labels)


def test_where_none_fits_nothing_is_sealed(tiny, runs):
    with pytest.raises(UserError, match=r"None of the \d+ training examples fits into train\.max_length=16"):
        seal(tiny("train.max_length=16"), command="")
    with pytest.raises(UserError, match="the model would never stop"):
        seal(tiny("train.max_length=92"), command="")
    assert not (runs / "trials").exists()


def test_what_validates_is_skipped_and_counted_too(built, monkeypatch, capsys):
    config, data_id, model = built("data.validation_fraction=0.3", "train.eval_steps=1")
    unfit, *others = trial_dataset.validation_examples(config, data_id)
    real = token_cache.supervised_token_mask.encode

    def encode(tokenizer, messages, *rest):
        if messages == unfit.messages:
            raise token_cache.supervised_token_mask.DoesNotFit("It is too long.")
        return real(tokenizer, messages, *rest)

    monkeypatch.setattr(token_cache.supervised_token_mask, "encode", encode)
    attempt = Notes()
    assert len(encode_validation_examples(ClaimedTrial(config, None, data_id, attempt), model).encoded) == len(others) > 0
    labels = attempt["validation_labels"]
    assert (labels["examples"], labels["skipped"], labels["skipped_examples"]) == (len(others), 1, [unfit.id])
    assert f"1 skipped, which do not fit: {unfit.id}" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"None of the .* validation examples fits"):
        encode_validation_examples(ClaimedTrial(replace(config, train=replace(config.train, max_length=16)), None, data_id, attempt), model)


def test_an_example_that_the_template_is_unfit_for_troubles_only_who_draws_it(built, monkeypatch):
    config, data_id, model = built()
    general = trial_dataset.training_examples(
        replace(config, data=replace(config.data, mix=replace(config.data.mix, dialogue=0, general=1))), data_id
    )
    unfit = general[0]
    real = token_cache.supervised_token_mask.encode

    def encode(tokenizer, messages, *rest):
        if messages == unfit.messages:
            raise UserError("The template writes it otherwise.")
        return real(tokenizer, messages, *rest)

    monkeypatch.setattr(token_cache.supervised_token_mask, "encode", encode)
    assert len(encode_examples(ClaimedTrial(config, None, data_id, Notes()), model)) > 0
    both = replace(config, data=replace(config.data, mix=replace(config.data.mix, general=1)))
    with pytest.raises(UserError, match=rf"The template writes it otherwise\. \(example {unfit.id}\)"):
        encode_examples(ClaimedTrial(both, None, data_id, Notes()), model)
    with pytest.raises(UserError, match="writes it otherwise"):
        max_length_check.check(both, data_id, model)


def test_they_are_made_at_sealing_once_for_a_sweep(tiny, runs, monkeypatch):
    made = []
    real = token_cache.make_in_child
    monkeypatch.setattr(token_cache, "make_in_child", lambda wanted: [made.append([one.split for one in wanted]), real(wanted)])
    sealed = [seal(tiny(f"lora.r={r}"), command="") for r in (1, 2)]
    assert made == [["train"]]
    folder = runs / "data" / read_seal_facts(sealed[0].path)["data_id"]
    before = files_of(folder / "tokens")
    assert len(before) == 3
    max_length_check._checked.clear()
    seal(tiny("seed=1"), command="")
    seal(tiny("method=none"), command="")
    assert (made, files_of(folder / "tokens")) == ([["train"]], before)
    seal(tiny("train.max_length=512"), command="")
    assert made == [["train"], ["train"]]
    # What the trials hold the data to is what was built, not what was made of it since.
    assert read_seal_facts(seal(tiny(), command="").path)["data_sha256"] == read_seal_facts(sealed[0].path)["data_sha256"]


@pytest.mark.parametrize(
    "change", ["model.system_role=user", "model.chat_template=plain", "model.end_of_turn='<|endoftext|>'", "train.max_length=500"]
)
def test_what_they_hang_on_names_them(built, change):
    config, data_id, model = built()
    other = built(change)[0]
    one, another = of(config, data_id, model), of(other, data_id, model)
    assert one.folder != another.folder
    assert one.folder.parent == another.folder.parent
    assert of(config, data_id, model, "test").folder != one.folder


def test_another_tokenizer_names_them_and_other_weights_do_not(built, tmp_path):
    config, data_id, model = built()
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "model.safetensors").write_bytes(b"other weights")
    assert of(config, data_id, copy).folder == of(config, data_id, model).folder
    token_cache.tokenizer_digest.cache_clear()
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**settings, "clean_up_tokenization_spaces": True}))
    assert of(config, data_id, copy).folder != of(config, data_id, model).folder


def test_damaged_ones_are_made_again(built, capsys):
    what = of(*built())
    whole = token_cache.tokens_of(what)
    ids = what.folder / "ids.npy"
    content = ids.read_bytes()
    ids.unlink()
    ids.write_bytes(content[:-4] + b"\1\0\0\0")
    token_cache._opened.cache_clear()
    assert [*token_cache.tokens_of(what)] == [*whole]
    assert ids.read_bytes() == content
    assert f"{ids} is not what was written: the tokens are made again." in capsys.readouterr().err
    assert [path.name for path in what.folder.parent.iterdir() if "dropped" in path.name] == []


def test_what_another_process_has_made_again_meanwhile_is_kept(built, monkeypatch, capsys):
    what = of(*built())
    whole = [*token_cache.tokens_of(what)]
    made_again = files_of(what.folder)
    token_cache._opened.cache_clear()
    real, reads = token_cache.tokenised_dataset.read_tokenised, []

    def read(folder, facts):
        reads.append(folder)
        if len(reads) == 1:
            raise DamagedFiles("It was damaged when this process read it")
        return real(folder, facts)

    monkeypatch.setattr(token_cache.tokenised_dataset, "read_tokenised", read)
    assert [*token_cache.find(what)] == whole
    assert (len(reads), files_of(what.folder)) == (2, made_again)
    assert "made again" not in capsys.readouterr().err


def test_damaged_ones_that_cannot_be_replaced_are_one_sentence(built, monkeypatch):
    what = of(*built())
    token_cache.make(what)
    (what.folder / "ids.npy").write_bytes(b"")

    def read_only(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", read_only)
    with pytest.raises(UserError, match=rf"ids\.npy is not what was written, .*Permission denied.*: make {what.folder.parent} writable\."):
        token_cache.find(what)


@pytest.mark.parametrize("library", ["transformers", "tokenizers", "jinja2", "regex"])
def test_another_version_of_what_makes_them_names_them(built, monkeypatch, library):
    what = of(*built())
    before, real = what.folder, token_cache.version
    monkeypatch.setattr(token_cache, "version", lambda name: "0.0" if name == library else real(name))
    assert what.folder != before


def test_other_code_that_loads_the_tokenizer_names_them(built, monkeypatch):
    what = of(*built())
    before, real = what.folder, token_cache.atomic_files.file_digest
    monkeypatch.setattr(
        token_cache.atomic_files, "file_digest", lambda path: "0" * 64 if Path(path).name == "tokenizer_loading.py" else real(path)
    )
    token_cache._digest_of_code.cache_clear()
    try:
        assert what.folder != before
    finally:
        token_cache._digest_of_code.cache_clear()


def test_several_at_once_get_the_same(built):
    what = of(*built())
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: token_cache.tokens_of(what), range(4)))
    assert len({tuple(one.rows["whole"]) for one in found}) == 1
    assert len(files_of(what.folder)) == 3


@pytest.mark.long
def test_the_child_makes_them_and_this_process_imports_no_torch(tiny, runs):
    config = tiny("train.max_length=120")
    code = f"""
import pickle, sys
from persona_exp.trial.seal import seal
if __name__ == "__main__":
    seal(pickle.loads({pickle.dumps(config)!r}), command="")
    print([name for name in ("torch", "transformers") if name in sys.modules])
"""
    program = runs.parent / "program.py"
    program.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(token_cache.ROOT)}
    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    said = re.search(r"(\d+) of (\d+) training examples are longer than train\.max_length=120: (.*)\.\n", done.stderr)
    assert said, done.stderr
    (folder,) = (runs / "data").glob("*/tokens/[!.]*")
    assert files_of(folder)


@pytest.mark.long
def test_a_fault_in_the_child_is_one_sentence(built):
    what = of(*built())
    with pytest.raises(UserError, match=r"model\.end_of_turn=<nothing> is no token"):
        MAKE_IN_CHILD([replace(what, end_of_turn="<nothing>")])
    MAKE_IN_CHILD([what])
    assert token_cache.find(what) is not None
