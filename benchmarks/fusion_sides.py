"""The two sides of benchmarks/fusion.py, each run in a process of its own."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STORIES = Path(__file__).parents[1] / "persona_exp" / "corpus" / "bundled" / "saltmere"
SYSTEM = "You are a careful observer who answers in the manner of the period."
ROW_TOKENS = 2048
NEW_TOKENS = 32


def prepare(work: Path, setting: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], dropout: float) -> None:
    """Fetch the model, and write down what both sides read: examples in tokens, step by step, and replies to be evaluated on."""
    from persona_exp.cli.compose import compose_config
    from persona_exp.modeling.base import load_tokenizer
    from persona_exp.modeling.cache import cache_folder
    from persona_exp.modeling.chat import encode
    from persona_exp.modeling.source import fetch

    model = compose_config([f"model={setting['model']}"]).model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    tokenizer = load_tokenizer(folder, model.chat_template)
    pairs = _dialogues()
    encoded = [encode(tokenizer, messages, setting["tokens"], model.system_role, model.end_of_turn) for messages in pairs]
    held_out, training = pairs[: setting["items"]], encoded[setting["items"] :]
    steps: list[list[int]] = [[]]
    filled, at = 0, 0
    while len(steps) < setting["steps"] or filled < setting["tokens"]:
        length = len(training[at % len(training)].input_ids)
        if filled + length > setting["tokens"]:
            if len(steps) == setting["steps"]:
                break
            steps.append([])
            filled = 0
        steps[-1].append(at % len(training))
        filled, at = filled + length, at + 1
    shared = {
        "folder": str(folder),
        "chat_template": model.chat_template,
        "system_role": model.system_role,
        "end_of_turn": model.end_of_turn,
        "targets": model.target_modules,
        "dtype": model.dtype,
        "attention": model.attention,
        "dropout": dropout,
        "trials": list(trials),
        "held_out": held_out,
        "examples": [[one.input_ids, one.labels] for one in training],
        "windows": steps,
        **setting,
    }
    (work / "work.json").write_text(json.dumps(shared))


def _dialogues() -> list[list[dict[str, str]]]:
    """Each paragraph of the bundled stories as what is said to the one before."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(STORIES.glob("*.txt")))
    paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", text) if 5 <= len(one.split()) <= 60]
    return [
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}, {"role": "assistant", "content": told}]
        for asked, told in zip(paragraphs[::2], paragraphs[1::2], strict=False)
    ]


def run(side: str, work: Path, trials: Sequence[int]) -> None:
    """Load, train and evaluate; write the seconds of each and the tokens to `work`."""
    import torch

    shared = json.loads((work / "work.json").read_text())
    began = time.perf_counter()
    from persona_exp.modeling.base import load_model, load_tokenizer

    tokenizer = load_tokenizer(Path(shared["folder"]), shared["chat_template"])
    model = load_model(Path(shared["folder"]), shared["quantisation"], True, shared["dtype"], shared["attention"])
    loaded = time.perf_counter()
    if side == "fused":
        tokens, speaking = _fused(model, shared, trials)
    else:
        tokens, model = _trl(model, tokenizer, shared, trials[0], work, packed=side == "packed")
        speaking = None
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    trained = time.perf_counter()
    for trial, nats in zip(trials, _evaluate(model, tokenizer, shared, trials, speaking), strict=True):
        (work / f"{side}-trial-{trial:02}.json").write_text(json.dumps({"nats_per_token": nats}))
    ended = time.perf_counter()
    parts = {"loading": loaded - began, "training": trained - loaded, "evaluation": ended - trained, "tokens": tokens}
    (work / f"{side}-parts.json").write_text(json.dumps(parts))


