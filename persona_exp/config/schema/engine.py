"""Config group `engine`: what runs the training steps."""

from dataclasses import dataclass

from persona_exp.config.checks import one_of


@dataclass
class Engine:
    """What runs the training steps: `sft` is TRL's SFTTrainer, one trial at a time; `fused` trains LoRA trials of one base model together;
    `noop` does nothing, to rehearse a cluster."""

    name: str = "sft"

    def __post_init__(self) -> None:
        one_of("engine.name", self.name, ("sft", "fused", "noop"))
