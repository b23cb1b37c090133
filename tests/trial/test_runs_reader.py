import json
import subprocess
import sys

import pytest

from persona_exp.errors import UserError
from persona_exp.trial.recorded_evaluations import damaged_evaluations
from persona_exp.trial.recorded_hold import read_hold
from persona_exp.trial.recorded_sweep import SweepTrial, read_sweep, sweep_names
from persona_exp.trial.runs_reader import has_trial, read_trial

TRIAL = "0123456789ab"


def write_trial(runs, attempts=(), logs=()):
    folder = runs / "trials" / TRIAL
    (folder / "attempts").mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 3\nlora: {r: 8}\n")
    for number, attempt in enumerate(attempts, start=1):
        record = {"attempt": number, "host": "elsewhere", "pid": 1, **attempt}
        (folder / "attempts" / f"{number:04}.json").write_text(json.dumps(record))
    for number, text in enumerate(logs, start=1):
        (folder / "attempts" / f"{number:04}").mkdir()
        (folder / "attempts" / f"{number:04}" / "train.jsonl").write_text(text)
    return folder


def write_sweep(runs, text):
    folder = runs / "sweeps" / "s"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(text)


def test_sweep(tmp_path):
    write_sweep(
        tmp_path,
        "name: s\ncommand: python run.py -m lora.r=8,16\nswept: [lora.r]\ncreated: 2026-01-02T03:04:05+00:00\ntrials:\n"
        "- {trial_id: 0123456789ab, role: adapter, overrides: {lora.r: 8}, evaluations: {adapter: aaaaaaaaaaaa}}\n"
        "- {trial_id: ba9876543210, role: base, evaluations: {base: bbbbbbbbbbbb, base+system: cccccccccccc}}\n",
    )
    sweep = read_sweep(tmp_path, "s")
    assert (sweep.name, sweep.swept, sweep.created) == ("s", ["lora.r"], "2026-01-02T03:04:05+00:00")
    assert [(one.trial_id, one.role, one.overrides, one.evaluations) for one in sweep.trials] == [
        ("0123456789ab", "adapter", {"lora.r": 8}, {"adapter": "aaaaaaaaaaaa"}),
        ("ba9876543210", "base", {}, {"base": "bbbbbbbbbbbb", "base+system": "cccccccccccc"}),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trials: []\n", "lacks command, swept"),
        ("a: [\n", "not valid YAML"),
        ("- 1\n", "holds no settings"),
        ("command: c\nswept: []\ntrials: [{trial_id: 012345670123, evaluations: {adapter: ab}}]\n", "in quotes"),
        ("command: c\nswept: []\ntrials: [{trial_id: ab, evaluations: {adapter: 012345670123}}]\n", "in quotes"),
        ("command: c\nswept: []\ntrials: [{trial_id: ab}]\n", "which evaluations"),
    ],
)
def test_broken_sweep(tmp_path, text, said):
    write_sweep(tmp_path, text)
    with pytest.raises(UserError, match=said):
        read_sweep(tmp_path, "s")


def test_absent(tmp_path):
    with pytest.raises(UserError, match="There is no sweep"):
        read_sweep(tmp_path, "s")
    with pytest.raises(UserError, match="There is no trial"):
        read_trial(tmp_path, TRIAL)
    assert not has_trial(tmp_path, TRIAL)


def test_sealed_until_the_first_attempt(tmp_path):
    write_trial(tmp_path)
    trial = read_trial(tmp_path, TRIAL)
    assert has_trial(tmp_path, TRIAL)
    assert (trial.status, trial.cause, trial.config, trial.provenance) == ("sealed", None, {"seed": 3, "lora": {"r": 8}}, {})
    assert (trial.attempts, trial.log, trial.evaluations) == ([], [], [])


def test_attempts_beyond_four_digits(tmp_path):
    folder = write_trial(tmp_path, [{"status": "interrupted"}] * 11)
    (folder / "attempts" / "10000.json").write_text(json.dumps({"status": "failed", "cause": "input", "message": "no"}))
    trial = read_trial(tmp_path, TRIAL)
    assert (trial.status, trial.cause, len(trial.attempts)) == ("failed", "input", 12)


def test_traceback_of_the_last_failure_alone(tmp_path):
    folder = write_trial(tmp_path, [{"status": "failed", "cause": "KeyError"}], [""])
    assert read_trial(tmp_path, TRIAL).traceback is None
    (folder / "attempts" / "0001" / "traceback.txt").write_text("Traceback …\nKeyError: 'x'\n")
    assert read_trial(tmp_path, TRIAL).traceback == "Traceback …\nKeyError: 'x'\n"
    (folder / "attempts" / "0002.json").write_text(json.dumps({"status": "finished"}))
    assert read_trial(tmp_path, TRIAL).traceback is None


