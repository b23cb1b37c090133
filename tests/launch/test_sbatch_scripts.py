"""slurm/train.sbatch and slurm/sweep.sbatch: what becomes of run.py's exit code, with Slurm's commands played by small scripts."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from persona_exp import atomic_files

ROOT = Path(__file__).parents[2]
# In run.py's place: says what it was asked and how, and ends as it is told.
RUN_PY = """
import os, sys
if os.environ.get("BEGIN"):
    os.makedirs("runs/jobs", exist_ok=True)
    open(os.environ["PERSONA_EXP_JOB_NOTE"], "w").write(os.environ["BEGIN"])
if int(os.environ["END"]) < 0:
    os.kill(os.getpid(), -int(os.environ["END"]))
print("asked:", *sys.argv[1:], "cores:", os.environ["SRUN_CPUS_PER_TASK"], os.environ["OMP_NUM_THREADS"])
sys.exit(int(os.environ["END"]))
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
"$@"
"""
SCONTROL = """#!/bin/bash
echo "scontrol $*" >> "$CALLS"
[ "$1" = show ] && echo "JobId=7 JobState=$STATE Restarts=0"
exit 0
"""
SQUEUE = """#!/bin/bash
[[ "$*" == *%l* ]] && echo "2-00:00:00 a100&ib"
exit 0
"""
SBATCH = """#!/bin/bash
echo "sbatch $* [$(compgen -e | grep '^SLURM' | tr '\\n' ' ')]" >> "$CALLS"
"""


@pytest.fixture
def job(tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]:
    """`job("train.sbatch", "lora.r=16", end=75)`: the script as a job's shell runs it; how it ended, and which commands it called."""
    repository, commands = tmp_path / "repository", tmp_path / "bin"
    shutil.copytree(ROOT / "slurm", repository / "slurm", ignore=shutil.ignore_patterns("testbed"))
    (repository / "run.py").write_text(RUN_PY)
    (repository / ".venv" / "bin").mkdir(parents=True)
    python = repository / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/bash\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    commands.mkdir()
    calls = tmp_path / "calls"

    def run(
        script: str, *arguments: str, end: int, state: str = "RUNNING", scontrol: bool = True, **variables: str
    ) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        for name, text in {"srun": SRUN, "sbatch": SBATCH, **({"scontrol": SCONTROL} if scontrol else {})}.items():
            (commands / name).write_text(text)
            (commands / name).chmod(0o755)
        # Slurm's own commands, where this machine has them, are not to be met.
        for name in ("bash", "cp", "env", "grep", "rm", "sh", "sleep", "tr"):
            if not (commands / name).exists():
                (commands / name).symlink_to(str(shutil.which(name)))
        environment = {
            "PATH": str(commands),
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(ROOT),
            "CALLS": str(calls),
            "END": str(end),
            "STATE": state,
            "SLURM_SUBMIT_DIR": str(repository),
            "SLURM_JOB_ID": "7",
            "SLURM_JOB_NAME": "persona-exp",
            "SLURM_JOB_PARTITION": "gpu",
            "SLURM_CPUS_PER_TASK": "4",
            **variables,
        }
        # Slurm runs a copy out of its spool folder.
        copy = tmp_path / "slurm_script"
        shutil.copy(repository / "slurm" / script, copy)
        command = [str(commands / "bash"), str(copy), *arguments]
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=300, check=False)
        return done, calls.read_text().splitlines() if calls.exists() else []

    return run


def sealed_code(place: Path, text: str) -> Path:
    """Return a folder of code with one module, named after its digest as a snapshot is."""
    digest = atomic_files.digest({"sealed_module.py": hashlib.sha256(text.encode()).hexdigest()})
    code = place / "code" / digest[:12]
    code.mkdir(parents=True)
    (code / "sealed_module.py").write_text(text)
    return code


@pytest.mark.parametrize("end", [0, 1, 2])
def test_the_exit_code_is_run_pys_and_nothing_is_requeued(job: Callable, end: int) -> None:
    done, calls = job("train.sbatch", "lora.r=16", "persona.name=A B", end=end)
    assert done.returncode == end
    assert "asked: lora.r=16 persona.name=A B cores: 4 4" in done.stdout
    assert calls == []


