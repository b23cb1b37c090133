"""Evaluation: a model, held-out replies and conditions in; metrics.json, items.jsonl and generations.jsonl of each out."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.evaluation.choice import choose
from persona_exp.evaluation.generation import generate
from persona_exp.evaluation.likelihood import ReplyScore, score
from persona_exp.evaluation.metrics import summarise
from persona_exp.evaluation.overlap import bleu
from persona_exp.evaluation.period import LEXICON
from persona_exp.evaluation.subject import Settings, Subject
from persona_exp.evaluation.voices import Voices
from persona_exp.evaluation.words import words
from persona_exp.files import digest, write_json, write_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from persona_exp.modeling.chat import Encoded

# Raised by hand whenever a number of an evaluation can change: metrics, choice of items, decoding, lexicon.
EVALUATION_VERSION = 1

# What stands before the model, beside the passage: whether the persona's system prompt is there.
CONDITIONS: Mapping[str, bool] = {"adapter": True, "base": False, "base+system": True}


def evaluation_id(
    *,
    trial_id: str,
    data_id: str,
    split: str,
    condition: str,
    likelihood_items: int,
    generated_items: int,
    max_new_tokens: int,
    max_length: int,
) -> str:
    """12 hex digits naming an evaluation before it is made: all that its numbers depend on, EVALUATION_VERSION with them."""
    return digest(
        {
            "trial_id": trial_id,
            "data_id": data_id,
            "split": split,
            "condition": condition,
            "likelihood_items": likelihood_items,
            "generated_items": generated_items,
            "max_new_tokens": max_new_tokens,
            "max_length": max_length,
            "EVALUATION_VERSION": EVALUATION_VERSION,
        }
    )[:12]


@dataclass(frozen=True)
class Prepared:
    """A subject's items: conversations in tokens with the text that is scored of each, and prompts with the authentic replies."""

    scored: Sequence[Mapping[str, Any]]
    encoded: Sequence["Encoded"]
    texts: Sequence[str]
    spoken: Sequence[Mapping[str, Any]]
    prompts: Sequence[list[dict[str, str]]]
    references: Sequence[str]


def evaluate(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    subjects: Sequence[Subject],
    settings: Settings,
    speaking: Callable[[Sequence[int]], AbstractContextManager[Any]] | None = None,
) -> list[dict[str, dict[str, Any]]]:
    """Measure each of `subjects` and write its three files into its staging folder; the metrics of each.

    A reply is scored in full where it fits into `max_length` tokens; of one that was cut, the tokens that are left are scored against
    the bytes that they spell, and `cut_replies` counts it. `speaking` has `model` compute the rows of a batch with the adapters of these
    lanes. UserError when there is nothing to evaluate, ImpossibleMetric when a number cannot be; nothing of that subject is written then.
    """
    from persona_exp.modeling.chat import end_of_turn_id

    prepared = [prepare(tokenizer, subject, settings) for subject in subjects]
    what = subjects[0].condition if len(subjects) == 1 else f"{len(subjects)} together"
    scores = score(
        model,
        [one for items in prepared for one in items.encoded],
        [one for items in prepared for one in items.texts],
        end_id=end_of_turn_id(tokenizer, settings.end_of_turn),
        batch_size=settings.batch_size,
        what=f"likelihood ({what})",
        voices=_voices(speaking, subjects, [len(items.encoded) for items in prepared]),
    )
    replies = generate(
        model,
        tokenizer,
        [one for items in prepared for one in items.prompts],
        max_length=settings.max_length,
        system_role=settings.system_role,
        end_of_turn=settings.end_of_turn,
        max_new_tokens=settings.max_new_tokens,
        # A step of generation reads all weights, for however many rows.
        batch_size=settings.batch_size * len(subjects),
        what=f"generation ({what})",
        voices=_voices(speaking, subjects, [len(items.prompts) for items in prepared]),
    )
    found = []
    for subject, items in zip(subjects, prepared, strict=True):
        own_scores, scores = scores[: len(items.encoded)], scores[len(items.encoded) :]
        own_replies, replies = replies[: len(items.prompts)], replies[len(items.prompts) :]
        found.append(write(subject, settings, items, own_scores, own_replies))
    return found


