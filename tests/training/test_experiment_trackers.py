"""Curves as TensorBoard and Weights & Biases keep them: each trial's its own, those of a resumed one in the same run."""

import subprocess
import sys

import pytest

from persona_exp.training.experiment_trackers import NeverFailing, TrackedRun, open_tracker
from tests.training.curves import hyperparameters_of_tensorboard, of_tensorboard, of_wandb, summary_of_wandb

CONFIG = {"lora": {"r": 8}, "seed": 3}
# What train.jsonl has of an earlier attempt.
HISTORY = [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 8.0, "eval_loss": 8.5}, {"step": 3, "loss": 7.0, "grad_norm": None}]


def made(folder):
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("WANDB_PROJECT", "WANDB_RUN_GROUP", "WANDB_TAGS"):
        monkeypatch.delenv(name, raising=False)


def tracked(trial_id):
    tags = ("Ada", "tiny", "lora", "fused")
    return TrackedRun(trial_id, "novels", "lora.r=8,16-1a2b3c4d", tags, CONFIG, {"lora.r": 8, "seed": 3, "lora.rslora": False})


@pytest.fixture
def opened(tmp_path):
    """`opened("wandb", "trial", 1)`: the tracker of that trial's first attempt."""

    def opened(name, trial, attempt, step=0):
        folder = tmp_path / trial / ("tensorboard" if name == "tensorboard" else f"{attempt:04}")
        folder.mkdir(parents=True, exist_ok=True)
        return open_tracker(name, tracked(trial), folder, step)

    return opened


def train(*trackers, steps=(1, 2, 3)):
    """Steps of each, in turns, the losses of tracker n being n + 1/step."""
    for step in steps:
        for number, tracker in enumerate(trackers):
            tracker.log(step, {"loss": number + 1 / step, "learning_rate": 1e-3, "epoch": step / 2})


def test_several_runs_of_tensorboard_are_each_their_own(opened, tmp_path):
    trackers = [opened("tensorboard", trial, 1) for trial in ("a", "b")]
    train(*trackers)
    for number, (trial, tracker) in enumerate(zip("ab", trackers, strict=True)):
        # Each step is there for a reader while it trains.
        curves = of_tensorboard(tmp_path / trial / "tensorboard")
        assert set(curves) == {"train/loss", "train/learning_rate", "train/epoch"}
        assert curves["train/loss"] == [(step, pytest.approx(number + 1 / step)) for step in (1, 2, 3)]
        tracker.close()
        tracker.close()


def test_a_validation_is_named_as_transformers_names_it(opened, tmp_path):
    tracker = opened("tensorboard", "a", 1)
    tracker.log(2, {"eval_loss": 0.5})
    tracker.close()
    assert of_tensorboard(tmp_path / "a" / "tensorboard") == {"eval/loss": [(2, 0.5)]}


def test_of_a_resumed_trial_tensorboard_has_each_step_once(opened, tmp_path):
    for attempt, (step, last) in enumerate(((0, 4), (2, 6)), start=1):
        tracker = opened("tensorboard", "a", attempt, step)
        train(tracker, steps=range(step + 1, last))
        tracker.close()
    assert [step for step, _ in of_tensorboard(tmp_path / "a" / "tensorboard")["train/loss"]] == [1, 2, 3, 4, 5]
    tracker = opened("tensorboard", "a", 3)
    train(tracker, steps=(1,))
    tracker.close()
    assert [step for step, _ in of_tensorboard(tmp_path / "a" / "tensorboard")["train/loss"]] == [1]


def test_tensorboard_shows_config_group_and_hyperparameters_in_the_run_itself(opened, tmp_path):
    opened("tensorboard", "a", 1).close()
    folder = tmp_path / "a" / "tensorboard"
    (events,) = folder.iterdir()
    assert b'"r": 8' in events.read_bytes()
    shown = hyperparameters_of_tensorboard(folder)
    assert shown == {"group": "lora.r=8,16-1a2b3c4d", "lora.r": 8, "seed": 3, "lora.rslora": False}


