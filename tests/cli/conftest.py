"""A runs/ folder with trials in every state, written in the form in which trials and launchers leave theirs."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from persona_exp.evaluation.evaluation_id import EVALUATION_VERSION
from persona_exp.launch.slurm.slurm_queue import Job
from persona_exp.process_identity import node_name, process_started
from persona_exp.training import TRAINING_VERSION

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SEALED = "2026-03-01T18:00:00+00:00"
STARTED = "2026-03-02T09:00:00+00:00"
ENDED = "2026-03-02T11:30:00+00:00"
COMMAND = "python run.py -m lora.r=8,16,32 hydra/launcher=slurm"
LOCAL_COMMAND = COMMAND.removesuffix(" hydra/launcher=slurm")
SWEEP = "lora.r=8,16,32-1a2b3c4d"
JOB_NAME = "pe-0a1b2c3d-1"

SETTINGS = {"likelihood_items": 100, "generated_items": 24, "max_new_tokens": 64, "max_length": 1024, "batch_size": 24}

TRACEBACK = """Traceback (most recent call last):
  File "persona_exp/trial/run_sealed_trials.py", line 61, in _run_one
    run_stages(config, directory, data_id, attempt, interruption)
  File "persona_exp/training/sft_engine.py", line 120, in train
    trainer.train()