def test_a_held_sweep_and_the_names_of_sweeps(tmp_path):
    assert sweep_names(tmp_path) == []
    write_sweep(tmp_path, "command: c\nswept: []\ntrials: [{trial_id: abababababab, evaluations: {}}]\n")
    (tmp_path / "sweeps" / "no-sweep").mkdir()
    assert sweep_names(tmp_path) == ["s"]
    assert read_sweep(tmp_path, "s").trials[0].evaluations == {}
    assert read_hold(tmp_path, "s") is None
    (tmp_path / "sweeps" / "s" / "hold.json").write_text(json.dumps({"cause": "canary", "message": "m", "trials": [], "at": "t"}))
    assert read_hold(tmp_path, "s")["cause"] == "canary"


def line(step, loss):
    return json.dumps({"step": step, "loss": loss}) + "\n"


def test_log_of_a_resumed_trial(tmp_path):
    first = line(1, 5.0) + line(2, 4.0) + line(3, 3.5) + '{"step": 4, "lo'
    write_trial(tmp_path, [{"status": "interrupted"}, {"status": "finished"}], [first, line(3, 3.4) + line(4, 3.0)])
    assert [(one["step"], one["loss"]) for one in read_trial(tmp_path, TRIAL).log] == [(1, 5.0), (2, 4.0), (3, 3.4), (4, 3.0)]


def test_looks_stand_with_the_steps_after_which_they_were(tmp_path):
    folder = write_trial(tmp_path, [{"status": "interrupted"}, {"status": "finished"}], [line(1, 5.0) + line(2, 4.0), line(2, 4.0)])
    for number, looks in ((1, {1: 6.0, 2: 5.5}), (2, {2: 5.5, 3: 5.0})):
        text = "".join(json.dumps({"step": step, "eval_loss": loss}) + "\n" for step, loss in looks.items())
        (folder / "attempts" / f"{number:04}" / "validation.jsonl").write_text(text)
    # The third step was not logged.
    assert [(one["step"], one.get("loss"), one["eval_loss"]) for one in read_trial(tmp_path, TRIAL).log] == [
        (1, 5.0, 6.0),
        (2, 4.0, 5.5),
        (3, None, 5.0),
    ]


def test_bad_line_inside_a_log_is_an_error(tmp_path):
    write_trial(tmp_path, [{"status": "finished"}], ['{"step": 1, "lo\n' + line(2, 4.0)])
    with pytest.raises(UserError, match="line 1"):
        read_trial(tmp_path, TRIAL)


def test_evaluations(tmp_path):
    folder = write_trial(tmp_path, [{"status": "finished"}]) / "evaluations"
    for name in ("abcabcabcabc", ".staged", "empty"):
        (folder / name).mkdir(parents=True)
    content = {
        "eval_id": "abcabcabcabc",
        "condition": "adapter",
        "split": "test",
        "settings": {"a": 1},
        "counts": {"b": 2},
        "metrics": {"perplexity": {"value": 2.0}},
    }
    for name in ("abcabcabcabc", ".staged"):
        (folder / name / "metrics.json").write_text(json.dumps(content))
    # Without a newline at its end, the last line is whole all the same.
    (folder / "abcabcabcabc" / "items.jsonl").write_text('{"example": "a"}\n{"example": "b"}')
    (found,) = read_trial(tmp_path, TRIAL).evaluations
    assert (found.eval_id, found.condition, found.split) == ("abcabcabcabc", "adapter", "test")
    assert (found.settings, found.counts) == ({"a": 1}, {"b": 2})
    assert [item["example"] for item in found.items] == ["a", "b"]
    (folder / "abcabcabcabc" / "metrics.json").write_text(json.dumps({name: value for name, value in content.items() if name != "counts"}))
    assert read_trial(tmp_path, TRIAL).evaluations[0].counts == {}
    (folder / "abcabcabcabc" / "metrics.json").write_text("{}")
    assert read_trial(tmp_path, TRIAL).evaluations == []
    (sentence,) = damaged_evaluations(tmp_path, TRIAL)
    assert "lacks condition, split, metrics" in sentence


def test_imports_no_torch():
    code = "import sys, persona_exp.trial.runs_reader; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.008093446564390145, "0.008093"), (1e-05, "1e-05"), (0.000125, "0.000125"), (16, "16"), ("qlora", "qlora"), (True, "True")],
)
def test_a_title_has_no_seventeen_digits(value, text):
    assert SweepTrial("0" * 12, "adapter", {"optim.lr": value}, {}).title == f"optim.lr={text}"
