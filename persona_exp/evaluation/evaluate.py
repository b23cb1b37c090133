"""One evaluation: a model, held-out replies and a condition in; metrics.json, items.jsonl and generations.jsonl out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.errors import UserError
from persona_exp.evaluation.choice import choose
from persona_exp.evaluation.generation import generate
from persona_exp.evaluation.likelihood import score
from persona_exp.evaluation.metrics import summarise
from persona_exp.evaluation.overlap import bleu
from persona_exp.evaluation.period import LEXICON
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


def evaluate(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    examples: Sequence[Mapping[str, Any]],
    *,
    eval_id: str,
    trial_id: str,
    split: str,
    condition: str,
    max_length: int,
    system_role: str,
    end_of_turn: str,
    likelihood_items: int,
    generated_items: int,
    max_new_tokens: int,
    batch_size: int,
    destination: Path,
) -> dict[str, dict[str, Any]]:
    """Measure `model` on `examples` and write the three files into the staging folder `destination`; returns the metrics.

    `examples` have `id`, `book`, `chapter` and `messages` (system, user, assistant); `condition` is `adapter`, `base+system` or
    `base`, which drops the system message. A reply is scored in full where it fits into `max_length` tokens; of one that was cut,
    the tokens that are left are scored against the bytes that they spell, and `cut_replies` counts it. UserError when there is
    nothing to evaluate, ImpossibleMetric when a number cannot be; nothing is written then.
    """
    from persona_exp.modeling.chat import encode, end_of_turn_id

    if condition not in CONDITIONS:
        raise ValueError(f"Unknown condition {condition!r}.")
    if not examples:
        raise UserError(f"The {split} split holds no example: give corpus.{split} a book in which the persona speaks.")

    scored = choose(examples, likelihood_items)
    conversations = [conversation(example["messages"], condition) for example in scored]
    encoded = [encode(tokenizer, messages, max_length, system_role, end_of_turn) for messages in conversations]
    end_id = end_of_turn_id(tokenizer, end_of_turn)
    texts = [scored_text(tokenizer, one, messages, end_id) for one, messages in zip(encoded, conversations, strict=True)]
    scores = score(model, encoded, texts, end_id=end_id, batch_size=batch_size, what=f"likelihood ({condition})")

    spoken = choose(examples, generated_items)
    prompts = [conversation(example["messages"], condition)[:-1] for example in spoken]
    references = [str(example["messages"][-1]["content"]) for example in spoken]
    generated = generate(
        model,
        tokenizer,
        prompts,
        max_length=max_length,
        system_role=system_role,
        end_of_turn=end_of_turn,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        what=f"generation ({condition})",
    )

    metrics = {name: asdict(metric) for name, metric in summarise(scores, generated, references).items()}
    settings = {
        "likelihood_items": likelihood_items,
        "generated_items": generated_items,
        "max_new_tokens": max_new_tokens,
        "max_length": max_length,
        "batch_size": batch_size,
        "decoding": "greedy",
        "system_prompt": CONDITIONS[condition],
        "rouge": "rouge-score, Porter stemming, F1",
        "bleu": bleu(generated, references)[1] if generated else None,
        "period_lexicon": LEXICON,
        "EVALUATION_VERSION": EVALUATION_VERSION,
    }
    counts = {
        "available_items": len(examples),
        "scored_items": len(scored),
        "spoken_items": len(spoken),
        "shortened_prompts": sum(one.shortened for one in encoded),
        "cut_replies": sum(one.cut for one in encoded),
        "wordless_replies": sum(not words(reply) for reply in generated),
    }
    _write_lines(
        destination / "items.jsonl",
        (
            {"example": example["id"], "book": example["book"], "chapter": example["chapter"], **asdict(reply)}
            for example, reply in zip(scored, scores, strict=True)
        ),
    )
    _write_lines(
        destination / "generations.jsonl",
        (
            {"example": example["id"], "book": example["book"], "prompt": prompt, "reference": reference, "generated": reply}
            for example, prompt, reference, reply in zip(spoken, prompts, references, generated, strict=True)
        ),
    )
    # Last: where metrics.json is, the evaluation is whole.
    write_json(
        destination / "metrics.json",
        {
            "eval_id": eval_id,
            "trial_id": trial_id,
            "condition": condition,
            "split": split,
            "settings": settings,
            "counts": counts,
            "metrics": metrics,
        },
    )
    return metrics


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
