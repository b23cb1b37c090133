"""What an attempt's training did in what time, and what it took: the figures that its record keeps."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def multiplied_weights(model: "torch.nn.Module") -> int:
    """Return N: how many weights of the base model a token is multiplied with, those of its linear layers.

    The output head counts, also where it is the embedding; the embedding itself does not, since a token only picks a row of it. Norms and
    biases, less than a thousandth, are left out, and so are LoRA's own, which peft adds to `model`. Quantised layers count as what they
    stand for.
    """
    from torch import nn

    return sum(
        module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lora_" not in name
    )


def flops_per_token(weights: int, *, frozen: bool) -> int:
    """Return the FLOPs of a training step for each token of it, with N `weights` in the base model.

    2N forward, 2N backward to the activations and 2N to the weights (Kaplan et al. 2020, arXiv:2001.08361, section 2.1), the last of which
    a frozen base does without: 4N. What adapters and attention's scores take is left out, and so is what is computed a second time, to save
    memory: these are the model's FLOPs, of which utilisation is a fraction (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
    """
    return (4 if frozen else 6) * weights


@dataclass(frozen=True)
class TrainingTotals:
    """What was trained: `steps` is the trial's step when it ended, all else is of this attempt alone. `tokens` are real ones, without
    padding; of a bundle, `seconds` is the trial's share by tokens, so that its tokens per second are the device's while that worked for it.
    """

    steps: int
    resumed_from_step: int
    seconds: float
    tokens: int
    supervised_tokens: int


def training_record(
    totals: TrainingTotals,
    *,
    flops_per_token: int,
    peak_flops: float | None = None,
    peak_memory_bytes: int | None = None,
    energy_joules: float | None = None,
    validation_seconds: float | None = None,
    bundle: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what an attempt's record says of its training.

    Of a bundle, `energy_joules` is the trial's share by tokens; `peak_memory_bytes` is the whole bundle's. `utilisation` is a fraction of
    `peak_flops` (FLOP/s). What is not known is null. Validation, if there was any, took `validation_seconds` besides.
    """
    tokens, seconds = totals.tokens, totals.seconds
    pace = tokens / seconds if seconds > 0 else None
    speed = None if pace is None else pace * flops_per_token
    record = {
        **asdict(totals),
        "tokens_per_second": pace,
        "model_flops_per_second": speed,
        "peak_flops_per_second": peak_flops,
        "utilisation": speed / peak_flops if speed is not None and peak_flops else None,
        "peak_memory_bytes": peak_memory_bytes,
        "energy_joules": energy_joules,
    }
    optional = {"validation_seconds": validation_seconds, "bundle": bundle}
    return {**record, **{name: value for name, value in optional.items() if value}}


def bundle_record(
    *, trials: int, row_tokens: int, steps: int, tokens: int, seconds: float, probe: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return what a trial's record says of the bundle that it was trained in, until it left.

    `trials` began together; the bundle took `steps` steps, in each of which every trial in it takes one of its own, with `tokens` real
    tokens in all, in `seconds`; no more than `row_tokens` at once. `probe` is what the device showed before the first step.
    """
    record = {
        "trials": trials,
        "row_tokens": row_tokens,
        "tokens_a_step": tokens / steps if steps else None,
        "tokens_per_second": tokens / seconds if seconds > 0 else None,
    }
    return {**record, "probe": probe} if probe else record
