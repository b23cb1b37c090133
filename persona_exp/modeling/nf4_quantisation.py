"""NF4 by bitsandbytes: 4-bit NormalFloat (Dettmers et al. 2023, arXiv:2305.14314), and what its CPU code must be kept from."""

from typing import TYPE_CHECKING

from persona_exp.errors import UserError

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig
NF4_MULTIPLE = 64


def nf4_config(compute_dtype: "torch.dtype", double_quantisation: bool) -> "BitsAndBytesConfig":
    """Return the config with which transformers loads projections in NF4 and computes them in `compute_dtype`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=double_quantisation,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def refuse_wrong_arithmetic(model: "torch.nn.Module") -> None:
    """Raise UserError if a row of a projection is not a multiple of 64 numbers: bitsandbytes (0.50.2) on a CPU dequantises it wrongly."""
    from bitsandbytes.nn.modules import Linear4bit

    sizes = {name: module.in_features for name, module in model.named_modules() if isinstance(module, Linear4bit)}
    wrong = [f"{name} ({inputs})" for name, inputs in sizes.items() if inputs % NF4_MULTIPLE]
    if wrong:
        raise UserError(
            f"{len(wrong)} projections, {wrong[0]} the first, have an input size that is not a multiple of {NF4_MULTIPLE}, "
            "which NF4 on a CPU computes wrongly: use method=lora, or a GPU."
        )


def keep_trainable_layout(model: "torch.nn.Module") -> None:
    """Keep the layout of 4-bit weights that has a backward pass.

    bitsandbytes (0.50.2) repacks the weights for AVX-512-BF16 processors at the first forward pass in eval mode, for good, and
    the product that reads this layout has no backward pass: training after an evaluation would silently stop at each projection.
    Without it, results are also nearer to those of other processors. The price is generation one sequence at a time (×2).
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
