import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.evaluation import reply_likelihood
from persona_exp.evaluation.reply_likelihood import ReplyScore, score_replies
from persona_exp.modeling.supervised_token_mask import Encoded, encode

END = "<|im_end|>"


def end_id(tokenizer: Any) -> int:
    found = tokenizer.convert_tokens_to_ids(END)
    assert isinstance(found, int)
    return found


def reference(model: Any, item: Encoded, text: str, end: int) -> ReplyScore:
    """One conversation alone, unpadded, through transformers' own loss."""
    import torch

    def nats(labels: list[int]) -> tuple[float, int]:
        count = sum(label != -100 for label in labels)
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([item.input_ids]), labels=torch.tensor([labels])).loss
        return float(loss) * count, count

    inside = [-100 if label == end else label for label in item.labels]
    with torch.no_grad():
        first = model(input_ids=torch.tensor([item.input_ids])).logits[0].argmax(dim=-1).tolist()
    correct = sum(first[place - 1] == label for place, label in enumerate(inside) if label != -100)
    return ReplyScore(*nats(inside), correct, len(text.encode()), *nats(item.labels))


def same(one: ReplyScore, other: ReplyScore) -> bool:
    counts = (one.tokens, one.correct, one.bytes, one.tokens_with_end) == (other.tokens, other.correct, other.bytes, other.tokens_with_end)
    return counts and one.nats == pytest.approx(other.nats, rel=1e-4) and one.nats_with_end == pytest.approx(other.nats_with_end, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_parity_with_transformers_own_loss(tiny: tuple[Any, Any], encoded: list[Encoded], texts: list[str], batch_size: int) -> None:
    model, tokenizer = tiny
    scores = score_replies(model, encoded, texts, end_id=end_id(tokenizer), batch_size=batch_size)
    for found, item, text in zip(scores, encoded, texts, strict=True):
        assert same(found, reference(model, item, text, end_id(tokenizer)))
        assert found.tokens_with_end == found.tokens + 1
        assert found.nats_with_end > found.nats > 0


def test_parity_with_an_adapter(tiny: tuple[Any, Any], encoded: list[Encoded], texts: list[str]) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, tokenizer = tiny
    copied = AutoModelForCausalLM.from_pretrained(base.name_or_path, dtype=torch.float32)
    torch.manual_seed(0)
    adapted = get_peft_model(copied, LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False, lora_dropout=0.5))
    adapted.train()
    scores = score_replies(adapted, encoded, texts, end_id=end_id(tokenizer), batch_size=4)
    assert adapted.training, "the mode it had comes back"
    adapted.eval()
    for found, item, text in zip(scores, encoded, texts, strict=True):
        assert same(found, reference(adapted, item, text, end_id(tokenizer)))
    without = score_replies(base, encoded, texts, end_id=end_id(tokenizer), batch_size=4)
    assert all(abs(one.nats - other.nats) > 1e-3 for one, other in zip(scores, without, strict=True)), "the adapter is not seen"


@settings(max_examples=25, deadline=None)
@given(batch_size=st.integers(1, 9), seed=st.integers(0, 1000), size=st.integers(1, 7))
def test_neighbours_and_order_do_not_change_a_score(
    tiny: tuple[Any, Any], encoded: list[Encoded], texts: list[str], batch_size: int, seed: int, size: int
) -> None:
    model, tokenizer = tiny
    picked = random.Random(seed).sample(range(len(texts)), size)
    alone = score_replies(model, encoded, texts, end_id=end_id(tokenizer), batch_size=1)
    together = score_replies(
        model, [encoded[index] for index in picked], [texts[index] for index in picked], end_id=end_id(tokenizer), batch_size=batch_size
    )
    assert all(same(found, alone[index]) for found, index in zip(together, picked, strict=True))


def test_pieces_of_logits_add_up(tiny: tuple[Any, Any], encoded: list[Encoded], texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny
    whole = score_replies(model, encoded, texts, end_id=end_id(tokenizer), batch_size=8)
    monkeypatch.setattr(reply_likelihood, "ROWS_AT_ONCE", 3)
    assert score_replies(model, encoded, texts, end_id=end_id(tokenizer), batch_size=8) == whole


def test_every_assistant_turn_counts_without_its_end(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    turns = (("user", "Well?"), ("assistant", "No."), ("user", "So?"), ("assistant", "Yes."))
    messages = [{"role": role, "content": text} for role, text in turns]
    item = encode(tokenizer, messages, 1024, "system", END)
    (found,) = score_replies(model, [item], ["No.Yes."], end_id=end_id(tokenizer), batch_size=1)
    assert found.tokens_with_end == found.tokens + 2
    assert same(found, reference(model, item, "No.Yes.", end_id(tokenizer)))


def test_the_models_own_first_choices_are_all_correct(tiny: tuple[Any, Any], encoded: list[Encoded]) -> None:
    import torch

    model, tokenizer = tiny
    prompt = encoded[0].input_ids[:20]
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(6):
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    swerved = [*ids[:-1], ids[-1] - 1 if ids[-1] > 10 else ids[-1] + 1]
    items = [Encoded(one, [-100] * 20 + one[20:], shortened=False, cut=True) for one in (ids, swerved)]
    right, wrong = score_replies(model, items, ["abcdef", "abcdef"], end_id=end_id(tokenizer), batch_size=2)
    assert (right.correct, wrong.correct) == (6, 5)
    assert wrong.nats > right.nats


def test_bytes_are_those_of_utf_8(tiny: tuple[Any, Any], encoded: list[Encoded], texts: list[str]) -> None:
    model, tokenizer = tiny
    scores = score_replies(model, encoded, texts, end_id=end_id(tokenizer), batch_size=8)
    assert scores[4].bytes == len(texts[4].encode()) > len(texts[4])


def test_nothing_to_score_is_refused(tiny: tuple[Any, Any], encoded: list[Encoded], texts: list[str]) -> None:
    model, tokenizer = tiny
    mute = Encoded([1, 2, 3], [-100, -100, -100], shortened=False, cut=True)
    with pytest.raises(ValueError, match="without a supervised token"):
        score_replies(model, [encoded[0], mute], ["a", "b"], end_id=end_id(tokenizer), batch_size=2)
    with pytest.raises(ValueError, match="1 texts"):
        score_replies(model, encoded[:2], ["a"], end_id=end_id(tokenizer), batch_size=2)
    assert score_replies(model, [], [], end_id=end_id(tokenizer), batch_size=2) == []
