"""conf/ as a whole: every option composes, mistakes are one sentence, nothing heavy is imported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from persona_exp.errors import UserError

ROOT = Path(__file__).parents[2]
OPTIONS = sorted(
    (path.parent.relative_to(ROOT / "conf").as_posix(), path.stem)
    for path in (ROOT / "conf").rglob("*.yaml")
    if path.parent != ROOT / "conf"
)


# What an option leaves to its user to say.
OWN = ("persona.name=Emma", "persona.period=Regency England", "persona.system_prompt=You are Emma.")
MODEL = ("teacher.model=some-model",)
ASKED = {("corpus", "novels"): OWN, ("persona", "own"): OWN, ("teacher", "openai"): MODEL, ("teacher", "local"): MODEL}
ASKED[("experiment", "mistral_persona")] = OWN


@pytest.mark.long
@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes(config, group, option):
    within = ["hydra/sweeper=optuna"] if group.startswith("hydra/sweeper/") else []
    assert config(*within, f"{group}={option}", *ASKED.get((group, option), ()))


def test_what_is_left_to_the_user_is_asked_for(config):
    with pytest.raises(UserError, match=r"persona.name"):
        config("persona=own")


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_config_opens_with_the_command_that_runs_it(group, option):
    lines = (ROOT / "conf" / group / f"{option}.yaml").read_text().splitlines()
    first = next(line for line in lines if not line.startswith("# @package"))
    assert first.startswith("# python run.py")


def test_a_key_of_ones_own_is_added_with_a_plus(config, run_py):
    assert config("+data.mix.books.adventures=0.5").data.mix.books == {"adventures": 0.5}
    assert "write +data.mix.books.adventures=VALUE" in run_py("data.mix.books.adventures=0.5").stderr


def test_several_personas(config):
    together = config("experiment=holmes_and_watson")
    assert (together.persona.name, together.others["watson"].name) == ("Sherlock Holmes", "John Watson")
    assert config("+persona@others.crane=crane").others["crane"].name == "Lucius Crane"


def test_a_corpus_names_its_default_persona(config):
    assert config().persona.name == "Tobias Wrexham"
    assert config("corpus=holmes").persona.name == "Sherlock Holmes"
    assert config("corpus=holmes", "persona=watson").persona.name == "John Watson"


def test_preset_is_the_published_recipe(config):
    preset = config("experiment=sherlock_llm")
    assert (preset.method.name, preset.method.quantisation, preset.method.double_quantisation) == ("qlora", "nf4", True)
    assert (preset.lora.r, preset.lora.alpha, preset.lora.dropout) == (16, 32, 0.05)
    assert len(preset.lora.target_modules) == 7
    assert (preset.optim.lr, preset.optim.schedule, preset.optim.effective_batch_size) == (2e-4, "cosine", 8)
    assert (preset.train.epochs, preset.train.max_length, preset.model.dtype) == (3, 1024, "bfloat16")


@pytest.mark.parametrize(
    ("override", "names"),
    [
        ("lora.r=-3", "lora.r=-3"),
        ("lora.dropout=2", "lora.dropout=2"),
        ("optim.lr=nan", "optim.lr"),
        ("data.split=random", "data.split=random"),
        ("train.epochs=0", "train.epochs"),
        ("train.eval_steps=0", "train.eval_steps=0"),
        ("train.early_stopping_patience=2", "train.early_stopping_patience needs train.eval_steps"),
        ("method.name=magic", "method.name=magic"),
        ("seed=-1", "seed=-1"),
        ("optim.beta1=1", "optim.beta1=1"),
        ("optim.loraplus_lr_ratio=0.5", "optim.loraplus_lr_ratio=0.5"),
        ("+lora.rank=8", "There is no setting lora.rank"),
        ("+colour=red", "There is no setting colour"),
    ],
)
def test_values_out_of_range_are_refused(config, override, names):
    with pytest.raises(UserError, match=re.escape(names)):
        config(override)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["lora.r=-3"], "lora.r=-3 must be above 0."),
        (["lora.r=four"], "lora.r=four must be a whole number."),
        (["lora.rank=8"], "There is no setting lora.rank: lora has r, alpha"),
        (["train.gradient_checkpointing=1"], "train.gradient_checkpointing"),
        (["optim.loraplus_lr_ratio=4", "engine=sft"], "optim.loraplus_lr_ratio=4 needs engine=fused"),
        (["-m", "optim.loraplus_lr_ratio=1,4", "engine=sft"], "optim.loraplus_lr_ratio=4 needs engine=fused"),
        (["nothing=8"], "There is no setting nothing: the config has persona, others, corpus"),
        (["model=gpt9"], "model=gpt9 does not exist: choose one of "),
        (["-m", "lora.r=8,-3"], "lora.r=-3 must be above 0."),
        (["-m", "lora.rank=8,16"], "There is no setting lora.rank"),
        (["lora.r=8,16"], "lora.r=8,16 gives several values: add -m"),
        (["lora.r"], "lora.r"),
    ],
)
def test_a_mistake_is_one_sentence(run_py, tmp_path, arguments, says):
    done = run_py(*arguments)
    assert done.returncode == 2, done.stderr
    assert says.lower() in done.stderr.lower()
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "runs").exists()


def test_full_fine_tuning_is_in_fp32_and_not_in_4_bits(config):
    assert config("method=full").model.dtype == "float32"
    with pytest.raises(UserError, match="quantisation=none"):
        config("method=full", "method.quantisation=nf4")


def test_cfg_job_shows_all(run_py):
    done = run_py("--cfg", "job", "lora.r=4")
    shown = OmegaConf.create(done.stdout)
    assert shown.lora.r == 4
    assert set(shown) >= {"persona", "corpus", "data", "model", "method", "lora", "optim", "train", "evaluation", "tracker", "cluster"}


def test_help_imports_no_torch():
    code = "import sys; sys.argv = ['run.py', '--help']; import runpy\ntry: runpy.run_path('run.py', run_name='__main__')\n"
    code += "except SystemExit: pass\nheavy = {'torch', 'transformers', 'pandas', 'datasets'} & set(sys.modules)\nassert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "python run.py -m lora.r=8,16,32" in done.stdout


@pytest.mark.parametrize(
    ("said", "means"),
    [("true", True), ("false", False), ("'true'", True), ("'false'", False), ("auto", "auto"), ("True", True)],
)
def test_gradient_checkpointing_is_true_false_or_auto(config, said, means):
    assert config(f"train.gradient_checkpointing={said}").train.gradient_checkpointing == means


@pytest.mark.parametrize("said", ["yes", "always"])
def test_gradient_checkpointing_is_nothing_else(config, said):
    with pytest.raises(UserError, match=r"train\.gradient_checkpointing"):
        config(f"train.gradient_checkpointing={said}")


@pytest.mark.parametrize("engine", ["fused", "sft"])
@pytest.mark.parametrize("override", ["tracker=tensorboard", "tracker=wandb", "train.gradient_checkpointing=true", "lora.rslora=true"])
def test_both_engines_take_the_same_settings(config, engine, override):
    assert config(f"engine={engine}", override).engine.name == engine


def test_presets_say_what_they_are_named_after(config):
    holmes = config("experiment=sherlock_llm")
    assert (holmes.optim.name, holmes.optim.warmup_steps, holmes.data.passages) == ("paged_adamw_32bit", 100, "fixed")
    assert (holmes.train.eval_steps, holmes.data.mix.hypothetical, holmes.method.name) == (100, 1, "qlora")
    own = config("experiment=mistral_persona", *OWN)
    assert (own.model.name, own.method.name, own.data.validation_fraction) == ("mistral-7b-instruct", "qlora", 0.15)
    assert [kind for kind, weight in vars(own.data.mix).items() if weight == 1] == ["dialogue", "narrative", "qa"]
