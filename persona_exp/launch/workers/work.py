"""What a worker may run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from persona_exp.errors import UserError
from persona_exp.launch.judgement.observer import LEASE_SECONDS
from persona_exp.launch.sweeps.submission import Submission
from persona_exp.trial.directory import Directory


@dataclass(frozen=True)
class Work:
    """Seals by task, as paths relative to runs/trials; of a submission, or of none.

    `environment_scratch` is the node-local folder to which the Python environment is copied, None where it is used in its place.
    """

    runs: Path
    tasks: tuple[tuple[str, ...], ...]
    submission: Submission | None = None
    lease_seconds: float = LEASE_SECONDS
    environment_scratch: str | None = None

    @property
    def sweep_folder(self) -> Path | None:
        return self.submission.sweep_folder if self.submission else None

    @property
    def seals(self) -> list[str]:
        return list(dict.fromkeys(seal for task in self.tasks for seal in task))

    def together(self, seals: Sequence[str]) -> int | None:
        """How many of `seals` may train at once, as the plan says of the tasks that they are from; None where it says nothing."""
        planned = self.submission.options.get("launch", {}).get("together") if self.submission else None
        asked = set(seals)
        return min((most for most, task in zip(planned, self.tasks, strict=True) if asked & set(task)), default=None) if planned else None

    @property
    def trial_ids(self) -> list[str]:
        return list(dict.fromkeys(seal.split("/")[0] for seal in self.seals))

    def path(self, seal: str) -> Path:
        """Where a seal lies."""
        return self.runs / "trials" / seal

    def directory(self, seal: str) -> Directory:
        """The folder of a seal's trial."""
        return Directory(self.runs / "trials" / seal.split("/")[0])

    def code(self, seal: str) -> Path:
        """The folder of the code that a trial was sealed with."""
        return self.runs / "code" / _code_folder(self.path(seal))


def of_submission(submission: Submission) -> Work:
    """The tasks of a submission."""
    launch = submission.options.get("launch", {})
    lease = float(launch.get("lease_seconds", LEASE_SECONDS))
    return Work(submission.runs, submission.tasks, submission, lease, launch.get("environment_scratch"))


def of_seals(paths: Sequence[Path], lease_seconds: float = LEASE_SECONDS, environment_scratch: str | None = None) -> Work:
    """Trials that belong to no sweep: their seals lie at runs/trials/<trial_id>/seals/<name>, all under the same runs."""
    trials = paths[0].absolute().parents[2]
    tasks = tuple((path.absolute().relative_to(trials).as_posix(),) for path in paths)
    return Work(trials.parent, tasks, None, lease_seconds, environment_scratch)


def seal_name(seal: str) -> str:
    """`<trial_id>/seals/<8 hex>.json`: the file's name."""
    return seal.rsplit("/", 1)[1]


@cache
def _code_folder(seal: Path) -> str:
    try:
        return str(json.loads(seal.read_text(encoding="utf-8"))["code_folder"])
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"The seal {seal} cannot be read ({error}): give the command again to seal its trial anew.") from error