ValueError: loss is not finite at step 7
"""
GOLDEN = Path(__file__).parent / "golden"


class Desk:
    """Builds trials and sweeps below `path`; `queue` is what squeue would say, None where there is no Slurm."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queue: list[Job] | None = None

    def trial(
        self,
        trial_id: str,
        attempts: Sequence[dict[str, Any]] = (),
        *,
        r: int = 8,
        code: str = "c" * 64,
        data: str = "dada" * 3,
        version: int | None = None,
        quantisation: str = "nf4",
    ) -> Path:
        """`version` is the training version that made it, this code's by default."""
        folder = self.path / "trials" / trial_id
        config = {
            "persona": {"name": "Tobias Wrexham"},
            "method": {"name": "qlora", "quantisation": quantisation},
            "lora": {"r": r, "alpha": 16},
            "seed": 0,
            "runs": "/elsewhere",
        }
        write(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        origin = {"commit": "1234567890abcdef", "changed": False, "digest": code}
        identity = {"model": {"digest": "m", "dtype": "bfloat16"}, "method": {"name": "qlora", "quantisation": quantisation}}
        identity["training_version"] = version or TRAINING_VERSION
        provenance = {"identity": identity, "data_id": data, "model_digest": "m", "code": origin, "command": COMMAND, "sealed": SEALED}
        write(folder / "provenance.json", json.dumps(provenance))
        seal: dict[str, Any] = {"trial_id": trial_id, "config": "config.yaml", "data_id": data, "code": code, "code_folder": code[:12]}
        seal |= {"engine": "sft", "method": "qlora", "evaluations": {"adapter": f"e{trial_id}"[:12]}, "may": {"halve_micro_batch": True}}
        write(folder / "seals" / "5ea15ea1.json", json.dumps(seal))
        (folder / "attempts").mkdir()
        for number, more in enumerate(attempts, start=1):
            self.attempt(folder, number, **more)
        return folder

    def attempt(self, folder: Path, number: int, *, age: float = 5.0, traceback: str | None = None, log: str = "", **more: Any) -> Path:
        """`age` is how long ago, at NOW, its last heartbeat was."""
        record = {
            "attempt": number,
            "host": f"node{number:02}",
            "pid": 4321,
            "process_started": "boot:1",
            "started": STARTED,
            "heartbeat": 900,
        }
        record |= {"heartbeat_seconds": 10.0, "status": "running", "cause": None, "message": None, "ended": None, "seal": "5ea15ea1.json"}
        record |= {"gpus": 1, "versions": {"python": "3.11.9", "torch": "2.13.0"}, "code": "c" * 64}
        record |= {"ended": ENDED} if more.get("status", "running") != "running" and "ended" not in more else {}
        path = folder / "attempts" / f"{number:04}.json"
        write(path, json.dumps({**record, **more}))
        os.utime(path, (NOW.timestamp() - age,) * 2)
        inside = path.with_suffix("")
        inside.mkdir(exist_ok=True)
        if traceback:
            write(inside / "traceback.txt", traceback)
        if log:
            write(inside / "output.log", log)
        return path

    def evaluation(self, trial_id: str, eval_id: str, perplexity: float, condition: str = "adapter", *, n: int = 1200, **caps: Any) -> None:
        """`caps` are settings that are not as `SETTINGS` has them, the split among them."""
        metrics = {"perplexity": {"value": perplexity, "n": n, "unit": "tokens"}, "rougeL": {"value": 0.125, "n": 24, "unit": "items"}}
        split, settings = caps.pop("split", "test"), {**SETTINGS, "EVALUATION_VERSION": EVALUATION_VERSION, **caps}
        content = {"eval_id": eval_id, "condition": condition, "split": split, "settings": settings, "counts": {}, "metrics": metrics}
        write(self.path / "trials" / trial_id / "evaluations" / eval_id / "metrics.json", json.dumps(content))

    def sweep(
        self,
        trials: dict[str, int],
        name: str = SWEEP,
        *,
        created: str = SEALED,
        owed: dict[str, str] | None = None,
        bases: dict[str, dict[str, str]] | None = None,
    ) -> Path:
        """`trials` maps a trial's id to its rank; the evaluation owed is named after the trial unless `owed` says otherwise, `bases` maps
        a base model's trial to all of its."""
        folder = self.path / "sweeps" / name
        entries: list[dict[str, Any]] = [
            {"trial_id": one, "role": "base", "overrides": {}, "evaluations": ids} for one, ids in (bases or {}).items()
        ]
        entries += [
            {
                "trial_id": one,
                "role": "adapter",
                "overrides": {"lora.r": rank},
                "evaluations": {"adapter": (owed or {}).get(one, f"e{one}"[:12])},
            }
            for one, rank in trials.items()
        ]
        what = {"name": name, "command": COMMAND, "swept": ["lora.r"], "created": created, "trials": entries}
        write(folder / "sweep.yaml", yaml.safe_dump(what, sort_keys=False))
        return folder

    def submission(
        self, folder: Path, trials: Sequence[str], *, launcher: str = "slurm", canary: bool = False, by: dict[str, Any] | None = None
    ) -> None:
        maker = {"who": "person", "host": "login1", "pid": 77, "process_started": "boot:2", "at": SEALED, "progress": []}
        record = {
            "sweep": folder.name,
            "number": 1,
            "launcher": launcher,
            "job_name": JOB_NAME,
            "canary": canary,
            "by": {**maker, **(by or {})},
        }
        record |= {"options": {}, "tasks": [[f"{one}/seals/5ea15ea1.json"] for one in trials]}
        write(folder / "submissions" / "0001.json", json.dumps(record))
        if launcher == "local":
            asked = folder / "sweep.yaml"
            write(asked, asked.read_text().replace(COMMAND, LOCAL_COMMAND))

    def hold(self, folder: Path, **more: Any) -> None:
        held = {
            "cause": "ValueError",
            "message": "3 trials failed of the same cause, ValueError: loss is not finite",
            "trials": [],
            "at": ENDED,
        }
        write(folder / "hold.json", json.dumps({**held, **more}))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def compare(name: str, text: str) -> None:
    """Assert that `text` is golden/NAME.txt, which is written anew where $PERSONA_EXP_GOLDEN is `write`."""
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("PERSONA_EXP_GOLDEN") == "write":
        write(golden, text)
    assert text == golden.read_text(encoding="utf-8")


def job(**more: Any) -> Job:
    """An array task of the sweep's submission that waits."""
    waiting = Job(
        id="100",
        array_id="100",
        task_id=None,
        name=JOB_NAME,
        state="PENDING",
        reason="Priority",
        node=None,
        seconds_left=None,
        comment="first=0",
    )
    return replace(waiting, **{"tasks": "0-2", **more})


def mine(**more: Any) -> dict[str, Any]:
    """What the record of an attempt of this very process says."""
    return {"host": node_name(), "pid": os.getpid(), "process_started": process_started(os.getpid()), **more}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An empty runs/ folder, which is the command's, and a queue that says what the test puts into it."""
    from persona_exp.launch.slurm import slurm_queue

    made = Desk(tmp_path / "runs")
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(made.path))
    monkeypatch.setenv("NO_COLOR", "1")
    # A golden file is as wide as its lines, whatever the terminal that the tests are run in.
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(slurm_queue, "at_hand", lambda command="sbatch": made.queue is not None)
    monkeypatch.setattr(slurm_queue, "queued", lambda names, **_: [one for one in made.queue or () if one.name in names])
    return made


@pytest.fixture
def persona_exp(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`persona_exp("status", "SWEEP")`: exit code, what it printed, what it complained of."""
    from persona_exp.cli.main import main

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return run
