"""Which trials share a bundle, and rate and cost of training: `status`, `show` and `why`. Golden files as in test_why.py."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from persona_exp.cli.commands.why import explain
from tests.cli.commands.test_status import TRAINING, compared
from tests.cli.conftest import NOW, SWEEP, Desk
from tests.conftest import ROOT

A, B, C, D, E, F = (f"{letter * 12}" for letter in "abcdef")
TRAINED = {
    "steps": 40,
    "resumed_from_step": 12,
    "seconds": 1840.5,
    "tokens": 26_154_321,
    "supervised_tokens": 8_400_000,
    "tokens_per_second": 14_210.4,
    "model_flops_per_second": 4.02e14,
    "peak_flops_per_second": 9.89e14,
    "utilisation": 0.40647,
    "peak_memory_bytes": 41 << 30,
    "energy_joules": 1.1e6,
    "bundle": {"trials": 4, "row_tokens": 8192, "tokens_a_step": 2140.4, "tokens_per_second": 14_210.4},
}
LOSSY = {"examples": 1479, "shortened": 9, "cut": 0, "skipped": 2, "skipped_examples": ["qa.1", "qa.7"]}
STOPPED = {"best_step": 30, "best_eval_loss": 2.71828, "stopped_early": True}
# Of a processor, whose peak and energy are not known, alone.
ON_CPU = {
    **{key: value for key, value in TRAINED.items() if key != "bundle"},
    "steps": 12,
    "resumed_from_step": 0,
    "seconds": 95.0,
    "tokens": 20_900,
    "supervised_tokens": 7_000,
    "tokens_per_second": 220.0,
    "model_flops_per_second": 1.183e11,
    "peak_flops_per_second": None,
    "utilisation": None,
    "peak_memory_bytes": 812 << 20,
    "energy_joules": None,
}


def bundled(desk: Desk) -> None:
    """Three trials that run together, of which the last came late and met a fourth no more; two in another process; one alone."""
    fresh = NOW.timestamp() - time.time()
    runs = {"progress": TRAINING, "started": None, "heartbeat": 60, "age": fresh}
    one, other = {**runs, "host": "gpu-node-017", "pid": 11}, {**runs, "host": "gpu-node-017", "pid": 12}
    desk.trial(A, [{**one, "together_with": [B, D, C]}], r=8)
    desk.trial(B, [{**one, "together_with": [A, D, C]}], r=16)
    desk.trial(C, [{**one, "together_with": [A, B]}], r=32)
    desk.trial(D, [{"status": "failed", "cause": "FloatingPointError", "message": "loss", "together_with": [A, B]}], r=64)
    desk.trial(E, [{"status": "interrupted", "cause": "preempted"}, {**other, "together_with": [F]}], r=128)
    desk.trial(F, [{**other, "together_with": [E]}], r=256)
    desk.trial("0" * 12, [{**runs, "host": "gpu-node-018"}], r=512)
    desk.sweep({A: 8, B: 16, C: 32, D: 64, E: 128, F: 256, "0" * 12: 512})


@pytest.mark.parametrize("width", [1000, 120, 80])
def test_status_shows_which_trials_share_a_bundle(desk, persona_exp, monkeypatch, width):
    bundled(desk)
    monkeypatch.setenv("COLUMNS", str(width))
    out = persona_exp("status", SWEEP)[1].partition("\n\n")[2].partition("\n\nWhat failed")[0] + "\n"
    compared(f"status-bundles-{width}", out, desk)
    assert all(len(line) <= width for line in out.splitlines())


def test_a_pipe_has_room_for_all(desk):
    bundled(desk)
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    command = [sys.executable, "-m", "persona_exp.cli.main", "status", SWEEP]
    out = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    assert "GPU-hours  node" in out
    assert "no room" not in out


def test_json_names_the_others(desk, persona_exp):
    bundled(desk)
    answer = json.loads(persona_exp("status", SWEEP, "--json")[1])
    assert {one["trial_id"]: one["together_with"] for one in answer["trials"]} == {
        **{A: [B, D, C], B: [A, D, C], C: [A, B], D: [A, B]},
        **{E: [F], F: [E], "0" * 12: []},
    }


def test_why_names_the_trials_that_still_run(desk):
    bundled(desk)
    assert f"It runs together with {B} and {C}, on one base model." in explain(desk.path, A, NOW)[0]
    assert not any("together" in line for line in explain(desk.path, "0" * 12, NOW)[0])
    # Its earlier attempts name their bundles too.
    assert any(line.endswith(f"together with {F}: running") for line in explain(desk.path, E, NOW)[0])


def test_a_trial_whose_sweep_is_not_known_names_all_that_it_met(desk):
    bundled(desk)
    (desk.path / "sweeps" / SWEEP / "sweep.yaml").unlink()
    (desk.path / "sweeps" / SWEEP).rmdir()
    desk.attempt(desk.path / "trials" / A, 1, together_with=[B, C, D, E, F])
    assert f"It runs together with {B}, {C}, {D} and 2 more, on one base model." in explain(desk.path, A, NOW)[0]


@pytest.mark.parametrize(
    ("name", "attempts", "width"),
    [
        ("gpu", [{"status": "finished", "training": TRAINED, "together_with": [B, C, D]}], 80),
        ("lossy", [{"status": "finished", "training": TRAINED, "labels": LOSSY}], 80),
        ("stopped", [{"status": "finished", "training": TRAINED, "validation": STOPPED}], 80),
        ("resumed", [{"status": "interrupted", "cause": "signal", "training": ON_CPU}, {"status": "finished", "training": TRAINED}], 80),
        ("old", [{"status": "finished", "training": {"steps": 40, "resumed_from_step": 0, "seconds": 95.0}}], 80),
        (
            "narrow",
            [{"status": "interrupted", "cause": "signal", "training": ON_CPU}] * 3 + [{"status": "finished", "training": TRAINED}],
            60,
        ),
    ],
)
def test_show_lists_rate_and_cost_of_training(desk, persona_exp, monkeypatch, name, attempts, width):
    desk.trial(A, attempts)
    monkeypatch.setenv("COLUMNS", str(width))
    shown = re.search(r"\n\n(Training.*?\n)(?:\n|$)", persona_exp("show", A)[1], re.DOTALL)
    assert shown
    compared(f"show-training-{name}", shown[1], desk)
    assert all(len(line) <= width for line in shown[1].splitlines())
    answer = json.loads(persona_exp("show", A, "--json")[1])
    assert [one["training"] for one in answer["attempts"]] == [one["training"] for one in attempts]


def test_show_of_a_trial_that_has_not_trained_says_nothing_of_it(desk, persona_exp):
    desk.trial(A, [{"status": "interrupted", "cause": "signal"}])
    assert "Training" not in persona_exp("show", A)[1]