def test_a_sweep_is_run_with_m(job: Callable) -> None:
    done, _ = job("sweep.sbatch", "lora.r=8,16,32", end=0)
    assert "asked: -m lora.r=8,16,32" in done.stdout


def test_an_interrupted_job_goes_back_into_the_queue(job: Callable) -> None:
    done, calls = job("train.sbatch", end=75)
    assert done.returncode == 75
    assert "scontrol requeue 7" in calls
    assert "in the queue again" in done.stdout


def test_an_array_task_is_requeued_as_such(job: Callable) -> None:
    _, calls = job("sweep.sbatch", "a=1,2", end=75, SLURM_ARRAY_JOB_ID="6", SLURM_ARRAY_TASK_ID="3")
    assert "scontrol requeue 6_3" in calls


def test_a_cancelled_job_is_not_brought_back(job: Callable) -> None:
    done, calls = job("train.sbatch", end=75, state="CANCELLED")
    assert done.returncode == 75
    assert not [call for call in calls if "requeue" in call or call.startswith("sbatch")]


def test_without_scontrol_the_script_is_submitted_anew_with_nothing_of_this_jobs_around_it(job: Callable) -> None:
    done, calls = job("sweep.sbatch", "a=1,2", end=75, scontrol=False, SLURM_ARRAY_JOB_ID="6", SLURM_ARRAY_TASK_ID="3", SLURM_CONF="/c")
    assert done.returncode == 75
    (call,) = calls
    told = "--partition=gpu --job-name=persona-exp --cpus-per-task=4 --export=ALL,PERSONA_EXP_JOB_BEFORE=7,PERSONA_EXP_RESTARTS_BEFORE=1"
    assert call == f"sbatch {told} --array=3 slurm/sweep.sbatch a=1,2 [SLURM_CONF ]"


def test_what_sbatch_was_given_is_given_again(job: Callable, tmp_path: Path) -> None:
    (tmp_path / "bin" / "squeue").write_text(SQUEUE)
    (tmp_path / "bin" / "squeue").chmod(0o755)
    given = {"SLURM_JOB_ACCOUNT": "lab", "SLURM_JOB_QOS": "long", "SLURM_GPUS_PER_NODE": "4", "SLURM_MEM_PER_NODE": "65536"}
    _, calls = job("sweep.sbatch", "a=1,2", end=75, scontrol=False, **given)
    (call,) = [call for call in calls if call.startswith("sbatch")]
    told = "--account=lab --qos=long --gpus-per-node=4 --cpus-per-task=4 --mem=65536M --time=2-00:00:00 --constraint=a100&ib"
    assert call.startswith(f"sbatch --partition=gpu --job-name=persona-exp {told} --export=")
    assert call.endswith(" slurm/sweep.sbatch a=1,2 []")


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_before_python_listens_is_no_failure(job: Callable, number: int) -> None:
    done, calls = job("train.sbatch", end=-number)
    assert done.returncode == 75
    assert "scontrol requeue 7" in calls
    done, calls = job("train.sbatch", end=-number, state="CANCELLED")
    assert done.returncode == 75
    assert len([call for call in calls if "requeue" in call]) == 1


def test_a_job_that_starts_again_goes_on_with_what_it_sealed(job: Callable, tmp_path: Path) -> None:
    code = sealed_code(tmp_path, "import sys\nprint('goes on:', *sys.argv[1:], __file__)")
    note = f"{code}\nsealed_module\n/a folder/seal.json\n"
    done, _ = job("train.sbatch", "seed=1", end=75, BEGIN=note)
    assert "asked: seed=1" in done.stdout
    done, _ = job("train.sbatch", "seed=1", end=75, SLURM_RESTART_COUNT="1")
    assert done.returncode == 0
    assert f"goes on: /a folder/seal.json {code}" in done.stdout
    assert "asked:" not in done.stdout
    # Job numbers come again; and one that was killed before it had sealed anything has no note.
    done, _ = job("train.sbatch", "seed=1", end=0)
    assert "asked: seed=1" in done.stdout
    done, _ = job("train.sbatch", "seed=1", end=0, SLURM_RESTART_COUNT="1")
    assert "asked: seed=1" in done.stdout


