"""Config group `tracker`: where curves are sent."""

from dataclasses import dataclass

from persona_exp.config.range_checks import one_of


@dataclass
class Tracker:
    """Where curves are sent besides the trial's own train.jsonl."""

    name: str = "none"
    """The tracker."""
    project: str = "persona-exp"
    """The project of Weights & Biases that gets the runs."""

    def __post_init__(self) -> None:
        one_of("tracker.name", self.name, ("none", "tensorboard", "wandb"))
