"""A sweep of the tiny model, steered while it trains: a trial more, and one that ends early, in the bundle that runs and in the report."""

import json
import os
import subprocess
import sys
import time

import pytest

from persona_exp.cli.main import main
from persona_exp.trial.recorded_sweep import read_sweep, sweep_names
from persona_exp.trial.trial_status import read_status
from tests.conftest import ROOT

SWEEP = ("-m", "model=tiny", "lora.r=2,4", "train.max_steps=3000", "data.size=16", "bundle.size=2", "optim.effective_batch_size=2")
MEASURED = ("evaluation.likelihood_items=8", "evaluation.generated_items=0")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


def until(holds, process, seconds=400.0):
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_a_clone_and_a_stop_while_it_trains(tmp_path, monkeypatch, capsys):
    runs = tmp_path / "runs"
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(runs))
    command = [sys.executable, str(ROOT / "run.py"), *SWEEP, *MEASURED]
    process = subprocess.Popen(command, env={**os.environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def answer(*arguments):
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    try:
        (name,) = until(lambda: sweep_names(runs), process)
        trials = [one.trial_id for one in read_sweep(runs, name).trials if one.role == "adapter"]

        def training():
            return all((read_status(runs / "trials" / one).step or 0) > 0 for one in trials)

        until(training, process)
        clone = answer("clone", trials[0], "optim.lr=5e-4", "train.max_steps=5")["trial_id"]
        ended = [answer("stop", one, "--wait", "120") for one in trials]
        output, _ = process.communicate(timeout=600)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, output
    listed = {one.trial_id: one.overrides for one in read_sweep(runs, name).trials}
    assert listed[clone] == {"lora.r": int(listed[trials[0]]["lora.r"]), "optim.lr": 5e-4, "train.max_steps": 5}
    assert {listed[one["successor"]]["train.stop_at_step"] for one in ended} == {one["step"] for one in ended}
    states = {one: read_status(runs / "trials" / one) for one in listed}
    assert {one for one, state in states.items() if state.status != "finished"} == set(trials)
    assert states[clone].record["pid"] == states[trials[0]].record["pid"], "in the bundle that ran"
    table = (runs / "sweeps" / name / "report" / "table.md").read_text()
    assert all(f"| {one['step']} " in table for one in ended)
