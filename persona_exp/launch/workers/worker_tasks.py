"""The tasks of a worker: the seals that it may run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from persona_exp.launch.recovery.heartbeat_lease import LEASE_SECONDS
from persona_exp.launch.sweeps.submission_record import Submission
from persona_exp.launch.sweeps.trial_set import asked_trials, trials_added
from persona_exp.search.ask_files import ask_numbers
from persona_exp.search.study_settings import is_search, read_settings, to_ask
from persona_exp.trial.seal_facts import read_seal_facts
from persona_exp.trial.trial_directory import TrialDirectory


@dataclass(frozen=True)
class WorkerTasks:
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
    def search(self) -> Path | None:
        """The sweep's folder where it is that of a search, whose trials are asked for as it goes on."""
        folder = self.sweep_folder
        return folder if folder and is_search(folder) else None

    def asked(self) -> list[str]:
        """Return the seals of the trials that a search has asked for so far, and of those that a person has added."""
        folder = self.sweep_folder
        return [one.seal for one in (*asked_trials(folder), *trials_added(folder))] if folder else []

    def to_ask(self) -> int:
        """Return how many asks a search has left; of a grid, 0."""
        return to_ask(read_settings(self.search), ask_numbers(self.search)) if self.search else 0

    @property
    def search_code(self) -> Path | None:
        """The code that a search's workers run."""
        return self.runs / "code" / read_settings(self.search).code_folder if self.search else None

    @property
    def seals(self) -> list[str]:
        return list(dict.fromkeys(seal for task in self.tasks for seal in task))

    def most_together(self, seals: Sequence[str]) -> int | None:
        """Return how many of `seals` may train at once by the plan of the tasks that they are from; None without one."""
        planned = self.submission.options.get("launch", {}).get("together") if self.submission else None
        asked = set(seals)
        return min((most for most, task in zip(planned, self.tasks, strict=True) if asked & set(task)), default=None) if planned else None

    @property
    def trial_ids(self) -> list[str]:
        return list(dict.fromkeys(seal.split("/")[0] for seal in self.seals))

    def path(self, seal: str) -> Path:
        """Return the path of a seal."""
        return self.runs / "trials" / seal

    def directory(self, seal: str) -> TrialDirectory:
        """Return the folder of a seal's trial."""
        return TrialDirectory(self.runs / "trials" / seal.split("/")[0])

    def code(self, seal: str) -> Path:
        """Return the folder of the code that a trial was sealed with."""
        return self.runs / "code" / _code_folder(self.path(seal))


def tasks_of_submission(submission: Submission) -> WorkerTasks:
    """Return the tasks of a submission."""
    launch = submission.options.get("launch", {})
    return WorkerTasks(submission.runs, submission.tasks, submission, submission.lease_seconds, launch.get("environment_scratch"))


def tasks_of_seals(paths: Sequence[Path], lease_seconds: float = LEASE_SECONDS, environment_scratch: str | None = None) -> WorkerTasks:
    """Return the tasks of trials of no sweep: their seals lie at runs/trials/<trial_id>/seals/<name>, all under the same runs."""
    trials = paths[0].absolute().parents[2]
    tasks = tuple((path.absolute().relative_to(trials).as_posix(),) for path in paths)
    return WorkerTasks(trials.parent, tasks, None, lease_seconds, environment_scratch)


def seal_name(seal: str) -> str:
    """Return the file's name of `<trial_id>/seals/<8 hex>.json`."""
    return seal.rsplit("/", 1)[1]


@cache
def _code_folder(seal: Path) -> str:
    return str(read_seal_facts(seal)["code_folder"])
