"""The items of an evaluation: which replies are scored and which prompts are answered, rendered under its condition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.evaluation.evaluation_target import CONDITIONS, EvaluationSettings, EvaluationTarget
from persona_exp.evaluation.item_length_filter import answerable, count_shortened, scorable
from persona_exp.evaluation.item_sampling import sample_items

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.modeling.supervised_token_mask import Encoded


@dataclass(frozen=True)
class PreparedItems:
    """A target's items: conversations in tokens with the text that is scored of each, and prompts with the authentic replies.

    `skipped`: how many more were to be scored, and to be answered, and do not fit. `shortened`: how many prompts are shortened to fit.
    """

    scored: Sequence[Mapping[str, Any]]
    encoded: Sequence["Encoded"]
    texts: Sequence[str]
    answered: Sequence[Mapping[str, Any]]
    prompts: Sequence[list[dict[str, str]]]
    references: Sequence[str]
    skipped: tuple[int, int]
    shortened: int


def prepare_items(tokenizer: "PreTrainedTokenizerBase", target: EvaluationTarget, settings: EvaluationSettings) -> PreparedItems:
    """Choose a target's items and render them. Raise UserError if there are none."""
    from persona_exp.modeling.chat_template import end_of_turn_id
    from persona_exp.modeling.supervised_token_mask import encode

    condition, length = target.condition, settings.max_length
    if condition not in CONDITIONS:
        raise ValueError(f"Unknown condition {condition!r}.")
    if not target.examples:
        raise UserError(f"The {settings.split} split holds no example: give corpus.{settings.split} a book in which the persona speaks.")
    scored, answered = sample_items(target.examples, settings.likelihood_items), sample_items(target.examples, settings.generated_items)
    chosen = len(scored), len(answered)
    scored, answered = scorable(tokenizer, scored, settings), answerable(tokenizer, answered, settings)
    conversations = [conversation(example["messages"], condition) for example in scored]
    encoded = [encode(tokenizer, messages, length, settings.system_role, settings.end_of_turn) for messages in conversations]
    end_id = end_of_turn_id(tokenizer, settings.end_of_turn)
    prompts = [conversation(example["messages"], condition)[:-1] for example in answered]
    return PreparedItems(
        scored=scored,
        encoded=encoded,
        texts=[scored_text(tokenizer, one, messages, end_id) for one, messages in zip(encoded, conversations, strict=True)],
        answered=answered,
        prompts=prompts,
        references=[str(example["messages"][-1]["content"]) for example in answered],
        skipped=(chosen[0] - len(scored), chosen[1] - len(answered)),
        shortened=count_shortened(tokenizer, prompts, settings),
    )


def conversation(messages: Sequence[Mapping[str, str]], condition: str) -> list[dict[str, str]]:
    """Return `messages` as the model sees them under `condition`."""
    return [dict(message) for message in messages if CONDITIONS[condition] or message["role"] != "system"]


def scored_text(tokenizer: "PreTrainedTokenizerBase", encoded: "Encoded", messages: Sequence[Mapping[str, str]], end_id: int) -> str:
    """Return the text whose tokens are scored: the assistant's words, or what the tokens of a cut conversation spell of them.

    The last character of a cut reply may be incomplete; it is left out, which makes bits per byte larger, never smaller.
    """
    if not encoded.cut:
        return "".join(message["content"] for message in messages if message["role"] == "assistant")
    ids = [label for label in encoded.labels if label not in (-100, end_id)]
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).rstrip("\N{REPLACEMENT CHARACTER}")
