"""The whole command: eight trials, each once, the same whatever is killed in between."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from persona_exp.search.ask_files import read_asks
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.trial.attempt_records import attempt_files
from tests.conftest import ROOT

SEARCH = (
    "-m",
    "hydra/sweeper=optuna",
    "model=tiny",
    "optim.lr=tag(log,interval(1e-4,1e-2))",
    "lora.r=choice(2,4,8)",
    "hydra.sweeper.sampler.n_startup_trials=2",
    "bundle.size=1",
    "train.max_steps=6",
    "data.size=16",
    "evaluation.likelihood_items=8",
    "evaluation.generated_items=0",
)

pytestmark = pytest.mark.long


def start(runs, *arguments):
    environment = {**os.environ, "PERSONA_EXP_RUNS": str(runs)}
    command = [sys.executable, str(ROOT / "run.py"), *SEARCH, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def finish(runs, *arguments):
    process = start(runs, *arguments)
    output, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, output
    return output


def folder(runs):
    (found,) = (runs / "sweeps").iterdir()
    return found


def steps_taken(runs):
    """How many optimiser steps were written down, those that were taken twice twice."""
    return sum(len(path.read_text().splitlines()) for path in runs.glob("trials/*/attempts/*/train.jsonl"))


def overrides(runs):
    return [ask.overrides for ask in read_asks(folder(runs))]


def values(runs):
    trials = [one.trial_id for ask in read_asks(folder(runs)) for one in ask.trials]
    return [
        [
            json.loads(path.read_text())["metrics"]["bits_per_byte"]["value"]
            for path in (runs / "trials" / one).glob("evaluations/*/metrics.json")
        ]
        for one in trials
    ]


@pytest.mark.timeout(3600)
@pytest.mark.thorough
@pytest.mark.parametrize(("trials", "kills", "more"), [(3, 1, 4), (8, 5, 12)])
def test_killed_it_asks_the_same_and_more_trials_extend_it(tmp_path, trials, kills, more):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(whole, f"hydra.sweeper.n_trials={trials}")
    draw = random.Random(5)
    for _ in range(kills):
        # A trial is six steps: each kill falls into another one, and that in the midst of it.
        until = steps_taken(killed) + draw.randint(7, 11)
        process = start(killed, f"hydra.sweeper.n_trials={trials}")
        while process.poll() is None and steps_taken(killed) < until:
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finish(killed, f"hydra.sweeper.n_trials={trials}")
    attempts = sum(len(attempt_files(path)) for path in (killed / "trials").iterdir())
    assert attempts > trials + 1, "the base model and each trial once: none was killed"
    assert len(overrides(whole)) == trials
    assert overrides(killed) == overrides(whole)
    assert values(killed) == values(whole)
    assert all(len(found) == 1 for found in values(killed)), "each once"
    said = finish(killed, f"hydra.sweeper.n_trials={more}")
    assert f"{more} trials, of which {trials} have been asked for" in said
    assert overrides(killed)[:trials] == overrides(whole)
    assert len(overrides(killed)) == len({tuple(one.items()) for one in overrides(killed)}) == more


@pytest.mark.timeout(1800)
def test_finished_trials_of_a_sweep_are_known_from_the_start(tmp_path):
    fixed = (*(one for one in SEARCH if "=tag(" not in one and "sweeper" not in one and not one.startswith("lora.r")), "seed=3")
    environment = {**os.environ, "PERSONA_EXP_RUNS": str(tmp_path)}
    grid = [sys.executable, str(ROOT / "run.py"), *fixed, "lora.r=2,16", "evaluation.split=validation"]
    done = subprocess.run(grid, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    name = folder(tmp_path).name
    more = (
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=1",
        "lora.r=choice(2,4)",
        f"search.from=['{name}']",
        "sweep.name=mine",
    )
    search = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *fixed, *more], env=environment, capture_output=True, text=True, check=False
    )
    assert search.returncode == 0, search.stdout + search.stderr
    assert f"search.from: 1 finished trial of {name} is known from the start; 1 not: outside of the ranges." in search.stdout
    study = RebuiltStudy(tmp_path / "sweeps" / "mine")
    study.refresh()
    (known, asked) = study.study.get_trials(deepcopy=False)
    assert (known.params, known.state.name, asked.number) == ({"lora.r": 2}, "COMPLETE", 1)


def refused(*arguments):
    process = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "-m", "hydra/sweeper=optuna", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 2, process.stdout + process.stderr
    assert "hunter2" not in process.stderr
    return process.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to draw"),
        (("lora.r=4,8", "search.objective=test_perplexity"), "validation split"),
        (("lora.r=4,8", "evaluation.split=test"), "validation split"),
        (("lora.r=4,8", "search.objective=beauty"), "beauty is not measured"),
        (("lora.r=4,8", "hydra.sweeper.direction=[minimize,minimize]"), "2 directions for 1 objectives"),
        (("lora.r=4,8", "hydra.sweeper.n_trials=0"), "n_trials=0"),
        (("lora.r=4,8", "hydra.sweeper.constraints=[peak_memory_gb<70]"), "peak_memory_gb<=70"),
        (("lora.r=4,8", "search.seeds=0"), "search.seeds=0"),
        (("model=tiny", "lora.r=4,8", "hydra/sweeper/pruner=median"), "set train.eval_steps"),
        (("lora.r=4,8", "hydra.sweeper.sampler.n_startups=3"), "n_startups"),
        (("lora.r=4,8", "search.objective=rouge1", "evaluation.generated_items=0"), "generated_items"),
        (("method=lora,none",), "method=none"),
        (("lora.r=4,8", "hydra.sweeper.storage=mysql://me:hunter2@host/db"), "password"),
        (("model=tiny", "lora.r=4,8", "hydra/sweeper/pruner=median", "train.eval_steps=2", "search.seeds=2"), "search.seeds=2"),
        (("lora.r=4,8", "lora.r=16,32"), "lora.r is set twice"),
        (("lora.r=4,8", "lora.r=16"), "lora.r is set twice"),
        (("model=tiny", "lora.r=4,8", "search.from=nosuch"), "sweeps/nosuch;"),
        (("model=tiny", "lora.dropout=interval(0,2)"), "lora.dropout=2.0 must lie between 0 and 0.95"),
        (("model=tiny", "lora.r=choice(4,big,8)"), "lora.r=big must be a whole number"),
        (("model=tiny", "optim.warmup_steps=range(2,20,4)", "train.max_steps=6"), "optim.warmup_steps=18 is not below train.max_steps=6"),
        (("data.holdout_fraction=interval(0.1,0.2)",), "holdout_fraction"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, words, monkeypatch, tmp_path):
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path))
    assert words in refused(*arguments)
