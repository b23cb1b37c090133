"""LoRA+: B learns faster than A, as peft's optimiser has it."""

import pytest
import torch
from peft.optimizers import create_loraplus_optimizer

from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_source import fetch
from persona_exp.training.example_order import examples_of_step
from persona_exp.training.learning_rate_schedule import learning_rate_scheduler
from tests.training.fused.bundles import TARGETS, Bundle, base, examples, recipe

STEPS = 20


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


def trained_by_peft(folder, ours):
    """The losses and the adapted model of the same steps, taken with peft's optimiser."""
    model = add_lora(
        base(folder), r=ours.lora.r, alpha=ours.lora.alpha, dropout=0.0, target_modules=TARGETS, rslora=False, seed=ours.seed
    ).double()
    optimizer = create_loraplus_optimizer(
        model,
        torch.optim.AdamW,
        lr=ours.optimizer.lr,
        loraplus_lr_ratio=ours.optimizer.loraplus_lr_ratio,
        loraplus_weight_decay=ours.optimizer.weight_decay,
        betas=(ours.optimizer.beta1, ours.optimizer.beta2),
    )
    schedule = learning_rate_scheduler(
        optimizer, lr_schedule=ours.optimizer.lr_schedule, warmup_steps=ours.warmup_steps, max_steps=ours.max_steps
    )
    data, losses = examples(0, 12), []
    for step in range(STEPS):
        batch = [data[n] for n in examples_of_step(step, examples=12, effective_batch_size=ours.effective_batch_size, seed=ours.seed)]
        supervised = sum(label != -100 for one in batch for label in one.labels[1:])
        total = torch.zeros((), dtype=torch.float64)
        for one in batch:
            logits, labels = model(torch.tensor([one.input_ids])).logits[0, :-1], torch.tensor(one.labels[1:])
            total = total + torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / supervised
        total.backward()
        losses.append(float(total.detach()))
        torch.nn.utils.clip_grad_norm_([one for one in model.parameters() if one.requires_grad], ours.optimizer.max_grad_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return losses, model


@pytest.mark.parametrize("ratio", [1.0, 16.0])
def test_it_is_what_peft_trains(folder, ratio):
    ours = recipe(loraplus_lr_ratio=ratio, max_steps=STEPS, weight_decay=0.1)
    bundle = Bundle(base(folder), [ours], [0])
    losses = [step.loss for step in bundle.run(STEPS)[0]]
    theirs, model = trained_by_peft(folder, ours)
    assert losses == pytest.approx(theirs, rel=1e-9)
    for name, pair in bundle.slots[0].adapter.pairs.items():
        adapted = model.get_submodule(f"base_model.model.{name}")
        for own, of_peft in ((pair.a, adapted.lora_A["default"].weight), (pair.b, adapted.lora_B["default"].weight)):
            assert float((own - of_peft).norm() / of_peft.norm()) <= 1e-9


def test_b_learns_faster_and_a_does_not(folder):
    ends = []
    for ratio in (1.0, 16.0):
        bundle = Bundle(base(folder), [recipe(loraplus_lr_ratio=ratio, warmup_steps=0)], [0])
        before = [one.detach().clone() for one in bundle.slots[0].adapter.parameters()]
        bundle.run(1)
        ends.append([float((now - old).norm()) for now, old in zip(bundle.slots[0].adapter.parameters(), before, strict=True)])
    (a, b), (a_plus, b_plus) = ends
    assert a_plus == a
    assert b_plus == pytest.approx(16 * b, rel=1e-12)
