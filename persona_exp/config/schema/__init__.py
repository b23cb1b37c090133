"""The schema of conf/: one dataclass, in one file, a config group.

Each field is followed by its sentence in docs/reference/settings.md. Hydra refuses a wrong key or type against these; `__post_init__`
refuses a value out of range. A field marked `outside()` cannot change a trial's result as far as mathematics goes, and stays out of its
identity.
"""

from dataclasses import dataclass, field, replace

from persona_exp.config.range_checks import between
from persona_exp.config.schema.bundle import Bundle
from persona_exp.config.schema.cluster import Cluster
from persona_exp.config.schema.corpus import Corpus
from persona_exp.config.schema.data import MIX_KINDS, Data
from persona_exp.config.schema.engine import Engine
from persona_exp.config.schema.evaluation import Evaluation
from persona_exp.config.schema.lora import Lora
from persona_exp.config.schema.method import Method
from persona_exp.config.schema.model import Model
from persona_exp.config.schema.optim import Optim
from persona_exp.config.schema.persona import Persona
from persona_exp.config.schema.teacher import Teacher
from persona_exp.config.schema.tracker import Tracker
from persona_exp.config.schema.train import Train
from persona_exp.errors import UserError

__all__ = ["MIX_KINDS", "Cluster", "Config"]


@dataclass
class Config:
    """One trial. Everything is known before anything runs."""

    persona: Persona = field(default_factory=Persona)
    """Who speaks, and is measured."""
    others: dict[str, Persona] = field(default_factory=dict)
    """Personas that train beside it, by any key."""
    corpus: Corpus = field(default_factory=Corpus)
    """Which books are read."""
    data: Data = field(default_factory=Data)
    """How books become examples."""
    teacher: Teacher = field(default_factory=Teacher)
    """What writes the examples that the books do not hold."""
    model: Model = field(default_factory=Model)
    """The base model."""
    method: Method = field(default_factory=Method)
    """How the model learns."""
    lora: Lora = field(default_factory=Lora)
    """The adapter."""
    optim: Optim = field(default_factory=Optim)
    """The optimiser and its schedule."""
    train: Train = field(default_factory=Train)
    """How long to train, how often to save."""
    engine: Engine = field(default_factory=Engine)
    """What runs the training steps."""
    bundle: Bundle = field(default_factory=Bundle)
    """Which trials are trained together."""
    evaluation: Evaluation = field(default_factory=Evaluation)
    """What is measured."""
    tracker: Tracker = field(default_factory=Tracker)
    """Where curves are sent."""
    cluster: Cluster = field(default_factory=Cluster)
    """What a machine or a Slurm site offers."""
    seed: int = 0
    """The seed of a trial's order of examples, first weights and dropout."""
    runs: str = "runs"
    """The folder of all results."""

    def __post_init__(self) -> None:
        between("seed", self.seed, 0, 2**32 - 1)
        own = self.own_base_reason
        if self.engine.name == "fused" and own:
            # Replaced, not changed: a sweep's trials share their groups.
            self.engine = replace(self.engine, name="sft")
        if self.engine.name == "sft" and self.method.name in ("lora", "qlora") and self.optim.loraplus_lr_ratio != 1:
            why = own or "engine=sft has one rate for all weights"
            raise UserError(f"optim.loraplus_lr_ratio={self.optim.loraplus_lr_ratio:g} needs engine=fused: {why}.")
        if self.engine.name == "sft" and self.method.name != "none" and self.train.eval_steps is not None:
            why = own or "engine=sft computes no validation loss"
            raise UserError(f"train.eval_steps={self.train.eval_steps} needs engine=fused: {why}.")
        if self.engine.name == "sft" and self.method.name != "none" and self.train.stop_at_step is not None:
            why = own or "engine=sft ends at its last step alone"
            raise UserError(f"train.stop_at_step={self.train.stop_at_step} needs engine=fused: {why}.")
        if self.engine.name == "sft" and self.method.name in ("lora", "qlora") and self.lora.init_from is not None:
            raise UserError(f"lora.init_from={self.lora.init_from} needs engine=fused: {own or 'engine=sft begins anew'}.")
        if self.engine.name == "fused" and self.method.name != "none" and self.train.router_aux_loss:
            raise UserError("train.router_aux_loss=true needs engine=sft: rows of engine=fused are no batches to balance.")
        warmup, steps = self.optim.warmup_steps, self.train.max_steps
        if self.method.name != "none" and warmup is not None and steps is not None and warmup >= steps:
            raise UserError(f"optim.warmup_steps={warmup} is not below train.max_steps={steps}: lower it, or train longer.")

    @property
    def own_base_reason(self) -> str | None:
        """Why the trial cannot share a base model, whichever engine is asked for; None where it can."""
        if self.method.name == "full":
            return "method=full changes the base model"
        if self.model.attention == "eager":
            return "model.attention=eager is not computed for several trials at once"
        return None