def test_a_job_submitted_anew_goes_on_with_what_the_one_before_sealed(job: Callable, tmp_path: Path) -> None:
    code = sealed_code(tmp_path, "import os, sys\nprint('goes on', *(name for name in os.environ if 'BEFORE' in name))\nsys.exit(75)")
    job("train.sbatch", "seed=1", end=75, scontrol=False, BEGIN=f"{code}\nsealed_module\n")
    # The new job has a number of its own, which an earlier job may have had, and counts its starts from 0.
    (tmp_path / "repository" / "runs" / "jobs" / "8").write_text("of\nanother\njob\n")
    for number, before, starts in (("8", "7", "1"), ("9", "8", "2")):
        after = {"SLURM_JOB_ID": number, "PERSONA_EXP_JOB_BEFORE": before, "PERSONA_EXP_RESTARTS_BEFORE": starts}
        done, calls = job("train.sbatch", "seed=1", end=0, scontrol=False, **after)
        # Of these variables it shows none to what may be submitted from within.
        assert (done.returncode, done.stdout.splitlines()[0]) == (75, "goes on")
        assert f"PERSONA_EXP_JOB_BEFORE={number},PERSONA_EXP_RESTARTS_BEFORE={int(starts) + 1} " in calls[-1]
    # And so it does once Slurm has requeued it by itself.
    after = {"SLURM_JOB_ID": "9", "SLURM_RESTART_COUNT": "1", "PERSONA_EXP_JOB_BEFORE": "8", "PERSONA_EXP_RESTARTS_BEFORE": "2"}
    done, calls = job("train.sbatch", "seed=1", end=0, scontrol=False, **after)
    assert done.stdout.splitlines()[0] == "goes on"
    assert "PERSONA_EXP_JOB_BEFORE=9,PERSONA_EXP_RESTARTS_BEFORE=4 " in calls[-1]


def test_a_job_that_starts_again_runs_no_code_but_what_was_sealed(job: Callable, tmp_path: Path) -> None:
    code = sealed_code(tmp_path, "print('goes on')")
    job("train.sbatch", end=75, BEGIN=f"{code}\nsealed_module\n")
    (code / "sitecustomize.py").write_text("print('planted')")
    done, calls = job("train.sbatch", end=0, SLURM_RESTART_COUNT="1")
    assert (done.returncode, done.stdout) == (76, "")
    assert "is not what was sealed" in done.stderr
    assert len([call for call in calls if "requeue" in call]) == 1


@pytest.mark.parametrize("counted", [{"SLURM_RESTART_COUNT": "100"}, {"SLURM_RESTART_COUNT": "1", "PERSONA_EXP_RESTARTS_BEFORE": "99"}])
def test_a_job_that_gets_nowhere_is_not_started_for_ever(job: Callable, counted: dict[str, str]) -> None:
    done, calls = job("train.sbatch", end=75, **counted)
    assert (done.returncode, calls) == (75, [])
    assert "restarted 100 times: is its time limit too short" in done.stderr


def test_without_an_environment_it_says_how_to_make_one(job: Callable, tmp_path: Path) -> None:
    (tmp_path / "repository" / ".venv" / "bin" / "python").unlink()
    done, _ = job("train.sbatch", end=0)
    assert done.returncode == 2
    assert "run 'make setup'" in done.stderr


def test_only_the_partition_is_left_to_edit() -> None:
    for name in ("train.sbatch", "sweep.sbatch"):
        text = (ROOT / "slurm" / name).read_text(encoding="utf-8")
        assert "##SBATCH --partition=NAME" in text
        assert "/home" not in text


@pytest.mark.parametrize("module", ["launch.workers.__main__", "launch.sweeps.keeper", "launch.slurm.requeue", "trial.__main__"])
def test_modules_named_by_scripts_of_older_sweeps_stay_where_they_are(module: str) -> None:
    assert find_spec(f"persona_exp.{module}")
