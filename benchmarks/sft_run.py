"""One trial trained by TRL's SFTTrainer, on the examples and with the settings that the fused engine has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.step_clock import StepClock

PADDED = 1024


@dataclass(frozen=True)
class Batching:
    """How SFTTrainer lays out its batches: packed into rows of at most `max_length` tokens, or each example padded to that length; and
    whether it computes them with bf16 autocast."""

    packing: bool
    max_length: int
    autocast: bool
    batch_size: int = 1
    accumulation: int = 1


def packed(tokens: int, autocast: bool) -> Batching:
    """One row of whole examples a step, without padding: TRL's fastest."""
    return Batching(packing=True, max_length=tokens, autocast=autocast)


def published(autocast: bool) -> Batching:
    """As published recipes train: two examples at a time, padded to 1,024 tokens, and a step every four times."""
    return Batching(packing=False, max_length=PADDED, autocast=autocast, batch_size=2, accumulation=4)


def fastest_attention() -> str:
    """The attention with which SFTTrainer packs fastest here: FlashAttention where it is installed."""
    import torch
    from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

    if not torch.cuda.is_available():
        return "sdpa"
    if is_flash_attn_3_available():
        return "flash_attention_3"
    return "flash_attention_2" if is_flash_attn_2_available() else "sdpa"


def train_sft(
    model: Any,
    tokenizer: Any,
    examples: Sequence[tuple[Sequence[int], Sequence[int]]],
    trial: Mapping[str, Any],
    batching: Batching,
    *,
    targets: Sequence[str],
    dropout: float,
    folder: Path,
    clock: StepClock,
) -> tuple[Any, tuple[int, int]]:
    """Train on `examples` (token ids, labels) once; the model with its adapter, and the rows and columns of the largest batch that it saw.

    No gradient checkpointing, no saving and no logging; AdamW is PyTorch's fused one, which is TRL's default.
    """
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    seen = {"tokens": 0, "largest": (0, 0)}

    class Counting(SFTTrainer):
        """Counts the real tokens of a step, and keeps the shape of the largest batch."""

        def compute_loss(self, model: Any, inputs: dict[str, Any], *given: Any, **named: Any) -> Any:
            ids = inputs["input_ids"]
            seen["tokens"] += int(inputs["attention_mask"].sum()) if "attention_mask" in inputs else ids.numel()
            seen["largest"] = max(seen["largest"], tuple(ids.shape), key=lambda shape: shape[0] * shape[1])
            return super().compute_loss(model, inputs, *given, **named)

    class Timing(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.begin()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.end(seen["tokens"])
            seen["tokens"] = 0
            if state.global_step == state.max_steps:
                clock.done()

    arguments = SFTConfig(
        output_dir=str(folder / "trl"),
        num_train_epochs=1,
        per_device_train_batch_size=batching.batch_size,
        gradient_accumulation_steps=batching.accumulation,
        packing=batching.packing,
        max_length=batching.max_length,
        pad_to_multiple_of=None if batching.packing else batching.max_length,
        learning_rate=trial["lr"],
        lr_scheduler_type="constant",
        seed=trial["seed"],
        gradient_checkpointing=False,
        bf16=batching.autocast,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    lora = LoraConfig(r=trial["r"], lora_alpha=2 * trial["r"], lora_dropout=dropout, target_modules=list(targets), task_type="CAUSAL_LM")
    dataset = Dataset.from_dict({"input_ids": [list(ids) for ids, _ in examples], "labels": [list(labels) for _, labels in examples]})
    trainer = Counting(
        model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer, peft_config=lora, callbacks=[Timing()]
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False), seen["largest"]
