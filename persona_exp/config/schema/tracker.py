"""Config group `tracker`: where curves are sent."""

from dataclasses import dataclass

from persona_exp.config.range_checks import one_of


@dataclass
class Tracker:
    """Where curves are sent besides the trial's own train.jsonl: `none`, `tensorboard` or `wandb`."""

    name: str = "none"
    project: str = "persona-exp"

    def __post_init__(self) -> None:
        one_of("tracker.name", self.name, ("none", "tensorboard", "wandb"))
