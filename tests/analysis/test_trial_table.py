"""One trial alone shows intervals, and the base model's rows once these are measured."""

import pytest

FEW = ("model=tiny", "train.max_steps=2", "evaluation.likelihood_items=4", "evaluation.generated_items=1", "evaluation.max_new_tokens=2")


@pytest.mark.long
def test_a_trial_alone_is_shown_beside_its_base_model(run_py, built):
    first = run_py(*FEW)
    assert first.returncode == 0, first.stderr
    assert "[95 % CI]" in first.stdout
    assert "No base rows: the same command with method=none measures the base model" in first.stdout
    assert run_py(*FEW, "method=none").returncode == 0
    again = run_py(*FEW)
    assert again.returncode == 0, again.stderr
    lines = again.stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("base", "adapter "))] == ["base", "base", "adapter"]
    assert "No base rows" not in again.stdout
    assert "Sweep of one trial, " in again.stdout