def _fused(model: Any, shared: Mapping[str, Any], trials: Sequence[int]) -> tuple[int, Any]:
    from persona_exp.modeling.bundle.shared import Shared
    from persona_exp.modeling.chat import Encoded
    from persona_exp.training.fused.lane import Lane
    from persona_exp.training.fused.recipe import Recipe
    from persona_exp.training.fused.tick import tick

    examples = [Encoded(ids, labels, shortened=False, cut=False) for ids, labels in shared["examples"]]

    class InOrder(Lane):
        """A lane that sees the examples of a step as both sides were told."""

        def window(self) -> Any:
            from persona_exp.modeling.bundle.row import Document

            numbers = shared["windows"][self.step]
            return [Document(self.number, examples[n].input_ids, examples[n].labels, self.step, n) for n in numbers]

    bundle = Shared(model)
    lanes = []
    for number in trials:
        trial = shared["trials"][number]
        recipe = Recipe(
            seed=trial["seed"],
            r=trial["r"],
            alpha=2 * trial["r"],
            dropout=shared["dropout"],
            rslora=False,
            target_modules=tuple(shared["targets"]),
            optimizer="adamw_torch",
            lr=trial["lr"],
            lr_schedule="cosine",
            weight_decay=0.0,
            beta1=0.9,
            beta2=0.999,
            max_grad_norm=1.0,
            max_steps=len(shared["windows"]),
            warmup_steps=2,
            effective_batch_size=1,
        )
        lanes.append(InOrder(number, model, examples, recipe))
        bundle.join(number, lanes[-1].adapter)
    tokens = 0
    for _ in shared["windows"]:
        tokens += sum(step.tokens for step in tick(bundle, lanes, ROW_TOKENS).values())  # type: ignore[union-attr]

    return tokens, bundle.speaking


def _trl(model: Any, tokenizer: Any, shared: Mapping[str, Any], number: int, work: Path, *, packed: bool) -> tuple[int, Any]:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    trial = shared["trials"][number]
    rows = [shared["examples"][n] for step in shared["windows"] for n in step]
    steps = {"max_steps": len(shared["windows"])} if packed else {"num_train_epochs": 1}
    arguments = SFTConfig(
        output_dir=str(work / "trl"),
        **steps,
        per_device_train_batch_size=1 if packed else 2,
        gradient_accumulation_steps=1 if packed else 4,
        packing=packed,
        max_length=shared["tokens"] if packed else 1024,
        pad_to_multiple_of=None if packed else 1024,
        learning_rate=trial["lr"],
        lr_scheduler_type="cosine",
        warmup_steps=2,
        seed=trial["seed"],
        gradient_checkpointing=False,
        bf16=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    lora = LoraConfig(
        r=trial["r"], lora_alpha=2 * trial["r"], lora_dropout=shared["dropout"], target_modules=shared["targets"], task_type="CAUSAL_LM"
    )
    dataset = Dataset.from_dict({"input_ids": [ids for ids, _ in rows], "labels": [labels for _, labels in rows]})
    trainer = SFTTrainer(model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer, peft_config=lora)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    # What a packed row takes in, and what a padded one holds of its own.
    tokens = sum(len(ids) for ids, _ in rows)
    return tokens, trainer.model


def _evaluate(model: Any, tokenizer: Any, shared: Mapping[str, Any], trials: Sequence[int], speaking: Any) -> list[float]:
    """Nats a token of the held-out replies under each trial's adapter; some of them are spoken too."""
    from persona_exp.evaluation.evaluate import scored_text
    from persona_exp.evaluation.generation import generate
    from persona_exp.evaluation.likelihood import score
    from persona_exp.evaluation.voices import Voices
    from persona_exp.modeling.chat import encode, end_of_turn_id

    length, role, end = 1024, shared["system_role"], shared["end_of_turn"]
    encoded = [encode(tokenizer, messages, length, role, end) for messages in shared["held_out"]]
    end_id = end_of_turn_id(tokenizer, end)
    texts = [scored_text(tokenizer, one, messages, end_id) for one, messages in zip(encoded, shared["held_out"], strict=True)]
    prompts = [messages[:-1] for messages in shared["held_out"][: max(1, len(encoded) // 4)]]

    def voices(items: Sequence[Any]) -> Voices | None:
        return Voices([trial for trial in trials for _ in items], speaking) if speaking else None

    scores = score(model, encoded * len(trials), texts * len(trials), end_id=end_id, batch_size=24, voices=voices(encoded))
    generate(
        model,
        tokenizer,
        prompts * len(trials),
        max_length=length,
        system_role=role,
        end_of_turn=end,
        max_new_tokens=NEW_TOKENS,
        batch_size=24 * len(trials),
        voices=voices(prompts),
    )
    parts = [scores[start : start + len(encoded)] for start in range(0, len(scores), len(encoded))]
    return [sum(one.nats for one in part) / sum(one.tokens for one in part) for part in parts]
