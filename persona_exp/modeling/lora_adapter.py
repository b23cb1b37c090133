"""LoRA adapters on a frozen base model, by PEFT: a new one, and one of a folder."""

import hashlib
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.modeling.adapter_files import lora_config
from persona_exp.modeling.lora_targets import check_targets

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel


def add_lora(
    model: "PreTrainedModel", r: int, alpha: float, dropout: float, target_modules: Sequence[str], rslora: bool, seed: int
) -> "PeftModel":
    """Return `model` with a new adapter, in training mode: ΔW = s·B·A on each projection whose name ends in one of `target_modules`,
    with s = alpha/r (Hu et al. 2021, arXiv:2106.09685) or alpha/√r (`rslora`, Kalajdzievski 2023, arXiv:2312.03732).

    A and B are float32 whatever the base is in; everything else is frozen. They depend on `seed` alone (see `initial_a`), and the
    global random state is left as it was. Raise UserError if a target is not in the model.

    PEFT's `prepare_model_for_kbit_training` is not called on a 4-bit base. Of its three steps, freezing is done here; gradient
    checkpointing and the gradients it needs at the input are the engine's choice; and casting embeddings, norms and the output
    head to float32 is left out on purpose: it takes gigabytes with a large vocabulary, and would train the adapter on other base
    arithmetic than it is evaluated on.
    """
    import torch
    from peft import get_peft_model

    check_targets(model, target_modules)
    config = lora_config(r=r, alpha=alpha, dropout=dropout, target_modules=target_modules, rslora=rslora)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # Between PEFT and transformers.
        try:
            adapted: PeftModel = get_peft_model(model, config, autocast_adapter_dtype=True)
        except ValueError as error:
            raise UserError(
                f"PEFT puts no adapter there: {str(error).splitlines()[0].rstrip('.')}; choose other lora.target_modules."
            ) from error
    _initialise(adapted, seed)
    adapted.train()
    return adapted


def initial_a(seed: int, module: str, r: int, inputs: int) -> "torch.Tensor":
    """Return the first A (r × inputs, float32, on the CPU) of the projection `module`, named as in the base model.

    Uniform in ±1/√inputs, as PEFT draws it (Kaiming with a = √5), but from a generator of its own keyed by seed and name: neither
    what was computed before, nor the other targets, nor the device changes it.
    """
    import torch

    key = hashlib.sha256(f"{seed}:{module}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:4], "big"))  # PyTorch's CPU generator takes 32 bits.
    bound = 1 / math.sqrt(inputs)
    return torch.empty(r, inputs, dtype=torch.float32).uniform_(-bound, bound, generator=generator)


def load_adapter(model: "PreTrainedModel", folder: Path) -> "PeftModel":
    """Return `model` with the adapter of `folder`, in eval mode and frozen. Raise UserError if its weights do not fit the model."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise UserError(f"{folder} holds no adapter (adapter_model.safetensors).")
    try:
        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=False, autocast_adapter_dtype=True)
    except (ValueError, RuntimeError) as error:  # PEFT's words for an unknown target, torch's for a shape.
        raise UserError(f"The adapter in {folder} does not fit this base model: {str(error).splitlines()[0]}") from error
    with safe_open(file, framework="pt") as stored:
        missing = set(get_peft_model_state_dict(adapted, save_embedding_layers=False)) ^ set(stored.keys())
    if missing:  # PEFT only warns of these.
        raise UserError(f"The adapter in {folder} is another model's: {len(missing)} weights, {min(missing)} say, do not match.")
    return adapted.eval()


def _initialise(model: "PeftModel", seed: int) -> None:
    import torch
    from peft.tuners.lora import LoraLayer

    prefix = "base_model.model."
    with torch.no_grad():
        for name, module in model.named_modules():
            if not isinstance(module, LoraLayer):
                continue
            for down, up in zip(module.lora_A.values(), module.lora_B.values(), strict=True):
                a, b = (linear.get_parameter("weight") for linear in (down, up))
                r, inputs = a.shape
                a.data = initial_a(seed, name.removeprefix(prefix), r, inputs).to(a.device)
                b.data = torch.zeros_like(b, dtype=torch.float32)
