from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.evaluation.generation import generate
from persona_exp.modeling.chat import encode_prompt

END = "<|im_end|>"
NEW = 12


def reference(model: Any, tokenizer: Any, prompt: list[dict[str, str]], stop: int, max_new_tokens: int = NEW) -> list[int]:
    """One prompt alone, unpadded, through transformers' own greedy search."""
    import torch

    ids = torch.tensor([encode_prompt(tokenizer, prompt, 1024, "system")])
    found = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=stop,
        pad_token_id=0,
    )[0, ids.shape[1] :].tolist()
    return found[: found.index(stop)] if stop in found else found


def text(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


@pytest.fixture(scope="module")
def prompts(examples: list[dict[str, Any]]) -> list[list[dict[str, str]]]:
    return [example["messages"][:-1] for example in examples]


def replies(tiny: tuple[Any, Any], prompts: list[list[dict[str, str]]], batch_size: int, stop: str = END, new: int = NEW) -> list[str]:
    return generate(*tiny, prompts, max_length=1024, system_role="system", end_of_turn=stop, max_new_tokens=new, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_parity_with_transformers_own_greedy_search(tiny: tuple[Any, Any], prompts: list[Any], batch_size: int) -> None:
    model, tokenizer = tiny
    stop = tokenizer.convert_tokens_to_ids(END)
    assert replies(tiny, prompts, batch_size) == [text(tokenizer, reference(model, tokenizer, prompt, stop)) for prompt in prompts]


@settings(max_examples=15, deadline=None)
@given(place=st.integers(0, NEW - 1), number=st.integers(0, 6), batch_size=st.sampled_from([2, 4, 7]))
def test_a_reply_stops_at_the_end_of_turn_and_the_others_go_on(
    tiny: tuple[Any, Any], prompts: list[Any], place: int, number: int, batch_size: int
) -> None:
    model, tokenizer = tiny
    # Whatever token the model says at some place is made the end of turn, so that rows stop at different times.
    said = reference(model, tokenizer, prompts[number], tokenizer.eos_token_id)
    stop = said[min(place, len(said) - 1)]
    expected = [text(tokenizer, reference(model, tokenizer, prompt, stop)) for prompt in prompts]
    assert replies(tiny, prompts, batch_size, stop=tokenizer.convert_ids_to_tokens(stop)) == expected


def test_the_models_own_generation_settings_are_not_read(
    tiny: tuple[Any, Any], prompts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = replies(tiny, prompts, 4)
    monkeypatch.setattr(tiny[0].generation_config, "repetition_penalty", 5.0)
    stop = tiny[1].convert_tokens_to_ids(END)
    assert [text(tiny[1], reference(*tiny, prompt, stop)) for prompt in prompts] != plain, "the setting must matter to transformers"
    assert replies(tiny, prompts, 4) == plain


def test_at_most_so_many_new_tokens(tiny: tuple[Any, Any], prompts: list[Any]) -> None:
    model, tokenizer = tiny
    stop = tokenizer.convert_tokens_to_ids(END)
    assert replies(tiny, prompts, 4, new=1) == [text(tokenizer, reference(model, tokenizer, prompt, stop, 1)) for prompt in prompts]


def test_the_mode_comes_back_and_no_prompts_no_replies(tiny: tuple[Any, Any], prompts: list[Any]) -> None:
    tiny[0].train()
    try:
        replies(tiny, prompts[:1], 1)
        assert tiny[0].training
    finally:
        tiny[0].eval()
    assert replies(tiny, [], 4) == []
