"""The sweeps of sweeps/: each opens with its command and question, is in docs/reference/sweeps.md, plans, and trains with a tiny model."""

import re

import pytest
import yaml

from persona_exp.trial.recorded_sweep import read_sweep, sweep_names
from tests.conftest import ROOT

SWEEPS = sorted(path.stem for path in (ROOT / "sweeps").glob("*.yaml"))

# Whose arms are base models, which no machine without a GPU trains.
OF_MODELS = ("model", "base_vs_instruct")
# Trained whenever all tests are: a tuned sweep, one by pairs, and a search.
OF_EACH_KIND = ("rank_x_lr", "method", "optuna_persona")
SMALL = ["model=tiny", "evaluation.likelihood_items=4", "evaluation.generated_items=2", "evaluation.max_new_tokens=4"]
# What is left of each, so that all together take minutes; trials, base rows with them (None: a search, which gives some up).
TRAINED = {
    "lora_rank": (["lora.r=8,16", "optim.lr=1e-3,2e-3"], 22),
    "learning_rate": (["optim.lr=1e-3,2e-3", "seed=0"], 3),
    "rank_x_lr": (["lora.r=8,16", "optim.lr=1e-3,2e-3", "seed=0"], 5),
    "method": (["optim.lr=1e-3", "seed=0", "evaluation.split=test", "bundle.size=8"], 6),
    "target_modules": (["optim.lr=1e-3", "seed=0", "evaluation.split=test"], 5),
    "data_mix": (["seed=0"], 7),
    "data_size": (["seed=0"], 5),
    "min_confidence": (["corpus.min_confidence=0,0.95", "seed=0"], 3),
    "system_prompt": (["seed=0"], 4),
    "quantisation": (["seed=0"], 6),
    "multi_persona": (["seed=0"], 12),
    "epochs": (["train.epochs=0.12,0.3", "train.eval_steps=2", "seed=0"], 3),
    "max_length": (["evaluation.max_length=1024", "train.max_length=400,512,1024", "seed=0"], 4),
    "optuna_persona": (["hydra.sweeper.n_trials=2", "train.epochs=0.3", "train.eval_steps=2"], None),
    "teacher": (["hydra.sweeper.pairs=[{teacher:rules}]", "seed=0"], 2),
}


def header(name: str) -> list[str]:
    lines = (ROOT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in lines if line.startswith("#")]


@pytest.mark.parametrize("name", SWEEPS)
def test_each_opens_with_its_command_and_its_question(name):
    command, question, *_ = header(name)
    assert re.match(rf"python run\.py -m \+sweeps={name}( |$)", command)
    assert question.endswith("?")
    content = yaml.safe_load((ROOT / "sweeps" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert content.get("arms") or name == "optuna_persona"
    assert content["hydra"]["sweeper"]


def test_the_document_has_each_with_its_question():
    text = (ROOT / "docs" / "reference" / "sweeps.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    assert listed == {name: header(name)[1] for name in SWEEPS}


def test_all_but_those_of_models_are_trained_here():
    assert sorted([*TRAINED, *OF_MODELS]) == SWEEPS


@pytest.mark.long
@pytest.mark.parametrize("name", SWEEPS)
def test_each_plans_without_models_data_or_network(run_py, tmp_path, name):
    done = run_py("-m", f"+sweeps={name}", "engine=noop", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "nothing was run" in done.stdout + done.stderr
    planned = re.search(r"^(?:Sweep|Search) \S+: (\d+) trials", done.stdout, re.MULTILINE)
    assert planned
    assert int(planned[1]) > 5
    assert not (tmp_path / "runs" / "sweeps").exists()


@pytest.mark.long
@pytest.mark.parametrize("name", [one if one in OF_EACH_KIND else pytest.param(one, marks=pytest.mark.thorough) for one in sorted(TRAINED)])
def test_each_trains_and_reports(run_py, tmp_path, name):
    fewer, trials = TRAINED[name]
    steps = [] if any(one.startswith("train.epochs") for one in fewer) else ["train.max_steps=2"]
    done = run_py("-m", f"+sweeps={name}", *SMALL, *steps, *fewer)
    assert done.returncode == 0, done.stdout + done.stderr
    (sweep,) = sweep_names(tmp_path / "runs")
    assert re.match(rf"{name}[,-]", sweep)
    found = read_sweep(tmp_path / "runs", sweep)
    assert trials in (len(found.trials), None)
    table = (tmp_path / "runs" / "sweeps" / sweep / "report" / "table.md").read_text(encoding="utf-8")
    assert trials is None or "Trials without figures" not in table
    assert ("Tuned for each" in table) == bool(found.tuned)
