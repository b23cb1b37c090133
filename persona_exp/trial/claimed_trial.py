"""A sealed trial that this process has claimed: what every stage of it reads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_exp.trial.attempt_claim_and_heartbeat import Attempt
from persona_exp.trial.trial_directory import TrialDirectory

if TYPE_CHECKING:
    from persona_exp.config.schema import Config


@dataclass(frozen=True)
class ClaimedTrial:
    """The sealed `config`, the id of its dataset, and the `attempt` that runs it, in whose folder a stage stages what it publishes."""

    config: "Config"
    directory: TrialDirectory
    data_id: str
    attempt: Attempt

    @property
    def trains(self) -> bool:
        """Whether there is an adapter still to be trained."""
        return self.config.method.name != "none" and not self.directory.adapter.is_dir()
