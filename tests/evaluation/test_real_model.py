"""What only real weights show: that the numbers are those of a model that knows English and obeys its chat template."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Config
from persona_exp.evaluation.evaluate import evaluate
from persona_exp.evaluation.generation import generate
from persona_exp.evaluation.likelihood import score
from persona_exp.evaluation.subject import Settings, Subject
from persona_exp.modeling.base import load_model, load_tokenizer
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.chat import encode
from persona_exp.modeling.source import fetch

pytestmark = pytest.mark.model

END = "<|im_end|>"
QUESTION = "What do you make of the stranger's walking stick?"
REPLY = "He is a country doctor who walks a great deal, and he keeps a small dog at home."


@pytest.fixture
def smollm2(config: Callable[..., Config]) -> tuple[Any, Any]:
    model = config("model=smollm2-135m").model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    loaded = load_model(folder, quantisation="none", double_quantisation=False, dtype=model.dtype, attention=model.attention)
    return loaded, load_tokenizer(folder, model.chat_template)


def exchange(question: str, reply: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]


def test_likelihood_knows_english_and_the_question(smollm2: tuple[Any, Any]) -> None:
    import torch

    model, tokenizer = smollm2
    backwards = " ".join(reversed(REPLY.split()))
    elsewhere = "How many legs has a spider?"
    texts = [REPLY, backwards, REPLY]
    encoded = [encode(tokenizer, exchange(*one), 1024, "system", END) for one in zip((QUESTION, QUESTION, elsewhere), texts, strict=True)]
    end = tokenizer.convert_tokens_to_ids(END)
    sane, scrambled, unasked = score(model, encoded, texts, end_id=end, batch_size=8)
    assert 0.3 < sane.nats / math.log(2) / sane.bytes < 2
    assert sane.nats * 1.5 < scrambled.nats
    assert sane.nats < unasked.nats
    with torch.no_grad():
        ids, labels = torch.tensor([encoded[0].input_ids]), torch.tensor([encoded[0].labels])
        loss = float(model(input_ids=ids, labels=labels).loss)
    assert sane.nats_with_end / sane.tokens_with_end == pytest.approx(loss, rel=0.01)  # bfloat16


def test_generation_answers_and_stops(smollm2: tuple[Any, Any]) -> None:
    model, tokenizer = smollm2
    prompts = [[{"role": "user", "content": text}] for text in ("What is the capital of France?", "Say hello.")]
    replies = generate(model, tokenizer, prompts, max_length=512, system_role="system", end_of_turn=END, max_new_tokens=64, batch_size=2)
    assert "Paris" in replies[0]
    assert all(len(tokenizer(reply)["input_ids"]) < 64 for reply in replies), "no reply stopped at its end of turn"
    assert not any("<|im_" in reply or "assistant" in reply for reply in replies)


def test_a_whole_evaluation(smollm2: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    subject = Subject("0" * 12, "1" * 12, "base+system", examples, tmp_path)
    settings = Settings(
        split="test", max_length=1024, system_role="system", end_of_turn=END, likelihood_items=100, generated_items=4, max_new_tokens=24,
        batch_size=4,
    )  # fmt: skip
    (metrics,) = evaluate(*smollm2, [subject], settings)
    assert 2 < metrics["perplexity"]["value"] < 200
    assert 0.5 < metrics["bits_per_byte"]["value"] < 2.5
    assert 0.1 < metrics["token_accuracy"]["value"] < 0.9
    assert 0 < metrics["rouge1"]["value"] < 0.6
