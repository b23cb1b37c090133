"""Config group `engine`: what runs the training steps."""

from dataclasses import dataclass

from persona_exp.config.range_checks import one_of


@dataclass
class Engine:
    """What runs the training steps: `fused` trains LoRA trials of one base model together; `sft` is TRL's SFTTrainer, one trial at a time,
    and what `fused` becomes for trials that cannot share a base model; `noop` does nothing, to rehearse a cluster."""

    name: str = "fused"

    def __post_init__(self) -> None:
        one_of("engine.name", self.name, ("fused", "sft", "noop"))
