"""What a trial's training took, of what a bundle took."""

import pytest
import torch

from persona_exp.training.fused.slot import BundleStep, OptimizerStep, ValidationResult
from persona_exp.trial import resource_accounting as accounting
from persona_exp.trial.resource_accounting import DeviceMeter, ResourceAccount


def step(number, tokens):
    return OptimizerStep(number, 1.0, 1.0, 1e-3, 0.1, tokens, tokens // 2)


def test_what_is_done_aside_is_no_trainings(monkeypatch):
    held = [10, 0]

    def forget():
        held[1] = held[0]

    def take(amount):
        held[0] = amount
        held[1] = max(held)

    monkeypatch.setattr(accounting, "forget_peak_memory", forget)
    monkeypatch.setattr(accounting, "peak_memory_bytes", lambda: held[1])
    meter = DeviceMeter(torch.nn.Linear(10, 100), None)
    with meter.aside():
        take(50)
        with meter.aside():
            take(70)
        take(90)
        take(10)
    assert meter.peak_memory_bytes() == 10
    take(20)
    assert meter.peak_memory_bytes() == 20


def test_validations_are_counted_apart_from_steps():
    account = ResourceAccount(DeviceMeter(torch.nn.Linear(10, 100), None))
    account.add(step(1, 100), BundleStep(seconds=4.0, tokens=100, slots=1, row_tokens=512))
    assert "validation_seconds" not in account.record(1, 0)
    account.add_validation(ValidationResult(3.0, 2.5))
    assert (account.record(1, 0)["seconds"], account.record(1, 0)["validation_seconds"], account.spent) == (4.0, 2.5, 6.5)


def test_shares_are_by_tokens_and_add_up():
    meter = DeviceMeter(torch.nn.Linear(10, 100), None)
    accounts = [ResourceAccount(meter), ResourceAccount(meter)]
    for number in (1, 2):
        bundle_step = BundleStep(seconds=4.0, tokens=400, slots=2, row_tokens=512)
        for account, tokens in zip(accounts, (100, 300), strict=True):
            account.add(step(number, tokens), bundle_step)
    last = BundleStep(seconds=1.0, tokens=300, slots=1, row_tokens=512)
    accounts[1].add(step(3, 300), last)
    small, large = (account.record(steps, 0) for account, steps in zip(accounts, (2, 3), strict=True))
    assert (small["seconds"], large["seconds"]) == pytest.approx((2.0, 7.0))
    assert (small["tokens"], small["supervised_tokens"], large["tokens"]) == (200, 100, 900)
    assert small["tokens_per_second"] == pytest.approx(100)
    assert small["model_flops_per_second"] == pytest.approx(100 * 4 * 1000)
    assert small["bundle"] == {"trials": 2, "row_tokens": 512, "tokens_a_step": 400, "tokens_per_second": 100}
    assert large["bundle"]["tokens_a_step"] == pytest.approx(1100 / 3)
    assert small["utilisation"] is None
    assert small["peak_memory_bytes"] > 0
