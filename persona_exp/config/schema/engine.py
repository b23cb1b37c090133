"""Config group `engine`: what runs the training steps."""

from dataclasses import dataclass

from persona_exp.config.range_checks import one_of


@dataclass
class Engine:
    """What runs the training steps."""

    name: str = "fused"
    """`fused` trains LoRA trials of one base model together, `sft` is TRL's SFTTrainer, `noop` trains nothing."""

    def __post_init__(self) -> None:
        one_of("engine.name", self.name, ("fused", "sft", "noop"))
