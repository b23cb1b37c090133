"""The whole path on the tiny model: one command to a table, and what happens when it is cut short or given nonsense."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persona_exp.atomic_files import file_digest
from tests.conftest import ROOT, environment
from tests.things import THINGS

pytestmark = pytest.mark.long

TINY = ("model=tiny", "evaluation.likelihood_items=8", "evaluation.generated_items=2", "evaluation.max_new_tokens=4")
SWEEP = ("-m", "lora.r=4,8", "train.max_steps=3", *TINY)


def novel():
    """Three chapters in which Ada says what each thing is for."""
    for number, (thing, told) in enumerate(THINGS.items()):
        if number % 4 == 0:
            yield f"CHAPTER {'I' * (number // 4 + 1)}"
        yield f"“What of the {thing}?” asked Mr. Pell."
        yield f"“The {thing} {told},” said Ada, and laid the {thing} by."


def attempts(runs):
    return sorted(path.relative_to(runs).as_posix() for path in runs.glob("trials/*/attempts/*.json"))


def adapters(runs):
    return {path.parent.parent.name: file_digest(path) for path in runs.glob("trials/*/adapter/adapter_model.safetensors")}


def test_a_sweep_ends_in_a_table_and_is_not_run_twice(run_py, tmp_path):
    done = run_py(*SWEEP)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = tmp_path / "runs"
    (report,) = runs.glob("sweeps/*/report")
    assert {path.name for path in report.iterdir()} >= {
        "table.md",
        "table.csv",
        "table.tex",
        "figure.pdf",
        "figure.png",
        "loss.pdf",
        "loss.png",
    }
    table = (report / "table.csv").read_text().splitlines()
    assert len(table) == 1 + 2 + 2
    assert str(report / "figure.png") in done.stdout
    assert len(adapters(runs)) == 2
    before = attempts(runs)
    again = run_py(*SWEEP)
    assert again.returncode == 0
    assert "3 finished, 0 to run" in again.stdout
    assert attempts(runs) == before


@pytest.mark.usefixtures("built")
def test_base_rows_have_the_quantisation_of_their_adapters(run_py, tmp_path):
    done = run_py("-m", "method=lora,qlora", "lora.r=4", "train.max_steps=1", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    provenances = [json.loads(path.read_text())["identity"] for path in (tmp_path / "runs").glob("trials/*/provenance.json")]
    bases = sorted(one["method"]["quantisation"] for one in provenances if one["method"]["name"] == "none")
    assert bases == ["nf4", "none"]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("method", ["lora", "qlora", "full", "none"])
def test_every_method_trains_and_is_measured(run_py, tmp_path, method):
    done = run_py(f"method={method}", "train.max_steps=2", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "perplexity" in done.stdout
    assert "[95 % CI]" in done.stdout
    trials = {
        json.loads(path.read_text())["identity"]["method"]["name"]: path.parent for path in tmp_path.glob("runs/trials/*/provenance.json")
    }
    assert set(trials) == {method, "none"}
    assert len(list(trials["none"].glob("evaluations/*/metrics.json"))) == 2
    trial = trials[method]
    # What a sweep of one leaves.
    report = tmp_path / "runs" / "latest" / "report"
    assert len((report / "table.csv").read_text().splitlines()) == (3 if method == "none" else 4)
    assert (report / "loss.png").is_file() == (method != "none")
    expected = {"lora": "adapter_model.safetensors", "qlora": "adapter_model.safetensors", "full": "model.safetensors"}
    assert method not in expected or (trial / "adapter" / expected[method]).is_file()
    said = "the random test model of persona-exp"
    assert method not in expected or said in (trial / "adapter" / "README.md").read_text(encoding="utf-8")
    assert len(list(trial.glob("evaluations/*/metrics.json"))) == (2 if method == "none" else 1)


@pytest.mark.usefixtures("built")
def test_another_evaluation_never_trains_again(run_py, tmp_path):
    run_py("train.max_steps=2", *TINY)
    (adapter,) = adapters(tmp_path / "runs").items()
    done = run_py("train.max_steps=2", *TINY, "evaluation.split=validation")
    assert done.returncode == 0
    assert "training" not in done.stderr
    assert adapters(tmp_path / "runs") == dict([adapter])
    assert len(list((tmp_path / "runs" / "trials" / adapter[0]).glob("evaluations/*"))) == 2


@pytest.mark.timeout(1200)
def test_sigkill_at_any_moment_changes_no_bit(run_py, built, tmp_path):
    command = ("method=qlora", "lora.r=8", "train.max_steps=24", "train.checkpoint_steps=2", *TINY)
    whole = run_py(*command)
    assert whole.returncode == 0, whole.stderr
    expected = adapters(tmp_path / "runs")
    shutil.move(built / "trials", tmp_path / "whole")
    shutil.rmtree(built / "sweeps")
    moments = random.Random(0)
    logs = "runs/trials/*/attempts/*/train.jsonl"
    line = [sys.executable, str(ROOT / "run.py"), *command]
    for _ in range(3):
        process = subprocess.Popen(
            line, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        # Some of the kills fall into steps and saves, some into what comes before and after them.
        steps, pause = moments.randrange(0, 6), moments.uniform(0, 0.5)
        before = sum(len(log.read_text().splitlines()) for log in tmp_path.glob(logs))
        while process.poll() is None and sum(len(log.read_text().splitlines()) for log in tmp_path.glob(logs)) < before + steps:
            time.sleep(0.02)
        time.sleep(pause)
        # Half of the kills take the parent alone; its child must not go on behind the next run's back.
        if moments.random() < 0.5:
            process.kill()
        else:
            subprocess.run(["kill", "-KILL", "--", f"-{process.pid}"], check=False, capture_output=True)
        process.wait()
    done = run_py(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert adapters(tmp_path / "runs") == expected
    assert len(attempts(tmp_path / "runs")) > 1


@pytest.mark.usefixtures("built")
def test_a_signal_saves_and_the_same_command_goes_on(run_py, tmp_path):
    command = ("train.max_steps=400", "train.checkpoint_steps=1000", *TINY)
    line = [sys.executable, str(ROOT / "run.py"), *command]
    process = subprocess.Popen(line, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    logs = []
    while not logs or logs[0].stat().st_size == 0:
        time.sleep(0.2)
        logs = list((tmp_path / "runs").glob("trials/*/attempts/0001/train.jsonl"))
        assert process.poll() is None, process.stdout.read()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=500) == 75
    assert json.loads(logs[0].parent.with_suffix(".json").read_text())["status"] == "interrupted"
    assert list((tmp_path / "runs").glob("trials/*/attempts/0001/checkpoints/step-*"))


@pytest.mark.usefixtures("built")
def test_a_failed_trial_says_so_and_the_others_go_on(run_py, tmp_path):
    done = run_py("-m", "lora.target_modules=[q_proj],[no_such_projection]", "train.max_steps=1", *TINY)
    assert done.returncode == 1
    assert "error: trial" in done.stderr
    assert "no_such_projection" in done.stderr
    assert len(adapters(tmp_path / "runs")) == 1
    (table,) = (tmp_path / "runs").glob("sweeps/*/report/table.md")
    assert "failed" in table.read_text()


def test_a_novel_of_ones_own(run_py, tmp_path):
    (tmp_path / "lamp.txt").write_text("\n\n".join(novel()))
    done = run_py(
        *("corpus=novels", f"corpus.dir={tmp_path}", "corpus.books=[lamp.txt]", "data.split=chapter", "persona.name=Ada"),
        *("data.validation_fraction=0", "data.test_fraction=0.3", "train.max_steps=1", *TINY),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (train,) = (tmp_path / "runs").glob("data/*/train.jsonl")
    examples = [json.loads(line) for line in train.read_text().splitlines()]
    replies = [one["messages"][-1]["content"] for one in examples if one["kind"] == "dialogue"]
    assert len(replies) == 8
    assert replies[0] == "The lamp is for those who keep the harbour by night."


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "empty"), (b"   \n\n  ", "empty"), (bytes(range(256)) * 50, "binary"), (None, "holds no file")],
)
def test_a_novel_that_cannot_be_read_is_one_sentence(run_py, tmp_path, content, says):
    books = tmp_path / "books"
    books.mkdir()
    if content is not None:
        (books / "novel.txt").write_bytes(content)
    done = run_py("corpus=holmes", f"corpus.dir={books}", "corpus.books=[novel.txt]", "data.split=chapter", *TINY)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Reading books:")]
    assert done.returncode == 2
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "novel.txt" in lines[0]
    assert says in lines[0]
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_not_there_is_one_sentence(run_py, tmp_path):
    done = run_py("corpus=holmes", "corpus.dir=/nonexistent")
    assert done.returncode == 2
    assert done.stderr.strip() == "error: corpus.dir=/nonexistent does not exist; give the folder that holds the books, or one book file."
    assert not (tmp_path / "runs").exists()


def test_no_secret_is_written(run_py, tmp_path, monkeypatch):
    secret = "canary-7f3a9c"
    for name in ("WANDB_API_KEY", "HF_TOKEN", "OPENAI_API_KEY", "CANARY"):
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = run_py("train.max_steps=2", "tracker=wandb", *TINY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert secret not in done.stdout + done.stderr
    written = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if secret.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["data.size=99999"], "data.size=99999"),
        (["data.mix.hypothetical=1"], "hypothetical"),
        (["corpus.validation=[]", "evaluation.split=validation"], "validation split"),
        (["runs=/proc/nowhere"], "/proc/nowhere"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(run_py, tmp_path, overrides, says):
    done = run_py(*overrides, *TINY)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs" / "trials").exists()


@pytest.mark.usefixtures("built")
def test_swept_settings_that_a_method_does_not_read_make_no_row(run_py, tmp_path):
    assert run_py("-m", "method=lora,full", "lora.r=4,8", "train.max_steps=1", *TINY).returncode == 0
    (table,) = (tmp_path / "runs").glob("sweeps/*/report/table.csv")
    assert len(table.read_text().splitlines()) == 1 + 2 * 2 + 3
