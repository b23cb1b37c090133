"""Whether greedy replies can be had of a model: tried on a small random model of the same configuration."""

from typing import TYPE_CHECKING

import torch

from persona_exp.errors import UserError
from persona_exp.modeling.kv_cache_decoding import PROBE_LENGTHS, PROBE_STEPS, probed_decoder
from persona_exp.training.fused.small_random_model import random_small_model, small_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def against_generation(config: "PreTrainedConfig") -> str:
    """Return what speaks against generating with a model of `config`, of which a small one can be made; empty where nothing does."""
    model = random_small_model(small_config(config))
    tokens = torch.randint(3, int(model.config.vocab_size), (max(PROBE_LENGTHS) + PROBE_STEPS,), generator=torch.Generator().manual_seed(1))
    try:
        probed_decoder(model, tokens.tolist())
    except UserError as refusal:
        return str(refusal).split(": set ")[0]
    return ""
