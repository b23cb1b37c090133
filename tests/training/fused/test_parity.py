"""Trained together is trained alone: against each trial alone, and against TRL's SFTTrainer."""

from typing import Any

import pytest
import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.concatenated_lora_product import ConcatenatedProduct
from persona_exp.modeling.multi_lora.lora_product import add_one_by_one, add_padded, add_slices
from persona_exp.modeling.tokenizer_loading import load_tokenizer
from persona_exp.training.example_order import examples_of_step
from persona_exp.training.learning_rate_schedule import learning_rate_scheduler
from tests.training.fused.bundles import FOUR, TARGETS, Bundle, base, examples, recipe

STEPS = 20


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def deltas(adapter: Any) -> torch.Tensor:
    """ΔW of every projection, one behind the other."""
    return torch.cat([(pair.scale * pair.b @ pair.a).detach().flatten() for pair in adapter.pairs.values()])


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.fixture(scope="module")
def each_alone(folder):
    """Of four different trials, in shorter rows: the steps, and what the weights have become."""
    found = []
    for number in range(4):
        alone = Bundle(base(folder), [recipe(max_steps=STEPS, **changes) for changes in FOUR], [number], row_tokens=90)
        found.append((alone.run(STEPS)[number], deltas(alone.slots[0].adapter)))
    return found


@pytest.mark.parametrize(
    "product",
    [
        add_one_by_one,
        pytest.param(add_slices, marks=pytest.mark.long),
        pytest.param(add_padded, marks=pytest.mark.long),
        ConcatenatedProduct(),
    ],
)
def test_four_different_trials_together_are_each_alone(folder, each_alone, product):
    together = Bundle(base(folder), [recipe(max_steps=STEPS, **changes) for changes in FOUR], range(4), product=product)
    losses = together.run(STEPS)
    for number, (steps, delta) in enumerate(each_alone):
        for ours, theirs in zip(losses[number], steps, strict=True):
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-9)
            assert (ours.step, ours.learning_rate, ours.tokens) == (theirs.step, theirs.learning_rate, theirs.tokens)
        assert far(deltas(together.slots[number].adapter), delta) <= 1e-9


class InOrder(SFTTrainer):
    """SFTTrainer, but for the order of the data, the schedule, and a loss in float64, which transformers rounds to float32."""

    losses: list[float]

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        given = {"lr_schedule": self.args.lr_scheduler_type.value, "warmup_steps": self.args.warmup_steps}
        self.lr_scheduler = learning_rate_scheduler(self.optimizer, **given, max_steps=num_training_steps)
        return self.lr_scheduler

    def _get_train_sampler(self, *_: Any) -> Any:
        return SequentialSampler(self.train_dataset)

    def compute_loss(self, model: Any, inputs: Any, num_items_in_batch: Any = None, **_: Any) -> Any:
        logits, targets = model(inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, :-1], inputs["labels"][:, 1:]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum") / num_items_in_batch
        self.losses.append(float(loss.detach()))
        return loss


@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param({"r": 4, "rslora": True, "lr_schedule": "linear", "weight_decay": 0.1, "max_grad_norm": 0.1}, marks=pytest.mark.long),
    ],
)
def test_one_trial_is_what_trl_trains(folder, tmp_path, changes):
    ours = recipe(max_steps=STEPS, **changes)
    bundle = Bundle(base(folder), [ours], [0])
    data = examples(0, 12)
    losses = [step.loss for step in bundle.run(STEPS)[0]]

    model = add_lora(
        base(folder), r=ours.lora.r, alpha=ours.lora.alpha, dropout=0.0, target_modules=TARGETS, rslora=ours.lora.rslora, seed=ours.seed
    ).double()
    order = [n for step in range(STEPS) for n in examples_of_step(step, examples=12, effective_batch_size=4, seed=ours.seed)]
    trainer = InOrder(
        model=model,
        args=SFTConfig(
            output_dir=str(tmp_path),
            max_steps=STEPS,
            warmup_steps=ours.warmup_steps,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            learning_rate=ours.optimizer.lr,
            lr_scheduler_type=ours.optimizer.lr_schedule,
            optim="adamw_torch",
            weight_decay=ours.optimizer.weight_decay,
            max_grad_norm=ours.optimizer.max_grad_norm,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            save_strategy="no",
            logging_steps=1,
            report_to=[],
            disable_tqdm=True,
            dataset_kwargs={"skip_prepare_dataset": True},
            max_length=None,
        ),
        train_dataset=Dataset.from_dict({"input_ids": [data[n].input_ids for n in order], "labels": [data[n].labels for n in order]}),
        processing_class=load_tokenizer(folder, None),
    )
    trainer.losses = []
    trainer.train()
    theirs = [sum(micro) for micro in zip(trainer.losses[::2], trainer.losses[1::2], strict=True)]
    assert losses == pytest.approx(theirs, rel=1e-9)
    peft = {name.removeprefix("base_model.model."): module for name, module in model.named_modules() if hasattr(module, "lora_A")}
    of_trl = torch.cat([module.get_delta_weight("default").detach().flatten() for name, module in peft.items()])
    assert far(deltas(bundle.slots[0].adapter), of_trl) <= 1e-9
