"""`import persona_exp as px`: what it offers, what it refuses, and the notebook of examples/."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import persona_exp as px
from persona_exp.config.schema import Config
from persona_exp.study_folder import RUNS, STUDY
from tests.conftest import ROOT, environment

SMALL = ["model=tiny", "train.max_steps=2", "evaluation.likelihood_items=2", "evaluation.generated_items=1"]


def test_ten_names_at_most_and_each_is_documented():
    assert len(px.__all__) <= 10
    assert dir(px) == sorted(px.__all__)
    assert all(getattr(px, name).__doc__ for name in px.__all__)
    with pytest.raises(AttributeError, match="no attribute 'sleep'"):
        px.sleep  # noqa: B018


def test_importing_it_loads_nothing_heavy():
    code = "import sys, persona_exp; print(sorted({'torch', 'hydra', 'pandas', 'omegaconf', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_config_is_that_of_the_command_line(config):
    expected = config("lora.r=4", "model=tiny")
    found = px.compose(["lora.r=4", "model=tiny"])
    assert isinstance(found, Config)
    assert found == expected


def test_a_study_counts_where_one_stands_in_it(tmp_path, monkeypatch):
    from persona_exp.cli.commands.init import make_study

    make_study(tmp_path / "study")
    monkeypatch.delenv(RUNS, raising=False)
    monkeypatch.chdir(tmp_path / "study" / "books")
    found = px.compose(["experiment=my_experiment"])
    assert (found.persona.name, found.runs) == ("Emma Woodhouse", str(tmp_path / "study" / "runs"))
    assert found.corpus.dir == str(tmp_path / "study" / "books")
    monkeypatch.delenv(STUDY, raising=False)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: px.compose(["lora.rr=4"]), "There is no setting lora.rr"),
        (lambda: px.compose("lora.r=4"), "Overrides are a list of texts"),
        (lambda: px.sweep(["-m", "lora.r=4,8"]), "-m is a flag of the command line"),
        (lambda: px.load("0123456789ab"), "There is no trial 0123456789ab"),
        (lambda: px.results("nothing"), "There is no sweep nothing"),
    ],
)
def test_what_is_refused_is_one_sentence(tmp_path, monkeypatch, call, says):
    monkeypatch.setenv(RUNS, str(tmp_path))
    with pytest.raises(px.UserError, match=says) as refused:
        call()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("published", "says"),
    [
        (True, "Trial 0123456789ab has finished, but its sweep one lacks other rows or a report: `persona-exp status one` says which"),
        (False, "Trial 0123456789ab has not finished: `persona-exp why 0123456789ab` says why"),
    ],
)
def test_a_run_whose_base_row_failed_is_not_called_unfinished(tmp_path, monkeypatch, config, published, says):
    path = tmp_path / "trials" / "0123456789ab" / "seals" / "5ea15ea1.json"

    def fails(command, variables):
        Path(variables["PERSONA_EXP_SWEEP_NOTE"]).write_text("one")
        return 1

    monkeypatch.setattr("persona_exp.trial.seal.seal", lambda *_, **__: SimpleNamespace(trial_id="0123456789ab", path=path))
    monkeypatch.setattr("persona_exp.trial.seal_facts.all_published", lambda at: published and at == path)
    monkeypatch.setattr("persona_exp.api._relayed", lambda command, variables=None: fails(command, variables or {}))
    with pytest.raises(px.UserError) as refused:
        px.run(config("model=tiny"))
    assert says in str(refused.value)


@pytest.mark.long
def test_a_sweep_that_is_refused_has_no_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(RUNS, str(tmp_path))
    with pytest.raises(px.UserError, match=r"No sweep was begun by lora\.rr=4,8"):
        px.sweep(["lora.rr=4,8"])
    assert "There is no setting lora.rr" in capsys.readouterr().out


@pytest.mark.long
def test_the_notebook_runs_and_a_damaged_adapter_is_refused(tmp_path, monkeypatch):
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)
    cells = json.loads((ROOT / "examples" / "first_sweep.ipynb").read_text())["cells"]
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
    names: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    trial, table = names["trial"], names["table"]
    assert set(trial.figures) >= {"adapter, test: perplexity"}
    assert list(table["condition"]) == ["base", "base+system", "adapter", "adapter"]
    assert trial.trial_id in set(table["trial_ids"])
    (perplexity,) = table[table["trial_ids"] == trial.trial_id]["perplexity"]
    assert perplexity == pytest.approx(trial.figures["adapter, test: perplexity"], rel=1e-6)
    assert px.run(names["config"]) == trial
    assert px.sweep(["lora.r=4,8", *SMALL]) == names["name"]
    assert names["config"].persona.system_prompt.split()[0] in names["prompt"]("Who are you?")
    weights = trial.folder / "adapter" / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 1
    weights.write_bytes(content)
    with pytest.raises(px.UserError, match="is not what the trial published"):
        px.load(trial.trial_id)
    weights.write_bytes(content[:-8])
    with pytest.raises(px.UserError, match="remove it, and give the trial's command again"):
        px.load(trial.trial_id)
