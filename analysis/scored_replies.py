"""The scored replies of one evaluation, checked against the perplexity that it states."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from persona_exp.errors import UserError
from persona_exp.trial.recorded_evaluations import Evaluation

NEEDED = ("example", "nats", "tokens", "bytes")

# The figures in metrics.json come from floats summed in another order.
AGREEMENT = 1e-4


@dataclass(frozen=True)
class ScoredReplies:
    """What was scored, sorted by example: `nats`, `tokens` and `sizes` (bytes of UTF-8) have one figure a reply."""

    examples: list[str] = field(default_factory=list)
    nats: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def same_text(self, other: ScoredReplies) -> bool:
        """Return whether both scored the same replies, cut into the same tokens."""
        return (self.examples, self.tokens, self.sizes) == (other.examples, other.tokens, other.sizes)


def read_replies(evaluation: Evaluation) -> ScoredReplies:
    """Return the replies of `evaluation`. Raise UserError where they are not whole or contradict its metrics."""
    again = "remove that folder and run the sweep's command again."
    if not evaluation.items:
        raise UserError(f"{evaluation.folder} has no scored items; {again}")
    missing = [name for name in NEEDED if any(name not in item for item in evaluation.items)]
    if missing:
        raise UserError(f"{evaluation.folder}/items.jsonl lacks {', '.join(missing)}; {again}")
    items = sorted(evaluation.items, key=lambda item: str(item["example"]))
    replies = ScoredReplies(*([item[name] for item in items] for name in NEEDED))
    if len(set(replies.examples)) < len(items):
        raise UserError(f"{evaluation.folder}/items.jsonl scores an example twice; {again}")
    perplexity = math.exp(sum(replies.nats) / sum(replies.tokens))
    stated = evaluation.metrics.get("perplexity", {}).get("value")
    if stated is None or not math.isclose(perplexity, stated, rel_tol=AGREEMENT):
        raise UserError(f"{evaluation.folder} states a perplexity of {stated}, but its items give {perplexity:.6g}; {again}")
    return replies
