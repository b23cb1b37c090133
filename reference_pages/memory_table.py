"""docs/reference/gpu_memory.md: what a trial alone needs of a GPU, by model and method, from the estimate of memory."""

from dataclasses import replace

from persona_exp.cli.config_from_overrides import compose_config
from persona_exp.config.schema import Config
from persona_exp.modeling.gguf_wheel_download import hub_repository
from persona_exp.modeling.layer_sizes import KNOWN_LAYER_SIZES, LayerSizes
from persona_exp.modeling.training_memory_estimate import GIB, TrialTraining, estimate_training_memory
from persona_exp.project_folders import CONF
from reference_pages.markdown_table import markdown_table

METHODS = ("qlora", "lora", "full")
INTRODUCTION = """# GPU memory

<!-- Written by `python -m reference_pages` from persona_exp/modeling/training_memory_estimate.py. -->

The table gives the GiB of GPU memory that one trial needs at its peak, by base model and method.
The figures are estimates by formula. On a GPU they have not been measured.

They hold for the defaults of this project:

- rank {r} on all linear layers of the blocks, and AdamW with 32-bit state,
- the model's own micro-batch, of examples of {max_length:,} tokens,
- `engine=sft`, which trains one trial alone.

The second figure is with `train.gradient_checkpointing=true`, which takes less memory and more time.
A bundle of `engine=fused` needs the base model once, and less for each further trial; its dry run says how much.
"""


def memory_page() -> str:
    """Return the page."""
    default, methods = compose_config([]), [compose_config([f"method={method}"]).method for method in METHODS]
    rows = []
    for name in sorted(path.stem for path in (CONF / "model").glob("*.yaml")):
        config = compose_config([f"model={name}"])
        model, sizes = config.model, KNOWN_LAYER_SIZES.get(hub_repository(config.model.location))
        if sizes:
            needs = [_needs(sizes, replace(config, method=method)) for method in methods]
            rows.append((f"`{name}`", f"{sizes.parameters / 1e9:.1f}", str(model.micro_batch_size), *needs))
    header = ("model", "billion weights", "micro-batch", *(f"method={method}" for method in METHODS))
    introduction = INTRODUCTION.format(r=default.lora.r, max_length=default.train.max_length)
    left_out = "\nModels of `conf/model` that are not in the table have layers whose sizes the estimate does not know."
    return f"{introduction}\n{markdown_table(header, rows, numbers=True)}\n{left_out}\n"


def _needs(sizes: LayerSizes, config: Config) -> str:
    found = []
    for checkpointing in (False, True):
        training = TrialTraining(
            method=config.method.name,
            quantisation=config.method.quantisation,
            double_quantisation=config.method.double_quantisation,
            dtype=config.model.dtype,
            attention="sdpa",
            r=config.lora.r,
            target_modules=config.lora.target_modules,
            dropout=config.lora.dropout,
            optimizer=config.optim.name,
            micro_batch_size=config.train.micro_batch_size or config.model.micro_batch_size,
            max_length=config.train.max_length,
            gradient_checkpointing=checkpointing,
            gpu=True,
        )
        found.append(estimate_training_memory(sizes, training).total / GIB)
    return " / ".join(f"{need:.0f}" if need >= 10 else f"{need:.1f}" for need in found)
