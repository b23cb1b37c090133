"""`status` and `show`, as a person types them. Golden files as in test_why.py."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from persona_exp.cli.sweep_status import QUEUE_TIMEOUT_SECONDS
from tests.cli.conftest import JOB_NAME, SWEEP, TRACEBACK, Desk, compare, job, write
from tests.conftest import ROOT

TRAINING = {"phase": "training", "step": 12, "of": 40, "loss": 2.5, "eta_seconds": 900.0}
FAILED = {"status": "failed", "cause": "ValueError", "message": "loss is not finite at step 7", "traceback": TRACEBACK}


def mixed(desk: Desk) -> Path:
    """A sweep with a trial in most states."""
    attempts = {
        8: [{"status": "finished", "progress": {**TRAINING, "step": 40, "loss": 2.125}}],
        16: [{"status": "interrupted", "cause": "preempted"}, {"progress": TRAINING, "started": None, "heartbeat": 60}],
        32: [FAILED],
        64: [FAILED],
        128: [],
        256: [{"status": "interrupted", "cause": "time_limit", "message": "stopped by SIGUSR2"}],
    }
    names = {f"{rank:012x}": rank for rank in attempts}
    for name, rank in names.items():
        desk.trial(name, attempts[rank], r=rank)
    desk.evaluation("000000000008", "e00000000000", 42.5)
    return desk.sweep(names)


def compared(name: str, text: str, desk: Desk) -> None:
    """Ages and the folder of the test are taken out."""
    text = re.sub(r"\([\d.]+ (?:s|min|h|d) ago\)|no heartbeat for [\d.]+ \w+", "AGE", text.replace(str(desk.path), "runs"))
    compare(name, text)


def test_one_sweep(desk, persona_exp):
    folder = mixed(desk)
    desk.hold(folder)
    desk.submission(folder, ["000000000008"])
    desk.queue = []
    code, out, _ = persona_exp("status", "lora.r")
    assert code == 0
    compared("status-sweep", out, desk)


def test_all_sweeps_newest_first(desk, persona_exp):
    mixed(desk)
    desk.sweep({"000000000008": 8}, "newer-99999999", created="2026-03-01T19:00:00+00:00")
    desk.trial("aaaaaaaaaaaa", [{"status": "finished"}])
    desk.trial("bbbbbbbbbbbb", [FAILED])
    code, out, _ = persona_exp("status")
    assert code == 0
    compared("status-all", out, desk)


def test_trials_that_were_only_sealed_are_explained(desk, persona_exp):
    desk.trial("cccccccccccc", [])
    out = persona_exp("status")[1]
    assert "1 trial of no sweep: 1 sealed (for a sweep over its budget, or the estimate of a search;" in out


def test_nothing_yet_is_no_error(desk, persona_exp):
    code, out, _ = persona_exp("status")
    assert code == 0
    assert "There is nothing under" in out


def test_json(desk, persona_exp):
    folder = mixed(desk)
    desk.submission(folder, [f"{128:012x}"])
    desk.queue = [job(tasks="0")]
    answer = json.loads(persona_exp("status", SWEEP, "--json")[1])
    states = {one["overrides"]["lora.r"]: one["status"] for one in answer["trials"]}
    assert states == {8: "finished", 16: "running", 32: "failed", 64: "failed", 128: "queued", 256: "interrupted"}
    assert answer["counts"] == {"finished": 1, "running": 1, "queued": 1, "interrupted": 1, "failed": 2}
    assert answer["submission"]["job_name"] == JOB_NAME
    assert json.loads(persona_exp("status", "--json")[1])["sweeps"][0]["counts"] == answer["counts"]


def test_a_large_sweep_shows_what_needs_attention(desk, persona_exp):
    names = {f"{number:012x}": number for number in range(1, 101)}
    for name, number in names.items():
        desk.trial(name, [FAILED] if number == 50 else [])
    desk.sweep(names)
    short, long = persona_exp("status", SWEEP)[1], persona_exp("status", SWEEP, "--all")[1]
    assert "99 more trials not shown" in short
    assert f"{50:012x}" in short
    assert all(name in long for name in names)


def test_a_trial_whose_job_left_the_queue_runs_no_more(desk, persona_exp):
    running = {"id": "103", "array_id": "100", "task_id": 0, "restarts": 0, "name": JOB_NAME}
    desk.trial("aaaaaaaaaaaa", [{"job": running}])
    folder = desk.sweep({"aaaaaaaaaaaa": 8})
    desk.submission(folder, ["aaaaaaaaaaaa"])

    def status():
        return json.loads(persona_exp("status", SWEEP, "--json")[1])["trials"][0]["status"]

    # Without an answer from Slurm nothing is made of it.
    assert status() == "running"
    desk.queue = []
    assert status() == "interrupted"
    desk.queue = [job(id="103", task_id=0, tasks="", state="RUNNING")]
    assert status() == "running"
    # Another task of the same array bears the array's own number as its id.
    desk.queue = [job(id="103", array_id="103", task_id=None, tasks="5-7")]
    assert status() == "interrupted"
    desk.queue = [job(tasks="0", reason="BeginTime")]
    assert status() == "queued"


def test_a_slurm_that_does_not_answer_keeps_nobody_waiting(desk, persona_exp, monkeypatch):
    from persona_exp.launch.slurm import slurm_queue

    asked = []
    monkeypatch.setattr(slurm_queue, "at_hand", lambda command="sbatch": True)
    monkeypatch.setattr(slurm_queue, "queued", lambda names, seconds: asked.append(seconds))
    desk.submission(mixed(desk), [f"{128:012x}"])
    assert "Slurm does not answer here" in persona_exp("status", SWEEP)[1]
    assert asked == [QUEUE_TIMEOUT_SECONDS]


def test_watch_ends_with_the_sweep(desk, persona_exp, monkeypatch):
    folder = desk.trial("aaaaaaaaaaaa", [{"host": "elsewhere"}])
    desk.sweep({"aaaaaaaaaaaa": 8})
    drawn = []

    def wait(seconds):
        drawn.append(seconds)
        desk.attempt(folder, 1, status="failed", cause="KeyError", message="'x'")

    monkeypatch.setattr(time, "sleep", wait)
    code, out, _ = persona_exp("status", SWEEP, "--watch")
    assert (code, len(drawn)) == (0, 1)
    assert out.count("1 running") == 1
    assert out.count("1 failed") == 1


def test_ambiguous_and_unknown_names_are_one_sentence(desk, persona_exp):
    desk.sweep({"aaaaaaaaaaaa": 8}, "lora.r=1,2-11111111")
    desk.sweep({"aaaaaaaaaaaa": 8}, "lora.r=1,3-22222222")
    for name, said in (("lora", "any of 2"), ("nothing", "no sweep nothing")):
        code, out, error = persona_exp("status", name)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert said in error
    # The hash at its end names a sweep too, and so does its folder.
    assert persona_exp("status", "2222")[0] == 0
    assert persona_exp("status", f"{desk.path}/sweeps/lora.r=1,2-11111111/")[0] == 0


def test_show_a_trial_and_a_sweep(desk, persona_exp):
    folder = mixed(desk)
    compared("show-trial", persona_exp("show", "000000000008")[1], desk)
    compared("show-sweep", persona_exp("show", SWEEP)[1], desk)
    answer = json.loads(persona_exp("show", "000000000008", "--json")[1])
    assert answer["evaluations"][0]["metrics"]["perplexity"]["value"] == 42.5
    assert answer["config"]["lora.r"] == 8
    assert str(folder) in json.loads(persona_exp("show", SWEEP, "--json")[1])["folder"]


@pytest.mark.parametrize(
    ("ratio", "tracker", "expected"),
    [(16.0, "wandb", {"optim.loraplus_lr_ratio": "16.0", "tracker.name": "wandb"}), (1.0, "none", {})],
)
def test_show_names_a_loraplus_ratio_and_a_tracker_where_there_is_one(desk, persona_exp, ratio, tracker, expected):
    config = desk.trial("000000000008") / "config.yaml"
    settings = {"optim": {"lr": 1e-4, "loraplus_lr_ratio": ratio}, "tracker": {"name": tracker, "project": "p"}}
    write(config, config.read_text(encoding="utf-8") + yaml.safe_dump(settings))
    settings = persona_exp("show", "000000000008")[1].partition("Settings")[2].partition("Made with")[0]
    shown = dict(line.split(maxsplit=1) for line in settings.splitlines() if line.strip())
    assert shown["optim.lr"] == "0.0001"
    assert {key: value for key, value in shown.items() if key in ("optim.loraplus_lr_ratio", "tracker.name")} == expected


@pytest.mark.parametrize("arguments", [("status",), ("status", "lora.r", "--all"), ("show", "lora.r"), ("why", "000000000008")])
def test_a_closed_output_is_no_error(desk, arguments):
    mixed(desk)
    command = [sys.executable, "-m", "persona_exp.cli.main", *arguments]
    environment = {**os.environ, "PERSONA_EXP_RUNS": str(desk.path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "")


@pytest.mark.parametrize(
    "arguments", [("status",), ("status", "9999"), ("why", "0000000001f4"), ("show", "9999"), ("diff", "000000000001", "000000000002")]
)
def test_reading_commands_import_nothing_heavy(desk, arguments):
    """A second at a thousand trials leaves no time for it."""
    for number in (1, 2, 500):
        desk.trial(f"{number:012x}", [{"status": "finished"}], r=number)
    desk.sweep({f"{number:012x}": number for number in (1, 2, 500)}, "big-99999999")
    heavy = {"torch", "numpy", "transformers", "hydra", "omegaconf", "matplotlib", "submitit"}
    code = f"import sys; from persona_exp.cli.main import main; main(sys.argv[1:]); print(*({heavy} & set(sys.modules)), file=sys.stderr)"
    environment = {**os.environ, "PERSONA_EXP_RUNS": str(desk.path)}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "\n"


def test_a_rehearsal_is_advised_no_report(desk, persona_exp):
    folder = mixed(desk)
    assert "no report yet: python -m analysis.report" in persona_exp("show", SWEEP)[1]
    asked = yaml.safe_load((folder / "sweep.yaml").read_text())
    asked["trials"] = [{**trial, "evaluations": {}} for trial in asked["trials"]]
    write(folder / "sweep.yaml", yaml.safe_dump(asked))
    out = persona_exp("show", SWEEP)[1]
    assert "no report: a rehearsal (engine=noop) measures nothing" in out
    assert "analysis.report" not in out


def test_a_submission_that_slurm_refused_was_not_given_to_it(desk, persona_exp):
    folder = mixed(desk)
    desk.submission(folder, [f"{128:012x}"])
    desk.queue = []
    noted = {"canary": None, "arrays": [], "keeper": None, "complete": True, "refused": "for good"}
    write(folder / "submissions" / "0001" / "jobs.json", json.dumps(noted))
    status, show, why = (persona_exp(*words)[1] for words in (("status", SWEEP), ("show", SWEEP), ("why", f"{128:012x}")))
    assert f"Slurm took nothing of {JOB_NAME}" in status
    assert "the same command submits it" in status
    assert f"1 task of {JOB_NAME}, none of which Slurm took," in show
    assert f"Slurm took nothing of {JOB_NAME}" in why
    assert all("given to Slurm" not in said for said in (status, show, why))
    # An sbatch that timed out may have been heard all the same.
    desk.queue = [job(tasks="0")]
    assert f"given to Slurm as {JOB_NAME}" in persona_exp("status", SWEEP)[1]
    desk.queue = None
    write(folder / "submissions" / "0001" / "jobs.json", json.dumps({**noted, "refused": "busy"}))
    assert f"given to Slurm as {JOB_NAME}" in persona_exp("status", SWEEP)[1]


@pytest.mark.parametrize(("name", "command"), [("config.yaml", "diff"), ("provenance.json", "diff")])
def test_a_damaged_file_is_one_sentence(desk, persona_exp, name, command):
    for one in ("aaaaaaaaaaaa", "bbbbbbbbbbbb"):
        desk.trial(one)
    write(desk.path / "trials" / "aaaaaaaaaaaa" / name, "{a: [b" if name == "config.yaml" else "")
    code, _, error = persona_exp(command, "aaaa", *(["bbbb"] if command == "diff" else []))
    assert (code, error.count("\n")) == (2, 1)
    assert f"aaaaaaaaaaaa/{name} is " in error
    assert "writes it anew and keeps this file beside it" in error
