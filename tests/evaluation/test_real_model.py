"""What only real weights show: that the numbers are those of a model that knows English and obeys its chat template."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Config
from persona_exp.evaluation.batch_adapters import BatchAdapters
from persona_exp.evaluation.evaluate import EvaluatedModel, evaluate
from persona_exp.evaluation.evaluation_target import EvaluationSettings, EvaluationTarget
from persona_exp.evaluation.greedy_generation import GenerationSettings, generate_replies
from persona_exp.evaluation.reply_likelihood import score_replies
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.flat_lora_adapter import Adapter, target_projections
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.supervised_token_mask import encode
from persona_exp.modeling.tokenizer_loading import load_tokenizer

pytestmark = pytest.mark.model

END = "<|im_end|>"
STORIES = Path(__file__).parents[2] / "persona_exp" / "corpus" / "bundled" / "saltmere"
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
    # The rounding of bfloat16 differs by 1 % from one kind of processor to another.
    model.float()
    backwards = " ".join(reversed(REPLY.split()))
    elsewhere = "How many legs has a spider?"
    texts = [REPLY, backwards, REPLY]
    encoded = [encode(tokenizer, exchange(*one), 1024, "system", END) for one in zip((QUESTION, QUESTION, elsewhere), texts, strict=True)]
    end = tokenizer.convert_tokens_to_ids(END)
    sane, scrambled, unasked = score_replies(model, encoded, texts, end_id=end, batch_size=8)
    assert 0.3 < sane.nats / math.log(2) / sane.bytes < 2
    assert sane.nats * 1.5 < scrambled.nats
    assert sane.nats < unasked.nats
    with torch.no_grad():
        ids, labels = torch.tensor([encoded[0].input_ids]), torch.tensor([encoded[0].labels])
        loss = float(model(input_ids=ids, labels=labels).loss)
    assert sane.nats_with_end / sane.tokens_with_end == pytest.approx(loss, rel=1e-4)


def test_generation_answers_and_stops(smollm2: tuple[Any, Any]) -> None:
    model, tokenizer = smollm2
    prompts = [[{"role": "user", "content": text}] for text in ("What is the capital of France?", "Say hello.")]
    answered = generate_replies(model, tokenizer, prompts, GenerationSettings(512, "system", END, max_new_tokens=64, batch_size=2))
    replies = [one.text for one in answered]
    assert "Paris" in replies[0]
    assert [one.finish_reason for one in answered] == ["stop", "stop"]
    assert not any("<|im_" in reply or "assistant" in reply for reply in replies)


def test_a_whole_evaluation(smollm2: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    target = EvaluationTarget("0" * 12, "1" * 12, "base+system", examples, tmp_path)
    settings = EvaluationSettings(
        split="test", max_length=1024, system_role="system", end_of_turn=END, likelihood_items=100, generated_items=4, max_new_tokens=24,
        batch_size=4,
    )  # fmt: skip
    (metrics,) = evaluate(EvaluatedModel(*smollm2), [target], settings)
    assert not isinstance(metrics, Exception)
    assert 2 < metrics["perplexity"]["value"] < 200
    assert 0.5 < metrics["bits_per_byte"]["value"] < 2.5
    assert 0.1 < metrics["token_accuracy"]["value"] < 0.9
    assert 0 < metrics["rouge1"]["value"] < 0.6


def test_neither_batch_nor_neighbours_show_in_figures_or_replies(smollm2: tuple[Any, Any]) -> None:
    """An adapter alone, one item at a time; and beside another, in batches of 24."""
    import torch

    model, tokenizer = smollm2
    shared = SharedModel(model)
    for slot in range(2):
        adapter = Adapter(target_projections(model, ["q_proj", "v_proj", "down_proj"]), r=8, alpha=16, dropout=0.0, rslora=False, seed=slot)
        with torch.no_grad():
            adapter.b.normal_(0, 0.01, generator=torch.Generator().manual_seed(slot))
        shared.join(slot, adapter)
    stories = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(STORIES.glob("*.txt")))
    paragraphs = [" ".join(one.split()) for one in stories.split("\n\n")]
    pairs = [exchange(*pair) for pair in pairwise(one for one in paragraphs if 40 < len(one) < 160)][:24]
    encoded = [encode(tokenizer, pair, 1024, "system", END) for pair in pairs[:8]]
    texts, prompts = [pair[1]["content"] for pair in pairs[:8]], [pair[:1] for pair in pairs]
    end = tokenizer.convert_tokens_to_ids(END)

    def measured(slots: list[int], batch_size: int) -> tuple[float, list[str]]:
        answering, scoring = (BatchAdapters([slot for slot in slots for _ in items], shared.activate_adapters) for items in (pairs, texts))
        scores = score_replies(model, encoded * len(slots), texts * len(slots), end_id=end, batch_size=batch_size, adapters=scoring)[
            -len(texts) :
        ]
        replies = generate_replies(
            model,
            tokenizer,
            prompts * len(slots),
            GenerationSettings(1024, "system", END, max_new_tokens=6, batch_size=batch_size),
            adapters=answering,
        )[-len(pairs) :]
        return math.exp(sum(one.nats for one in scores) / sum(one.tokens for one in scores)), [one.text for one in replies]

    alone, together = measured([1], 1), measured([0, 1], 24)
    assert len(alone[1]) == 24
    assert together[0] == pytest.approx(alone[0], rel=1e-5)
    assert sum(one == other for one, other in zip(alone[1], together[1], strict=True)) >= 23
    assert {one.dtype for one in model.parameters() if one.requires_grad is False} == {torch.bfloat16}
