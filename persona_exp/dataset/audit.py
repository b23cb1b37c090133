"""The leak audit: nothing that is tested on may be trained on."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from persona_exp.dataset.example import Example
from persona_exp.errors import UserError

MAX_LEAK = 0.05


def audit(examples: Sequence[Example], passage_texts: Mapping[str, str]) -> tuple[list[Example], Counter[str]]:
    """`examples` without the training ones that share their passage or their reply with validation or test, and the counts by reason.

    Texts are compared without case, punctuation and spacing; `passage_texts` maps a passage's id to its text. UserError: more than 5 %
    of the training examples leak, so that the split itself is wrong.
    """
    held_out = [example for example in examples if example.split != "train"]
    replies = {normalised(example.reply) for example in held_out}
    passages = {normalised(passage_texts[example.passage]) for example in held_out}
    kept: list[Example] = []
    counts: Counter[str] = Counter()
    for example in examples:
        if example.split == "train" and normalised(passage_texts[example.passage]) in passages:
            counts["passage also in validation or test"] += 1
        elif example.split == "train" and normalised(example.reply) in replies:
            counts["reply also in validation or test"] += 1
        else:
            kept.append(example)
    training = len(examples) - len(held_out)
    if sum(counts.values()) > MAX_LEAK * training:
        raise UserError(
            f"{sum(counts.values())} of {training} training examples are also in the books or chapters held out; take the "
            "duplicate text out of corpus.books."
        )
    return kept, counts


def normalised(text: str) -> str:
    """The words of `text` in lower case, with one blank between."""
    return " ".join(re.findall(r"\w+", text.casefold()))
