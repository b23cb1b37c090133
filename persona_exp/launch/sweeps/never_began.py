"""A submission of whose jobs none came as far as Python: a module, an environment, the interpreter or the log folder was missing.

Such a job records nothing by itself. Its script says so as it ends, in `never-began` in the submission's folder; `began` beside it is the
first worker's. Where the script could not even start, for want of its log, Slurm tells.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.slurm.slurm_command import ask, cluster_of
from persona_exp.launch.sweeps.submission_record import Submission, in_making, recorded_jobs

BEGAN, NEVER_BEGAN = "began", "never-began"
# Of a log, so much is quoted.
LAST_LINES, LONGEST = 3, 400
# What a job ends as that ended by itself. Cancelled, or with its node, it is only lost.
_ENDED_BY_ITSELF = ("FAILED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE")
_FIELD = re.compile(r"(?:^|\s)([A-Za-z]+)=(\S*)")


@dataclass(frozen=True)
class DeadJob:
    """A job that ended before its trial began, or even its Python; `exit_code` and `log` are None where there is none to be had."""

    job: str
    exit_code: str | None
    log: Path | None
    last_words: str
    logs: Path
    before: str = "Python"

    @property
    def sentence(self) -> str:
        """Return what happened, where its log is and how that ends."""
        code = f"with exit code {self.exit_code}" if self.exit_code else "(its exit code is not known)"
        what = f"job {self.job} ended {code} before its {self.before} began"
        if self.log is None:
            return f"{what} and left no log: is {self.logs} there, and to be written to, on the compute nodes?"
        words = f"ends with “{self.last_words}”" if self.last_words else "is empty"
        return f"{what}; its log {self.log} {words}: mend cluster.setup or hydra.launcher.setup, or the environment that they load"


def guard(submission: Submission, *, alone: bool) -> list[str]:
    """Return the lines before a worker job's setup: at its end it notes that its Python never began.

    One that is `alone` (the canary, or the only one) then takes the rest of the submission out of the queue. A job that is stopped by a
    signal meanwhile (143) was only interrupted.
    """
    folder = shlex.quote(str(submission.folder))
    then = 'echo "${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID} $code" >"$persona_exp_job/never-began"'
    if alone:
        others = f"{shlex.quote(submission.job_name)} {shlex.quote(submission.keeper_name)}"
        folder += f"\npersona_exp_others=({others})"
        scancel = 'scancel --state=PENDING --user="$(id -un)" --name="$name"'
        then += f' && for name in "${{persona_exp_others[@]}}"; do {scancel}; done'
    note = f'[ "$code" = 143 ] || [ -e "$persona_exp_job/{BEGAN}" ] || {{ {then}; }}'
    # The canary may have ended before these were submitted.
    behind = submission.canary and not alone
    called_off = [f'[ -e "$persona_exp_job/{BEGAN}" ] || [ ! -e "$persona_exp_job/{NEVER_BEGAN}" ] || exit 1'] if behind else []
    return [f"persona_exp_job={folder}", *called_off, "trap 'exit 143' TERM USR2", f"trap 'code=$?; {note}; exit $code' EXIT"]


def call_off_late(submission: Submission, jobs: Mapping[str, Any]) -> None:
    """Take out of the queue what was submitted after the canary had ended, before its Python began."""
    from persona_exp.launch.slurm.submit_and_cancel import cancel

    if not submission.canary or (submission.folder / BEGAN).exists() or not (submission.folder / NEVER_BEGAN).exists():
        return
    try:
        after = [*(array["id"] for array in jobs["arrays"]), *filter(None, [jobs["keeper"]])]
        cancel(after, pending_only=True, cluster=cluster_of(submission.job_name))
    except UserError as error:
        # They will start, see that, and leave.
        print(f"{error}", flush=True)


def note_began(submission: Submission) -> None:
    """Note that a worker of the submission runs. Raise OSError."""
    (submission.folder / BEGAN).touch()


def dead_job(submission: Submission) -> DeadJob | None:
    """Return the job that ended of a submission none of whose jobs came as far as Python; None while one may, or where that is not known.

    A canary speaks for the jobs behind it.
    """
    from persona_exp.launch.slurm.slurm_queue import queued

    if submission.launcher != "slurm" or in_making(submission) or (submission.folder / BEGAN).exists():
        return None
    noted = recorded_jobs(submission)
    first = noted["canary"] or next((array["id"] for array in noted["arrays"]), None)
    left = queued([submission.job_name]) if first else None
    if left is None or any(job.id == first or not noted["canary"] for job in left):
        return None
    if (submission.folder / BEGAN).exists():
        return None
    noted_end = (submission.folder / NEVER_BEGAN).exists()
    if not noted_end and (_logs(submission, str(first)) or not _end_that_slurm_shows(str(first), submission.job_name)):
        return None
    return last_job(submission, str(first))


def last_job(submission: Submission, job: str) -> DeadJob:
    """Return what there is to say of a job that ended before it began: the one that noted so, else `job`."""
    noted = _noted_end(submission)
    job, code = noted or (job, _end_that_slurm_shows(job, submission.job_name))
    log = next(iter(_logs(submission, job)), None)
    before = "Python" if noted or not (submission.folder / BEGAN).exists() else "trial"
    return DeadJob(job, code, log, _last_words(log) if log else "", submission.logs, before)


def hold_if_never_began(sweep_folder: Path, made: Sequence[Submission]) -> DeadJob | None:
    """Hold the sweep where no job of its last submission came as far as Python, and return that job.

    What a keeper submitted has a second go, since a node may have been at fault.
    """
    dead = dead_job(made[-1]) if made else None
    if dead is None or (made[-1].by["who"] == "keeper" and not any(map(dead_job, made[-2:-1]))):
        return None
    hold(sweep_folder, dead, made[-1].trial_ids)
    return dead


def hold(sweep_folder: Path, dead: DeadJob, trial_ids: Sequence[str]) -> bool:
    """Hold the sweep for a dead job; return False when it is held already."""
    return sweep_hold.create(sweep_folder, cause=sweep_hold.NEVER_BEGAN, message=dead.sentence, trials=list(dict.fromkeys(trial_ids)))


def _noted_end(submission: Submission) -> tuple[str, str] | None:
    try:
        words = (submission.folder / NEVER_BEGAN).read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return None
    return (words[0], words[1]) if len(words) == 2 else None


def _end_that_slurm_shows(id: str, name: str) -> str | None:
    """Return the exit code of a job where Slurm remembers that it ended by itself; an id that is another job's by now is passed over."""
    from persona_exp.launch.slurm.slurm_accounting import history

    cluster = cluster_of(name)
    answer = ask(["scontrol", "show", "job", id, "--oneliner"], cluster=cluster)
    for line in answer.out.splitlines() if answer and not answer.code else []:
        shown = dict(_FIELD.findall(line))
        if shown.get("JobName") == name and shown.get("JobState") in _ENDED_BY_ITSELF:
            return shown.get("ExitCode")
    for ended in history([id], cluster=cluster) or []:
        if ended.name == name and ended.state in _ENDED_BY_ITSELF:
            return f"{ended.exit_code}:{ended.signal}"
    return None


def _logs(submission: Submission, job: str) -> list[Path]:
    """Return the logs of a job, those with words in them first."""
    found = [path for path in submission.logs.glob(f"{job}_*") if path.is_file()]
    return sorted(found, key=lambda path: (path.stat().st_size == 0, path.name))


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-LAST_LINES:])[-LONGEST:]
