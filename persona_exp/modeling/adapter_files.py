"""adapter_config.json, adapter_model.safetensors and README.md of a LoRA adapter, in PEFT's format."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.atomic_files import file_digest
from persona_exp.modeling.model_card import README, BaseModelReference, adapter_readme

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig, PeftModel


def save_adapter(model: "PeftModel", folder: Path, base: BaseModelReference) -> None:
    """Write the adapter to `folder` in PEFT's format, with `base` as its base model.

    The name it was loaded under is a folder of this machine's cache, of no use elsewhere.
    """
    (config,) = model.peft_config.values()
    config.base_model_name_or_path, config.revision = base.name, base.revision
    # "auto" would ask the hub for the base model's config.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    # PEFT's model card is an empty form around the name that the model was loaded under.
    (folder / README).write_text(adapter_readme(base), encoding="utf-8")


def write_adapter(
    tensors: "Mapping[str, torch.Tensor]",
    folder: Path,
    base: BaseModelReference,
    *,
    r: int,
    alpha: float,
    dropout: float,
    target_modules: Sequence[str],
    rslora: bool,
) -> None:
    """Write the files that `save_adapter` writes, of weights in no PEFT model, without importing PEFT; `tensors` by PEFT's names."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {
        **adapter_config(r=r, alpha=alpha, dropout=dropout, target_modules=target_modules, rslora=rslora),
        "base_model_name_or_path": base.name,
        "revision": base.revision,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")
    save_file(dict(tensors), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / README).write_text(adapter_readme(base), encoding="utf-8")


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 (64 hex digits) of each file of `folder` that a model is loaded from, by name."""
    return {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".json")}


def refuse_not_finite(folder: Path) -> None:
    """Raise FloatingPointError if the norm of a tensor of the *.safetensors in `folder` is not finite in float32: then one of its numbers
    is not, or all are so large that no product with them is. One at a time is in memory."""
    from safetensors import safe_open

    count, wrong = 0, []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                count += 1
                wrong += [name] if not file.get_tensor(name).float().norm().isfinite() else []
    if wrong:
        raise FloatingPointError(f"{len(wrong)} of {count} trained tensors, {wrong[0]} the first, have no finite norm: lower optim.lr.")


def adapter_config(*, r: int, alpha: float, dropout: float, target_modules: Sequence[str], rslora: bool) -> dict[str, Any]:
    """Return the content of adapter_config.json as PEFT saves it, apart from keys that every PEFT leaves at their default.

    What changes the product is spelled out also where it is PEFT's default. Keys that came with late versions of PEFT are left out,
    of which an older one would warn.
    """
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "r": r,
        "lora_alpha": _peft_alpha(alpha),
        "lora_dropout": dropout,
        "target_modules": sorted(target_modules),
        "use_rslora": rslora,
        "use_dora": False,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "rank_pattern": {},
        "alpha_pattern": {},
    }


def lora_config(*, r: int, alpha: float, dropout: float, target_modules: Sequence[str], rslora: bool) -> "LoraConfig":
    """Return the adapter's config as PEFT's class."""
    from peft import LoraConfig

    return LoraConfig(
        r=r,
        lora_alpha=_peft_alpha(alpha),  # type: ignore[arg-type]
        lora_dropout=dropout,
        target_modules=list(target_modules),
        use_rslora=rslora,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _peft_alpha(alpha: float) -> float:
    """Return 32 for 32.0, as PEFT's files write it."""
    return int(alpha) if float(alpha).is_integer() else alpha