@pytest.mark.long
def test_several_runs_of_wandb_are_each_their_own(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_TAGS", "mine,tiny")
    trackers = [opened("wandb", trial, 1) for trial in ("a", "b")]
    train(*trackers)
    for tracker in trackers:
        tracker.close()
        tracker.close(1)
    runs = [of_wandb(tmp_path / trial / "0001") for trial in ("a", "b")]
    shown = [(run.run_id, run.display_name, run.project, run.run_group) for run, _ in runs]
    assert shown == [(trial, trial, "novels", "lora.r=8,16-1a2b3c4d") for trial in ("a", "b")]
    for number, (run, lines) in enumerate(runs):
        assert {one.key: one.value_json for one in run.config.update}["seed"] == "3"
        assert sorted(run.tags) == ["Ada", "fused", "lora", "mine", "tiny"]
        shown = [(line["train/global_step"], line["train/loss"], line["train/epoch"]) for line in lines]
        assert shown == [(step, pytest.approx(number + 1 / step), step / 2) for step in (1, 2, 3)]


@pytest.mark.long
def test_a_resumed_trial_goes_on_in_its_run_and_one_begun_anew_takes_its_place(opened, tmp_path):
    for attempt, step in enumerate((0, 5, 9, 0, 5), start=1):
        opened("wandb", "a", attempt, step).close()
    found = [of_wandb(tmp_path / "a" / f"{attempt:04}")[0] for attempt in range(1, 6)]
    assert {run.run_id for run in found} == {"a"}
    assert [run.resume for run in found] == [False, True, True, False, True]


@pytest.mark.long
def test_the_environment_names_project_and_group(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    monkeypatch.setenv("WANDB_RUN_GROUP", "chapter two")
    opened("wandb", "a", 1).close()
    run = of_wandb(tmp_path / "a" / "0001")[0]
    assert (run.project, run.run_group) == ("ours", "chapter two")


@pytest.mark.parametrize("key", [None, "canary-51f0"])
def test_wandb_that_does_not_start_online_records_offline(opened, tmp_path, monkeypatch, capfd, key):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    tracker = opened("wandb", "a", 1)
    train(tracker)
    tracker.close()
    said = capfd.readouterr().out
    assert "Trial a: curves are recorded offline (it did not start: " in said
    assert "canary" not in said
    assert len(of_wandb(tmp_path / "a" / "0001", "offline-run")[1]) == 3


@pytest.mark.long
def test_what_a_killed_process_did_not_send_is_sent_again_at_its_step(opened, tmp_path):
    tracker = open_tracker("wandb", tracked("a"), made(tmp_path / "a" / "0002"), 3, HISTORY)
    train(tracker, steps=(4, 5))
    tracker.final(5, {"test/perplexity": 2.5})
    tracker.close()
    _, lines = of_wandb(tmp_path / "a" / "0002")
    assert [(line["_step"], line["train/global_step"], line["train/loss"]) for line in lines] == [
        (1, 1, 9.0),
        (2, 2, 8.0),
        (3, 3, 7.0),
        (4, 4, pytest.approx(1 / 4)),
        (5, 5, pytest.approx(1 / 5)),
    ]
    assert lines[1]["eval/loss"] == 8.5
    assert summary_of_wandb(tmp_path / "a" / "0002")["test/perplexity"] == 2.5


def test_tensorboard_has_again_what_was_cut(opened, tmp_path):
    opened("tensorboard", "a", 1).close()
    tracker = open_tracker("tensorboard", tracked("a"), tmp_path / "a" / "tensorboard", 3, HISTORY)
    train(tracker, steps=(4,))
    tracker.final(4, {"test/perplexity": 2.5})
    tracker.close()
    curves = of_tensorboard(tmp_path / "a" / "tensorboard")
    assert [step for step, _ in curves["train/loss"]] == [1, 2, 3, 4]
    assert curves["eval/loss"] == [(2, 8.5)]
    assert curves["test/perplexity"] == [(4, 2.5)]


def test_a_tracker_that_fails_says_so_once_and_fails_no_trial(tmp_path, capsys):
    class Broken:
        def log(self, step, values):
            raise OSError("no space left")

        final = close = log

    tracker = NeverFailing(Broken(), "a", "tensorboard")
    train(tracker)
    tracker.final(3, {"test/perplexity": 1.0})
    tracker.close()
    assert capsys.readouterr().err == "Trial a: tracker=tensorboard cannot be used (no space left); train.jsonl has the curves.\n"
    # A file stands where its folder is to be.
    (tmp_path / "file").write_text("")
    train(open_tracker("tensorboard", tracked("b"), tmp_path / "file", 0))
    assert "Trial b: tracker=tensorboard cannot be used (" in capsys.readouterr().err


KEY = "5" * 40
PROGRAM = """
import sys
from pathlib import Path
from persona_exp.training import experiment_trackers, wandb_server
from tests.training.test_experiment_trackers import tracked, train
wandb_server.SECONDS = 2
tracker = experiment_trackers.open_tracker("wandb", tracked("a"), Path(sys.argv[1]), 0)
train(tracker)
tracker.close()
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, "no key of Weights & Biases is at hand"),
        ({"SLURM_JOB_ID": "17", "WANDB_API_KEY": KEY}, "this is a job of Slurm"),
        ({"WANDB_API_KEY": "short"}, "WANDB_API_KEY invalid"),
        # Nobody listens there.
        ({"WANDB_API_KEY": KEY, "WANDB_BASE_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
    ],
)
def test_without_a_mode_nothing_fails_for_want_of_a_key_or_a_network(tmp_path, monkeypatch, variables, why):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "SLURM_JOB_ID", "WANDB_SERVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "settings"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "0001").mkdir()
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "0001")], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [one for one in done.stdout.splitlines() if one.startswith("Trial a: curves are recorded offline (")]
    assert why in line
    assert line.endswith("`persona-exp sync a` uploads them.")
    assert len(of_wandb(tmp_path / "0001", "offline-run")[1]) == 3
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_none_writes_nothing(opened, tmp_path):
    tracker = opened("none", "a", 1)
    train(tracker)
    tracker.close()
    assert not list((tmp_path / "a" / "0001").iterdir())
