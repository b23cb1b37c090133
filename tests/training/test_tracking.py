"""Curves as TensorBoard and Weights & Biases keep them: each trial's its own, those of a resumed one in the same run."""

import pytest

from persona_exp.errors import UserError
from persona_exp.training.tracking import open_tracker
from tests.training.curves import of_tensorboard, of_wandb

CONFIG = {"lora": {"r": 8}, "seed": 3}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_PROJECT", raising=False)


@pytest.fixture
def opened(tmp_path):
    """`opened("wandb", "trial", 1)`: the tracker of that trial's first attempt."""

    def opened(name, trial, attempt, **changes):
        folder = tmp_path / trial / f"{attempt:04}"
        folder.mkdir(parents=True)
        given = {"run_name": trial, "project": "novels", "folder": folder, "config": CONFIG, "resumed": False, **changes}
        return open_tracker(name, **given)

    return opened


def train(*trackers):
    """Three steps of each, in turns, the losses of tracker n being n + 1/step."""
    for step in (1, 2, 3):
        for number, tracker in enumerate(trackers):
            tracker.log(step, {"loss": number + 1 / step, "learning_rate": 1e-3, "epoch": step / 2})


def test_several_runs_of_tensorboard_are_each_their_own(opened, tmp_path):
    trackers = [opened("tensorboard", trial, 1) for trial in ("a", "b")]
    train(*trackers)
    for number, (trial, tracker) in enumerate(zip("ab", trackers, strict=True)):
        # Each step is there for who looks on while it trains.
        curves = of_tensorboard(tmp_path / trial / "0001")
        assert set(curves) == {"train/loss", "train/learning_rate", "train/epoch"}
        assert curves["train/loss"] == [(step, pytest.approx(number + 1 / step)) for step in (1, 2, 3)]
        tracker.close()
        tracker.close()


def test_tensorboard_shows_the_config(opened, tmp_path):
    opened("tensorboard", "a", 1).close()
    (events,) = (tmp_path / "a" / "0001").glob("events*")
    assert b'"r": 8' in events.read_bytes()


@pytest.mark.long
def test_several_runs_of_wandb_are_each_their_own(opened, tmp_path):
    trackers = [opened("wandb", trial, 1) for trial in ("a", "b")]
    train(*trackers)
    for tracker in trackers:
        tracker.close()
        tracker.close(1)
    runs = [of_wandb(tmp_path / trial / "0001") for trial in ("a", "b")]
    assert [(run.display_name, run.project) for run, _ in runs] == [("a", "novels"), ("b", "novels")]
    assert runs[0][0].run_id != runs[1][0].run_id
    for number, (run, lines) in enumerate(runs):
        assert {one.key: one.value_json for one in run.config.update}["seed"] == "3"
        shown = [(line["train/global_step"], line["train/loss"], line["train/epoch"]) for line in lines]
        assert shown == [(step, pytest.approx(number + 1 / step), step / 2) for step in (1, 2, 3)]


@pytest.mark.long
def test_a_resumed_trial_goes_on_in_its_run_and_one_begun_anew_does_not(opened, tmp_path):
    for attempt, resumed in enumerate((False, True, True, False, True), start=1):
        opened("wandb", "a", attempt, resumed=resumed).close()
    found = [of_wandb(tmp_path / "a" / f"{attempt:04}")[0] for attempt in range(1, 6)]
    first, second, third, anew, last = [run.run_id for run in found]
    assert first == second == third != anew == last
    assert [run.resume for run in found] == [False, True, True, False, True]


@pytest.mark.long
def test_the_environment_names_the_project(opened, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    opened("wandb", "a", 1).close()
    assert of_wandb(tmp_path / "a" / "0001")[0].project == "ours"


@pytest.mark.parametrize("key", [None, "canary-51f0"])
def test_wandb_without_a_key_is_one_sentence(opened, tmp_path, monkeypatch, key):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    with pytest.raises(UserError, match=r"^tracker=wandb cannot start \(.*\): run `wandb login`, or set WANDB_MODE=offline\.$") as refusal:
        opened("wandb", "a", 1)
    assert "canary" not in str(refusal.value)


def test_none_writes_nothing(opened, tmp_path):
    tracker = opened("none", "a", 1)
    train(tracker)
    tracker.close()
    assert not list((tmp_path / "a" / "0001").iterdir())
