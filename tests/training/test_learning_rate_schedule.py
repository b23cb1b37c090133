"""Steps, batches and learning rates."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import get_scheduler

from persona_exp.errors import UserError
from persona_exp.training.learning_rate_schedule import learning_rate_factor, learning_rate_scheduler
from persona_exp.training.steps_and_micro_batches import plan_steps

SCHEDULES = ("cosine", "linear", "constant", "constant_with_warmup")


def make(**changes):
    usual = {"examples": 195, "epochs": 3, "max_steps": None, "effective_batch_size": 8, "micro_batch_size": 4, "warmup_ratio": 0.05}
    return plan_steps(**{**usual, **changes})


def rates(lr_schedule, warmup_steps, max_steps):
    return [
        learning_rate_factor(step, lr_schedule=lr_schedule, warmup_steps=warmup_steps, max_steps=max_steps) for step in range(max_steps)
    ]


def optimizer(*lrs):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs])


def followed(optimizer, schedule, steps):
    """The rates of each group."""
    found = []
    for _ in range(steps):
        found.append(schedule.get_last_lr())
        optimizer.step()
        schedule.step()
    return found


def test_three_epochs_of_195_examples_in_eights():
    schedule = make()
    assert (schedule.max_steps, schedule.warmup_steps) == (75, 4)
    assert (schedule.micro_batch_size, schedule.accumulation_steps) == (4, 2)


def test_max_steps_rules_over_epochs():
    assert make(max_steps=6).max_steps == 6


@given(effective=st.integers(1, 128), micro=st.integers(1, 128), examples=st.integers(1, 10_000), epochs=st.floats(0.1, 10))
def test_a_step_sees_the_effective_batch_whatever_the_micro_batch(effective, micro, examples, epochs):
    schedule = make(effective_batch_size=effective, micro_batch_size=micro, examples=examples, epochs=epochs)
    assert schedule.micro_batch_size * schedule.accumulation_steps == effective
    assert schedule.micro_batch_size <= micro
    assert schedule.max_steps == math.ceil(epochs * math.ceil(examples / effective)) >= 1


def test_warmup_in_steps_stands_instead_of_the_ratio():
    assert make(warmup_steps=10).warmup_steps == 10
    assert make(warmup_steps=0).warmup_steps == 0
    assert make(warmup_steps=74).warmup_steps == 74
    with pytest.raises(UserError, match=r"optim\.warmup_steps=75 is not below the 75 steps"):
        make(warmup_steps=75)


def test_a_constant_rate_has_no_warmup():
    assert make(lr_schedule="constant").warmup_steps == 0
    assert make(lr_schedule="constant_with_warmup").warmup_steps == 4


@given(st.sampled_from(SCHEDULES), st.integers(1, 200), st.floats(0, 1))
def test_no_step_is_taken_at_rate_0_and_one_at_least_at_the_whole_rate(lr_schedule, steps, ratio):
    warmup = make(max_steps=steps, warmup_ratio=ratio, lr_schedule=lr_schedule).warmup_steps
    assert warmup < steps
    found = rates(lr_schedule, warmup, steps)
    assert min(found) > 0
    assert found[warmup] == max(found) == 1
    assert found[:warmup] == pytest.approx([(step + 1) / (warmup + 1) for step in range(warmup)])


@pytest.mark.parametrize("lr_schedule", SCHEDULES)
@pytest.mark.parametrize(("warmup", "steps"), [(0, 7), (3, 7), (3, 50), (49, 50)])
def test_behind_the_warmup_it_is_transformers_own(lr_schedule, warmup, steps):
    ours, theirs = optimizer(3e-4), optimizer(3e-4)
    mine = followed(ours, learning_rate_scheduler(ours, lr_schedule=lr_schedule, warmup_steps=warmup, max_steps=steps), steps)
    known = followed(theirs, get_scheduler(lr_schedule, theirs, warmup, steps), steps)
    start = 0 if lr_schedule == "constant" else warmup
    assert [one for (one,) in mine[start:]] == pytest.approx([one for (one,) in known[start:]], rel=1e-12)


def test_it_goes_on_from_its_state_and_each_group_keeps_its_rate(tmp_path):
    how = {"lr_schedule": "cosine", "warmup_steps": 2, "max_steps": 9}
    one = optimizer(1e-3, 16e-3)
    whole = followed(one, learning_rate_scheduler(one, **how), 9)
    assert all(b == pytest.approx(16 * a) for a, b in whole)
    first = optimizer(1e-3, 16e-3)
    schedule = learning_rate_scheduler(first, **how)
    followed(first, schedule, 4)
    torch.save({"schedule": schedule.state_dict(), "optimizer": first.state_dict()}, tmp_path / "state.pt")
    second = optimizer(1e-3, 16e-3)
    again = learning_rate_scheduler(second, **how)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    second.load_state_dict(state["optimizer"])
    again.load_state_dict(state["schedule"])
    assert followed(second, again, 5) == whole[4:]


def test_rates_that_float32_holds_for_0_are_refused():
    with pytest.raises(UserError, match=r"optim\.lr=1e-50 .* is 0 in all 3 steps: raise optim\.lr"):
        learning_rate_scheduler(optimizer(1e-50), lr_schedule="cosine", warmup_steps=1, max_steps=3)


def test_rates_that_float32_does_not_hold_are_refused():
    adam = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1e38, betas=(0.9, 0.999))
    with pytest.raises(UserError, match=r"optim\.lr=1e\+38 is more than float32 holds: lower optim\.lr"):
        learning_rate_scheduler(adam, lr_schedule="cosine", warmup_steps=0, max_steps=1)
