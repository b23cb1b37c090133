"""Items that fit into evaluation.max_length. One that does not is left out under every condition: rows that are compared share theirs."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.evaluation.evaluation_target import EvaluationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Items = Sequence[Mapping[str, Any]]


def scorable(tokenizer: "PreTrainedTokenizerBase", items: Items, settings: EvaluationSettings) -> list[Mapping[str, Any]]:
    """Return those of `items` with a token of the reply to score, with the system prompt and without. Raise UserError if none is left."""
    from persona_exp.modeling.supervised_token_mask import encode

    return _fitting(
        items, settings, lambda turns: encode(tokenizer, turns, settings.max_length, settings.system_role, settings.end_of_turn)
    )


def answerable(tokenizer: "PreTrainedTokenizerBase", items: Items, settings: EvaluationSettings) -> list[Mapping[str, Any]]:
    """Return those of `items` whose prompts fit, their user turns shortened where they must be, with the system prompt and without.
    Raise UserError if none is left."""
    from persona_exp.modeling.supervised_token_mask import encode_prompt

    return _fitting(items, settings, lambda turns: encode_prompt(tokenizer, turns[:-1], settings.max_length, settings.system_role))


def count_shortened(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[Sequence[Mapping[str, str]]], settings: EvaluationSettings
) -> int:
    """Return how many of `prompts`, which end with a user turn, are shortened to `settings.max_length`."""
    from persona_exp.modeling.supervised_token_mask import encode_prompt

    return sum(len(encode_prompt(tokenizer, prompt, sys.maxsize, settings.system_role)) > settings.max_length for prompt in prompts)


def _fitting(
    items: Items, settings: EvaluationSettings, encode: Callable[[Sequence[Mapping[str, str]]], object]
) -> list[Mapping[str, Any]]:
    from persona_exp.modeling.supervised_token_mask import DoesNotFit

    def fits(turns: Sequence[Mapping[str, str]]) -> bool:
        try:
            encode(turns)
        except DoesNotFit:
            return False
        return True

    def bare(turns: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
        return [turn for turn in turns if turn["role"] != "system"]

    fitting = [one for one in items if fits(one["messages"]) and fits(bare(one["messages"]))]
    if items and not fitting:
        raise UserError(
            f"None of the {counted(len(items), 'item')} of the {settings.split} split fits into evaluation.max_length="
            f"{settings.max_length}: raise it or shorten persona.system_prompt."
        )
    return fitting
