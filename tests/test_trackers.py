"""tracker=wandb and tracker=tensorboard under the command itself, with both engines."""

import json

import pytest

from tests.test_pipeline import TINY
from tests.training.curves import hyperparameters_of_tensorboard, of_tensorboard, of_wandb, summary_of_wandb

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("built")]

ENGINES = pytest.mark.parametrize("engine", ["fused", "sft"])
SENT = {"train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"}


@pytest.fixture(autouse=True)
def no_key(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_PROJECT", "WANDB_RUN_GROUP", "WANDB_TAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))


@ENGINES
def test_a_sweep_is_a_group_of_wandb_recorded_offline_without_a_key(run_py, tmp_path, engine):
    done = run_py("-m", "lora.r=2,4", f"engine={engine}", "tracker=wandb", "method=lora", "train.max_steps=3", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = tmp_path / "runs"
    (sweep,) = (runs / "sweeps").iterdir()
    found = [path.parents[2] for path in runs.glob("trials/*/attempts/0001/train.jsonl")]
    assert len(found) == 2
    for folder in found:
        assert f"`persona-exp sync {folder.name}` uploads them." in done.stdout
        run, lines = of_wandb(folder / "attempts" / "0001", "offline-run")
        assert (run.run_id, run.run_group, run.project) == (folder.name, sweep.name, "persona-exp")
        assert run.display_name in (f"lora.r=2 ({folder.name})", f"lora.r=4 ({folder.name})")
        (evaluation,) = (folder / "evaluations").iterdir()
        measured = json.loads((evaluation / "metrics.json").read_text())["metrics"]
        figures = summary_of_wandb(folder / "attempts" / "0001")
        assert figures["test/perplexity"] == pytest.approx(measured["perplexity"]["value"])
        assert "final/loss" in figures
        assert sorted(run.tags) == sorted(["Tobias Wrexham", "tiny", "lora", engine])
        config = {one.key: json.loads(one.value_json) for one in run.config.update}
        assert (config["engine"]["name"], config["trial_id"]) == (engine, folder.name)
        logged = [json.loads(line) for line in (folder / "attempts" / "0001" / "train.jsonl").read_text().splitlines()]
        curve = [(line["train/global_step"], line["train/loss"]) for line in lines if set(line) >= SENT]
        assert curve == [(line["step"], pytest.approx(line["loss"])) for line in logged]
    assert len({json.loads((folder / "attempts" / "0001.json").read_text())["tracker_group"] for folder in found}) == 1


@ENGINES
def test_curves_of_a_sweep_have_readable_names(run_py, tmp_path, engine):
    done = run_py("-m", "lora.r=2,4", f"engine={engine}", "tracker=tensorboard", "method=lora", "train.max_steps=2", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    (sweep,) = (tmp_path / "runs" / "sweeps").iterdir()
    shown = {path.name: of_tensorboard(path) for path in (sweep / "curves").iterdir()}
    assert set(shown) == {"base model", "lora.r=2", "lora.r=4"}
    assert [step for step, _ in shown["lora.r=2"]["train/loss"]] == [1, 2]
    assert "test/base+system/perplexity" in shown["base model"]


def test_a_mode_that_wandb_does_not_have_is_refused_before_anything_is_sealed(run_py, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "onlin")
    done = run_py("tracker=wandb", *TINY)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: WANDB_MODE=onlin is no mode of Weights & Biases: set WANDB_MODE to one of online, ")
    assert not (tmp_path / "runs" / "trials").exists()


def test_wandb_online_without_a_key_is_refused_before_anything_is_sealed(run_py, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    done = run_py("-m", "seed=1,2", "tracker=wandb", *TINY)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a key: run `wandb login`, or set WANDB_MODE=offline." in done.stderr
    assert not (tmp_path / "runs" / "trials").exists()


@ENGINES
def test_a_single_trial_is_in_the_group_of_its_sweep_of_one(run_py, tmp_path, engine):
    done = run_py(f"engine={engine}", "tracker=tensorboard", "method=lora", "train.max_steps=3", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = tmp_path / "runs"
    (trial,) = (path.parents[2] for path in runs.glob("trials/*/attempts/0001/train.jsonl"))
    (group,) = (runs / "tensorboard").iterdir()
    assert [group.name] == [one.name for one in (runs / "sweeps").iterdir()]
    (shown,) = (one for one in group.iterdir() if one.name == trial.name)
    assert shown.resolve() == (trial / "tensorboard").resolve()
    curves = of_tensorboard(shown)
    assert set(curves) >= {*SENT, "test/perplexity", "test/bits_per_byte", "final/loss"}
    (evaluation,) = (trial / "evaluations").iterdir()
    measured = json.loads((evaluation / "metrics.json").read_text())["metrics"]
    assert curves["test/perplexity"] == [(3, pytest.approx(measured["perplexity"]["value"]))]
    assert [step for step, _ in curves["train/loss"]] == [1, 2, 3]
    values = hyperparameters_of_tensorboard(shown)
    assert (values["group"], values["engine.name"], values["train.max_steps"]) == (group.name, engine, 3)