def prepare(tokenizer: "PreTrainedTokenizerBase", subject: Subject, settings: Settings) -> Prepared:
    """Choose a subject's items and render them. UserError where there are none."""
    from persona_exp.modeling.chat import encode, end_of_turn_id

    condition, length = subject.condition, settings.max_length
    if condition not in CONDITIONS:
        raise ValueError(f"Unknown condition {condition!r}.")
    if not subject.examples:
        raise UserError(f"The {settings.split} split holds no example: give corpus.{settings.split} a book in which the persona speaks.")
    scored, spoken = choose(subject.examples, settings.likelihood_items), choose(subject.examples, settings.generated_items)
    conversations = [conversation(example["messages"], condition) for example in scored]
    encoded = [encode(tokenizer, messages, length, settings.system_role, settings.end_of_turn) for messages in conversations]
    end_id = end_of_turn_id(tokenizer, settings.end_of_turn)
    return Prepared(
        scored=scored,
        encoded=encoded,
        texts=[scored_text(tokenizer, one, messages, end_id) for one, messages in zip(encoded, conversations, strict=True)],
        spoken=spoken,
        prompts=[conversation(example["messages"], condition)[:-1] for example in spoken],
        references=[str(example["messages"][-1]["content"]) for example in spoken],
    )


def write(
    subject: Subject, settings: Settings, items: Prepared, scores: Sequence[ReplyScore], generated: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """items.jsonl, generations.jsonl and metrics.json of a subject; the metrics."""
    metrics = {name: asdict(metric) for name, metric in summarise(scores, generated, items.references).items()}
    _write_lines(
        subject.destination / "items.jsonl",
        (
            {"example": example["id"], "book": example["book"], "chapter": example["chapter"], **asdict(reply)}
            for example, reply in zip(items.scored, scores, strict=True)
        ),
    )
    _write_lines(
        subject.destination / "generations.jsonl",
        (
            {"example": example["id"], "book": example["book"], "prompt": prompt, "reference": reference, "generated": reply}
            for example, prompt, reference, reply in zip(items.spoken, items.prompts, items.references, generated, strict=True)
        ),
    )
    # Last: where metrics.json is, the evaluation is whole.
    write_json(
        subject.destination / "metrics.json",
        {
            "eval_id": subject.eval_id,
            "trial_id": subject.trial_id,
            "condition": subject.condition,
            "split": settings.split,
            "settings": _described(settings, subject.condition, bleu(generated, items.references)[1] if generated else None),
            "counts": {
                "available_items": len(subject.examples),
                "scored_items": len(items.scored),
                "spoken_items": len(items.spoken),
                "shortened_prompts": sum(one.shortened for one in items.encoded),
                "cut_replies": sum(one.cut for one in items.encoded),
                "wordless_replies": sum(not words(reply) for reply in generated),
            },
            "metrics": metrics,
        },
    )
    return metrics


def _described(settings: Settings, condition: str, bleu_signature: str | None) -> dict[str, Any]:
    return {
        "likelihood_items": settings.likelihood_items,
        "generated_items": settings.generated_items,
        "max_new_tokens": settings.max_new_tokens,
        "max_length": settings.max_length,
        "batch_size": settings.batch_size,
        "decoding": "greedy",
        "system_prompt": CONDITIONS[condition],
        "rouge": "rouge-score, Porter stemming, F1",
        "bleu": bleu_signature,
        "period_lexicon": LEXICON,
        "EVALUATION_VERSION": EVALUATION_VERSION,
    }


def _voices(
    speaking: Callable[[Sequence[int]], AbstractContextManager[Any]] | None, subjects: Sequence[Subject], counts: Sequence[int]
) -> Voices | None:
    if speaking is None:
        return None
    return Voices([subject.lane for subject, count in zip(subjects, counts, strict=True) for _ in range(count)], speaking)


def conversation(messages: Sequence[Mapping[str, str]], condition: str) -> list[dict[str, str]]:
    """`messages` as the model sees them under `condition`."""
    return [dict(message) for message in messages if CONDITIONS[condition] or message["role"] != "system"]


def scored_text(tokenizer: "PreTrainedTokenizerBase", encoded: "Encoded", messages: Sequence[Mapping[str, str]], end_id: int) -> str:
    """The text whose tokens are scored: the assistant's words, or what the tokens of a cut conversation spell of them.

    The last character of a cut reply may be incomplete; it is left out, which makes bits per byte larger, never smaller.
    """
    if not encoded.cut:
        return "".join(message["content"] for message in messages if message["role"] == "assistant")
    ids = [label for label in encoded.labels if label not in (-100, end_id)]
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)).rstrip("\N{REPLACEMENT CHARACTER}")


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))
