"""engine=sft's loss is that of the model's own forward, whatever its head; router losses are there where they were asked for."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from persona_exp.errors import UserError
from persona_exp.modeling.base_model_dropout_off import switch_dropout_off
from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.tokenizer_loading import load_tokenizer
from persona_exp.training import sft_loss
from persona_exp.training.hyperparameters import OptimizerSettings
from persona_exp.training.router_balancing_loss import router_coefficient
from persona_exp.training.sft_engine import CheckpointSettings, LogSettings, SftSettings, train_sft
from persona_exp.training.sft_loss import ReplyLoss
from persona_exp.training.steps_and_micro_batches import plan_steps
from persona_exp.training.stop_signals import Interruption
from tests.training.fused.bundles import examples

SIZES = {"vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
MIXTRAL = {"num_key_value_heads": 1, "num_local_experts": 4, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.5}
# Heads that scale, cap or have a bias, that follow a decoder inside of the base model, and routers that draw in training.
FAMILIES = {
    "granite": {"logits_scaling": 8.0},
    "cohere": {"logit_scale": 0.0625, "num_key_value_heads": 2},
    "gemma2": {"final_logit_softcapping": 3.0, "head_dim": 16, "num_key_value_heads": 1},
    "phi": {"resid_pdrop": 0.3, "num_key_value_heads": 2},
    "opt": {"dropout": 0.3, "word_embed_proj_dim": 32, "ffn_dim": 48},
    "mixtral": MIXTRAL,
    "phimoe": {"num_key_value_heads": 1, "num_local_experts": 4, "num_experts_per_tok": 2},
}


def family(kind):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **FAMILIES[kind]}, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lm_head.bias"):
                parameter.normal_()
    switch_dropout_off(model)
    return model


def padded(encoded):
    width = max(len(one.input_ids) for one in encoded)
    rows = [(one.input_ids, one.labels, width - len(one.input_ids)) for one in encoded]
    return {
        "input_ids": torch.tensor([ids + [0] * rest for ids, _, rest in rows]),
        "labels": torch.tensor([labels + [-100] * rest for _, labels, rest in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * rest for ids, _, rest in rows]),
    }


def plain(model, encoded):
    """The summed loss of the replies, each conversation alone through the model's own forward in evaluation."""
    model.eval()
    total = torch.zeros(())
    for one in encoded:
        logits, targets = model(input_ids=torch.tensor([one.input_ids])).logits[0, :-1].float(), torch.tensor(one.labels[1:])
        total = total + torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return total


def gradients(model, loss):
    parameters = [one for one in model.parameters() if one.requires_grad]
    return torch.cat([one.flatten() for one in torch.autograd.grad(loss, parameters, allow_unused=True) if one is not None])


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("kind", FAMILIES)
def test_it_is_the_loss_of_the_models_own_forward(kind, recomputed):
    model, encoded = family(kind), examples(0, 4)
    # What the heads are given, so that routers' own weights, which no adapter trains, have no part in it.
    model.requires_grad_(False).get_input_embeddings().weight.requires_grad_(True)
    expected = plain(model, encoded)
    slopes = gradients(model, expected)
    if recomputed:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    loss, right = ReplyLoss(model.train(), torch.tensor(encoded[0].input_ids))(padded(encoded), 1, 1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert 0 <= int(right) <= sum(label != -100 for one in encoded for label in one.labels)
    found = gradients(model, loss)
    assert float((found - slopes).norm()) <= 1e-4 * float(slopes.norm())


def test_pieces_of_the_logits_add_up(monkeypatch):
    model, encoded = family("granite"), examples(0, 4)
    whole, _ = ReplyLoss(model, torch.tensor(encoded[0].input_ids))(padded(encoded), 7, 1)
    monkeypatch.setattr(sft_loss, "ENTRIES", 5 * SIZES["vocab_size"])
    pieces, _ = ReplyLoss(model, torch.tensor(encoded[0].input_ids))(padded(encoded), 7, 1)
    assert pieces.item() == pytest.approx(whole.item(), rel=1e-6)
    assert torch.allclose(gradients(model, pieces), gradients(model, whole), rtol=1e-4, atol=1e-6)


def test_a_model_that_is_another_in_training_is_refused():
    model = family("granite")
    # As a module that has a flag for computing its activations again is computed in training mode then.
    layer = model.model.layers[0]
    layer.mlp.gradient_checkpointing = True
    layer.mlp.register_forward_hook(lambda module, _, output: output * 1.5 if module.training else output)
    with pytest.raises(UserError, match="computes something else in training than in evaluation"):
        ReplyLoss(model, torch.arange(3, 30))


def test_a_model_that_pays_heed_to_padding_wants_one_conversation_at_a_time():
    model = family("granite")
    loss = ReplyLoss(model, torch.arange(3, 30))
    loss.refuse_padding(torch.arange(3, 30), 0)
    model.model.layers[0].register_forward_hook(lambda *given: given[2] * (1.5 if len(given[2]) > 1 else 1))
    with pytest.raises(UserError, match=r"beside a longer one: set train\.micro_batch_size=1"):
        loss.refuse_padding(torch.arange(3, 30), 0)


def test_the_router_loss_is_the_models_own_and_added_where_it_was_asked_for():
    model, encoded = family("mixtral"), examples(0, 4)
    batch, tokens = padded(encoded), torch.tensor(encoded[0].input_ids)
    without, _ = ReplyLoss(model, tokens)(batch, 1, 1)
    assert router_coefficient(model) == 0.5
    with_it, _ = ReplyLoss(model, tokens, 0.5)(batch, 1, 2)
    own = model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_router_logits=True).aux_loss
    assert own.item() > 0.5
    assert (with_it - without).item() == pytest.approx(0.5 * own.item() / 2, rel=1e-4)
    with pytest.raises(UserError, match="has no load-balancing loss of experts"):
        router_coefficient(family("granite"))


@pytest.mark.long
def test_experts_are_trained_alike_in_any_micro_batch_unless_they_are_balanced_in_it(tmp_path):
    """Three steps of eight conversations in micro-batches of 4 and 1, with dropout."""
    encoded = examples(1, 12)
    tokenizer = load_tokenizer(fetch("tiny", "tiny", None, None, cache_folder()), None)
    optimizer = OptimizerSettings("adamw_torch", 1e-2, "constant", 0.0, 0.9, 0.999, 1.0)
    losses = {}
    for balanced in (False, True):
        for micro in (4, 1):
            place = tmp_path / f"{balanced}{micro}"
            place.mkdir()
            sizes = {"effective_batch_size": 8, "micro_batch_size": micro}
            plan = plan_steps(examples=12, epochs=1, max_steps=3, **sizes, warmup_ratio=0, lr_schedule="constant")
            train_sft(
                add_lora(family("mixtral"), 8, 16, 0.1, ["q_proj", "o_proj"], False, 3),
                tokenizer,
                encoded,
                settings=SftSettings(plan, optimizer, 3, gradient_checkpointing=False, router_aux_loss=balanced),
                checkpoints=CheckpointSettings(place / "checkpoints", 10, 10, keep=1, resume_from=None),
                log=LogSettings(place / "train.jsonl", 1, run_name="test"),
                interruption=Interruption(),
            )
            losses[balanced, micro] = [json.loads(line)["loss"] for line in (place / "train.jsonl").read_text().splitlines()]
    assert losses[False, 1] == pytest.approx(losses[False, 4], rel=1e-5)
    assert losses[True, 4][0] > losses[False, 4][0] + 0.4
    assert abs(losses[True, 1][0] - losses[True, 4][0]) > 1e-3
