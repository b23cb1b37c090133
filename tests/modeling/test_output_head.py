"""The logits of hidden states against those of the model's whole forward, for heads of every kind."""

from typing import Any

import pytest
import torch

from persona_exp.errors import UserError
from persona_exp.modeling.output_head import logits

SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _model(kind: str, **settings: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **{**SIZES, **settings})).eval()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("llama", {}),
        ("granite", {"logits_scaling": 5.0}),
        ("cohere", {"logit_scale": 0.3}),
        ("phi", {}),
        ("gemma2", {"final_logit_softcapping": 0.5}),
        ("mixtral", {"num_local_experts": 2, "output_router_logits": False}),
        ("opt", {"ffn_dim": 96, "word_embed_proj_dim": 64, "max_position_embeddings": 64}),
    ],
)
@torch.no_grad()
def test_the_logits_are_those_of_the_whole_forward(kind: str, settings: dict[str, Any]) -> None:
    model = _model(kind, **settings)
    if getattr(model.get_output_embeddings(), "bias", None) is not None:
        torch.nn.init.normal_(model.get_output_embeddings().bias)
    ids = torch.arange(3, 14)[None]
    hidden = model.base_model(input_ids=ids).last_hidden_state[0]
    torch.testing.assert_close(logits(model, hidden), model(input_ids=ids).logits[0], rtol=1e-6, atol=1e-6)


def test_the_decoder_is_as_before_afterwards() -> None:
    model = _model("llama")
    ids = torch.arange(3, 14)[None]
    before = model(input_ids=ids).logits
    logits(model, torch.zeros(2, 64))
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=0, atol=0)


def test_a_forward_that_asks_no_decoder_is_refused() -> None:
    model = _model("llama")
    model.forward = lambda **_: None
    with pytest.raises(UserError, match="does not part its decoder from its output head"):
        logits(model, torch.zeros(2, 64))
