"""Replies and scores of other kinds of models: a prompt's neighbours and its padding are never seen, in whatever a model remembers."""

from typing import Any

import pytest
import torch

from persona_exp.evaluation.eval_mode_precision import evaluating
from persona_exp.evaluation.greedy_generation import GenerationSettings, _replies
from persona_exp.evaluation.reply_likelihood import score_replies
from persona_exp.modeling.supervised_token_mask import Encoded
from persona_exp.progress_bar import progress

SIZES = {
    "vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LINEAR = {"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16}
LLAMA4 = {"intermediate_size_mlp": 96, "num_local_experts": 2, "interleave_moe_layer_step": 2, "attention_chunk_size": 16}
KINDS = {
    "bart": {"d_model": 64, "decoder_layers": 2, "decoder_ffn_dim": 96, "decoder_attention_heads": 4},
    "bloom": {"n_head": 4, "n_layer": 4},
    "gemma2": {"sliding_window": 16},
    "granite": {"logits_scaling": 8.0},
    "llama4_text": LLAMA4,
    "lfm2": {"layer_types": ["conv", "full_attention"] * 2, "block_auto_adjust_ff_dim": False},
    "modernbert-decoder": {"local_attention": 16},
    "minimax": {"layer_types": ["linear_attention", "full_attention"] * 2, "num_local_experts": 4, "block_size": 16},
    "qwen3_5_text": {"layer_types": ["linear_attention", "full_attention"] * 2, **LINEAR},
}
PROMPTS = {0: list(range(3, 43)), 1: list(range(50, 57)), 2: list(range(20, 45)), 3: [9, 8, 7, 6]}
NEW = 12


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    made: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(request.param, **{**SIZES, **KINDS[request.param]}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.15, generator=generator)
    return made.eval()


def answers(model: Any, prompts: dict[int, list[int]], stop: int) -> tuple[dict[int, list[int]], set[int]]:
    with evaluating(model), progress("answers", len(prompts)) as meter:
        return _replies(model, list(prompts.values()), {stop}, GenerationSettings(0, "", "", NEW, len(prompts)), meter, None)


def without_cache(model: Any, prompt: list[int], stop: int) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        while len(ids) < len(prompt) + NEW:
            token = int(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if token == stop:
                break
            ids.append(token)
    return ids[len(prompt) :]


def test_replies_are_those_of_each_prompt_alone(model: Any) -> None:
    tokens = without_cache(model, PROMPTS[1], stop=2)
    # One ends early, so that rows leave the batch.
    stop = tokens[len(tokens) // 2]
    replies, cut = answers(model, PROMPTS, stop)
    assert replies == {number: without_cache(model, prompt, stop) for number, prompt in PROMPTS.items()}
    assert cut == {number for number, reply in replies.items() if len(reply) == NEW}
    assert 1 not in cut


def test_scores_are_those_of_each_conversation_alone(model: Any) -> None:
    encoded = [Encoded(ids, [-100] * (len(ids) // 2) + ids[len(ids) // 2 :], shortened=False, cut=False) for ids in PROMPTS.values()]
    found = score_replies(model, encoded, ["text"] * len(encoded), end_id=2, batch_size=4)
    with torch.no_grad():
        for item, one in zip(encoded, found, strict=True):
            ids, labels = torch.tensor(item.input_ids), torch.tensor(item.labels)
            expected = torch.nn.functional.cross_entropy(model(input_ids=ids[None]).logits[0, :-1], labels[1:], reduction="sum")
            assert one.nats_with_end == pytest.approx(float(expected), rel=1e-5)
