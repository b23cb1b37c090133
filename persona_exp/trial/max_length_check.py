"""What a trial's examples lose to train.max_length, reported before anything is submitted. Imports no torch."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_exp import atomic_files
from persona_exp.dataset.training_example import KINDS
from persona_exp.errors import UserError
from persona_exp.modeling.context_length import context_length
from persona_exp.modeling.tokenised_dataset import TokenisedDataset
from persona_exp.training.label_audit import audit_labels
from persona_exp.trial import token_cache, trial_dataset
from persona_exp.trial.encoded_examples import drawn_examples, drawn_validation_examples

if TYPE_CHECKING:
    from persona_exp.config.schema import Config

# Of a sweep over mixes or lengths so many are printed; of the rest, that there are more.
SENTENCES = 3


@dataclass(frozen=True)
class Losses:
    """Of so many `examples`, how many lose the start of a question alone, the end of a reply, or do not fit at all."""

    examples: int
    shortened: int
    cut: int
    skipped: int

    def sentence(self, what: str, max_length: int) -> str | None:
        """For people; None where nothing is lost."""
        longer = self.shortened + self.cut + self.skipped
        parts = [
            (self.shortened, "loses the start of a question", "lose the start of a question"),
            (self.cut, "loses the end of a reply", "lose the end of a reply"),
            (self.skipped, "is skipped", "are skipped"),
        ]
        lost = ", ".join(f"{count:,} {one if count == 1 else several}" for count, one, several in parts if count)
        is_ = "is" if longer == 1 else "are"
        return f"{longer:,} of {self.examples:,} {what} {is_} longer than train.max_length={max_length}: {lost}." if longer else None


def losses(encoded: TokenisedDataset) -> Losses:
    """Return what is lost of these conversations."""
    rows = encoded.rows
    cut, fits = rows["cut"], rows["length"] > 0
    return Losses(len(rows), int((rows["shortened"] & ~cut).sum()), int(cut.sum()), int((~fits).sum()))


@dataclass(frozen=True)
class TokenLengths:
    """Tokens of some conversations as long as they are, and what they lose; `unfit` for the chat template are in no other figure.

    `shortened` lose the start of a question alone, `cut` the end of a reply, `skipped` do not fit at all.
    """

    examples: int
    min: int | None
    median: int | None
    p95: int | None
    max: int | None
    shortened: int
    cut: int
    skipped: int
    unfit: int


def lengths(encoded: TokenisedDataset) -> TokenLengths:
    """Return how long these conversations are. Each figure is the length of one of them (of two in the middle, the shorter)."""
    unfit = np.isin(encoded.numbers, list(encoded.faults))
    whole, lost = encoded.rows["whole"][~unfit], losses(encoded)
    low, middle, high, longest = (
        [int(np.quantile(whole, part, method="inverted_cdf")) for part in (0, 0.5, 0.95, 1)] if len(whole) else [None] * 4
    )
    refused = int(unfit.sum())
    return TokenLengths(len(encoded), low, middle, high, longest, lost.shortened, lost.cut, lost.skipped - refused, refused)


def lengths_by_kind(config: "Config", data_id: str, model_folder: Path, split: str) -> dict[str, TokenLengths]:
    """Return `lengths` of a split's examples by kind, whatever the mix, and under `all` of all of them; their tokens are made."""
    what = token_cache.tokenisation(config, data_id, model_folder, split)
    if token_cache.find(what) is None:
        token_cache.make_in_child([what])
    every = token_cache.tokens_of(what)
    names: dict[str, list[str]] = {}
    for one in trial_dataset.read_examples(Path(config.runs), data_id, split):
        names.setdefault(one.kind, []).append(one.id)
    found = {kind: lengths(every.named(names[kind])) for kind in KINDS if kind in names}
    return {**found, "all": lengths(every)}


_checked: set[str] = set()
_shown: list[str] = []


def check(config: "Config", data_id: str, model_folder: Path) -> None:
    """Have the tokens of a trial's training made, and say on standard error what train.max_length takes away; once for trials alike.

    UserError where a length is beyond the model's context, none of the trial's examples fits or keeps its end, or one cannot be encoded.
    """
    trains = config.method.name != "none"
    splits = () if not trains else ("train",) if config.train.eval_steps is None else ("train", "validation")
    tokenisations = [token_cache.tokenisation(config, data_id, model_folder, split) for split in splits]
    read = [
        str(model_folder),
        [asdict(one) for one in tokenisations],
        asdict(config.data),
        config.corpus.min_confidence,
        config.train.eval_items,
        asdict(config.evaluation),
    ]
    key = atomic_files.canonical_json(read)
    if key in _checked:
        return
    refuse_beyond_context(config, model_folder)
    if trains:
        _check_tokens(config, data_id, tokenisations)
    _checked.add(key)


def _check_tokens(config: "Config", data_id: str, tokenisations: Sequence[token_cache.Tokenisation]) -> None:
    if missing := [one for one in tokenisations if token_cache.find(one) is None]:
        token_cache.make_in_child(missing)
    every = token_cache.tokens_of(tokenisations[0])
    # Nothing of the kind is the rule, and drawing a mix takes a while.
    if every.faults or (every.rows["whole"] > config.train.max_length).any():
        own = drawn_examples(config, data_id, every)
        audit_labels(own.fitting()[0])
        _report(own, config.train.max_length)
    if len(tokenisations) > 1:
        drawn_validation_examples(config, data_id, token_cache.tokens_of(tokenisations[1]))


def _report(encoded: TokenisedDataset, max_length: int) -> None:
    message = losses(encoded).sentence("training examples", max_length)
    if message is None or message in _shown or len(_shown) > SENTENCES:
        return
    _shown.append(message)
    if len(_shown) > SENTENCES:
        message = "So it is with more of these trials; `persona-exp data build --tokens` shows each."
    print(message, file=sys.stderr, flush=True)


def refuse_beyond_context(config: "Config", model_folder: Path) -> None:
    """Raise UserError where a length that `config` asks for is more than its base model was made for."""
    most = context_length(model_folder)
    if most is None:
        return
    if config.method.name != "none" and config.train.max_length > most:
        raise UserError(f"train.max_length={config.train.max_length} is more than the {most} positions of {config.model.name}: lower it.")
    measured = config.evaluation
    if measured.max_length > most:
        raise UserError(f"evaluation.max_length={measured.max_length} is more than the {most} positions of {config.model.name}: lower it.")
    if measured.generated_items and measured.max_length + measured.max_new_tokens > most:
        raise UserError(
            f"evaluation.max_length={measured.max_length} and max_new_tokens={measured.max_new_tokens} together are more than the {most} "
            f"positions of {config.model.name}: lower one of them."
        )
