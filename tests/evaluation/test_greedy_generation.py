from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_exp.errors import UserError
from persona_exp.evaluation import greedy_generation
from persona_exp.evaluation.greedy_generation import GenerationSettings, Reply, generate_replies
from persona_exp.modeling.supervised_token_mask import encode_prompt

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
    return [one.text for one in answered(tiny, prompts, batch_size, stop, new)]


def answered(tiny: tuple[Any, Any], prompts: list[list[dict[str, str]]], batch_size: int, stop: str = END, new: int = NEW) -> list[Reply]:
    return generate_replies(*tiny, prompts, GenerationSettings(1024, "system", stop, new, batch_size))


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
    own = reference(model, tokenizer, prompts[number], tokenizer.eos_token_id)
    stop = own[min(place, len(own) - 1)]
    expected = [text(tokenizer, reference(model, tokenizer, prompt, stop)) for prompt in prompts]
    assert replies(tiny, prompts, batch_size, stop=tokenizer.convert_ids_to_tokens(stop)) == expected


def test_the_reason_that_a_reply_ends_is_recorded(tiny: tuple[Any, Any], prompts: list[Any]) -> None:
    model, tokenizer = tiny
    own = [reference(model, tokenizer, prompt, tokenizer.eos_token_id) for prompt in prompts]
    stop = own[3][5]
    expected = ["stop" if stop in one or len(one) < NEW else "length" for one in own]
    assert set(expected) == {"stop", "length"}
    assert [one.finish_reason for one in answered(tiny, prompts, 4, stop=tokenizer.convert_ids_to_tokens(stop))] == expected


def test_a_cache_that_would_grow_too_large_makes_smaller_batches(
    tiny: tuple[Any, Any], prompts: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    batches = greedy_generation._greedy
    monkeypatch.setattr(
        greedy_generation, "_greedy", lambda model, batch, *rest: (sizes.append(len(batch)), batches(model, batch, *rest))[1]
    )
    whole = replies(tiny, prompts, 100)
    monkeypatch.setattr(greedy_generation, "CACHED_TOKENS", 300)
    assert replies(tiny, prompts, 100) == whole
    assert sizes[0] == len(prompts) == sum(sizes[1:])
    assert len(sizes) > 3
    monkeypatch.setattr(greedy_generation, "CACHED_TOKENS", 1)
    assert replies(tiny, prompts[:2], 100) == whole[:2]
    assert sizes[-2:] == [1, 1]


def test_the_head_is_given_no_more_than_the_last_states(tiny: tuple[Any, Any], prompts: list[Any]) -> None:
    seen: list[tuple[int, bool]] = []
    head = tiny[0].get_output_embeddings()
    watched = head.register_forward_pre_hook(lambda _, given: seen.append((given[0].shape[-2], given[0].is_contiguous())))
    try:
        replies(tiny, prompts, 4, new=2)
    finally:
        watched.remove()
    # Before them the model is tried on one prompt.
    assert [rows for rows, _ in seen[-4:]] == [4, 4, 3, 3]
    assert all(contiguous for _, contiguous in seen)


def test_a_model_without_a_cache_is_refused(tiny: tuple[Any, Any], prompts: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    forward = tiny[0].base_model.forward

    def forgetful(*given: Any, **named: Any) -> Any:
        output = forward(*given, **named)
        output.past_key_values = None
        return output

    monkeypatch.setattr(tiny[0].base_model, "forward", forgetful)
    with pytest.raises(UserError, match=r"keeps no cache .* evaluation\.generated_items=0"):
        replies(tiny, prompts, 4)


def test_a_cache_that_says_something_else_is_refused(tiny: tuple[Any, Any], prompts: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    forward = tiny[0].base_model.forward
    monkeypatch.setattr(
        tiny[0].base_model,
        "forward",
        lambda *given, position_ids=None, **named: (
            forward(*given, position_ids=position_ids * 0, **named) if position_ids is not None else forward(*given, **named)
        ),
    )
    with pytest.raises(UserError, match=r"something else with its cache than without: set evaluation\.generated_items=0"):
        replies(tiny, prompts, 4)


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
