"""The text of sbatch scripts is what leaves the program: golden. A file that is deleted is written anew."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from persona_exp.errors import UserError
from persona_exp.launch.slurm.sbatch_script import script

GOLDEN = Path(__file__).parent / "golden"
COMMAND = "/venv/bin/python -m persona_exp.launch.workers /runs/sweeps/a/submissions/0001.json"
CASES: dict[str, dict[str, Any]] = {
    "plain": {"options": {"timeout_min": 60}},
    "array": {
        "options": {
            "timeout_min": 1440,
            "partition": "gpu",
            "gpus_per_node": "a100:1",
            "cpus_per_task": 8,
            "mem_gb": 62.5,
            "qos": "normal",
            "account": "lit 01",
            "constraint": "a100_80gb",
            "exclude": "node[3-4]",
            "reservation": "course",
            "signal_delay_s": 120,
            "stderr_to_stdout": True,
            "comment": "persona-exp sweep lora.r=8,16",
            "mail_type": None,
            "additional_parameters": {"nice": 100, "requeue": True},
            "setup": ["module load cuda/12.4", "source /opt/site.sh"],
            "srun_args": ["--container-image=persona.sqsh"],
        },
        "array": (10, 1009),
        "parallelism": 256,
        "dependency": "afterok:77",
        "environment": {"HF_HUB_OFFLINE": "1", "PYTHONPATH": "/runs/code/0123 4567"},
    },
    "teardown": {"options": {"timeout_min": 5, "teardown": ["rm -rf /scratch/$SLURM_JOB_ID"]}, "array": (0, 0), "parallelism": 256},
    "without_srun": {"options": {"timeout_min": 5, "use_srun": False, "signal_delay_s": 60, "teardown": ["echo over"]}},
}


@pytest.mark.parametrize("case", CASES)
def test_the_script_is_what_it_was(case: str) -> None:
    given = {"array": None, "parallelism": 1, "dependency": None, "environment": {}, **CASES[case]}
    text = script(COMMAND, folder=Path("/runs/sweeps/50% a/submissions/0001/logs"), name="pe-01234567-1", **given)
    golden = GOLDEN / f"{case}.sbatch"
    if not golden.exists():
        golden.write_text(text)
        pytest.fail(f"{golden} was not there and has been written: read it.")
    assert text == golden.read_text()


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(UserError, match=r"hydra\.launcher\.timeout is not an option"):
        script("true", folder=Path("logs"), name="a", options={"timeout": 5}, array=None, parallelism=1, dependency=None, environment={})


@pytest.mark.parametrize("name", ["%j", "%A_%a", "50%", "a %t b", "it's", "%3j"])
@pytest.mark.parametrize("array", [None, (0, 3)])
def test_patterns_in_the_name_of_a_folder_are_none(name: str, array: tuple[int, int] | None) -> None:
    given: dict[str, Any] = {"array": array, "parallelism": 1, "dependency": None, "environment": {}}
    text = script("true", folder=Path("/runs") / name, name="a", options={"stderr_to_stdout": True}, **given)
    (line,) = [line for line in text.splitlines() if line.startswith("#SBATCH --output=")]
    pattern = "%j_0_log.out" if array is None else "%A_%a_0_log.out"
    assert shlex.split(line[len("#SBATCH --output=") :]) == [f"/runs/{name.replace('%', '%%')}/{pattern}"]
    assert shlex.split(text.splitlines()[-1])[3].startswith(f"/runs/{name.replace('%', '%%')}/")


@pytest.mark.parametrize("name", ["a\\b", "a\nb"])
def test_a_folder_that_slurm_writes_nothing_to_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"give a PERSONA_EXP_RUNS without backslash"):
        script("true", folder=Path("/runs") / name, name="a", options={}, array=None, parallelism=1, dependency=None, environment={})


def test_the_logging_of_the_process_stays_as_it_was(tmp_path: Path) -> None:
    """submitit's import sets up logging anew, unless it is told otherwise: every handler there was is closed."""
    code = f"""
import logging
from pathlib import Path
from persona_exp.launch.slurm.sbatch_script import script
handler = logging.FileHandler({str(tmp_path / "log")!r})
script("true", folder=Path("logs"), name="a", options={{}}, array=None, parallelism=1, dependency=None, environment={{}})
assert handler.stream is not None
"""
    environment = {key: value for key, value in os.environ.items() if key != "SUBMITIT_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
