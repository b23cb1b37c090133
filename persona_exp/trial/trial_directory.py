"""Where a trial's things are, below `runs/trials/<trial_id>/`."""

from dataclasses import dataclass
from pathlib import Path

CONFIG, PROVENANCE, SEALS = "config.yaml", "provenance.json", "seals"


@dataclass(frozen=True)
class TrialDirectory:
    """The folder of one trial."""

    path: Path

    @property
    def trial_id(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        return self.path / CONFIG

    @property
    def provenance(self) -> Path:
        return self.path / PROVENANCE

    @property
    def seals(self) -> Path:
        """What jobs verify, one file for each way in which the trial was asked for."""
        return self.path / SEALS

    @property
    def cancelled(self) -> Path:
        """There while a person has the trial cancelled."""
        return self.path / "cancel.json"

    @property
    def stop(self) -> Path:
        """There once a person wants the running trial to end at its next step."""
        return self.path / "stop.json"

    @property
    def runs(self) -> Path:
        """The folder of all runs, absolute."""
        return self.path.absolute().parents[1]

    @property
    def attempts(self) -> Path:
        return self.path / "attempts"

    @property
    def adapter(self) -> Path:
        """The trained adapter; for `method=full` the whole model."""
        return self.path / "adapter"

    @property
    def noop(self) -> Path:
        """What a trial of engine=noop publishes."""
        return self.adapter / "noop.json"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations"


def trial_directory(runs: Path, trial_id: str) -> TrialDirectory:
    """Return the folder of `trial_id` below `runs`, whether it is there or not."""
    return TrialDirectory(runs / "trials" / trial_id)
