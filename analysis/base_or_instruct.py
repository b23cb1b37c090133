"""Base model or its instruction-tuned sister: one verdict a family, where a sweep trained both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.bootstrap_intervals import Estimate, bits_per_byte_difference
from analysis.comparable_rows import newest
from analysis.seed_aggregation import Row
from analysis.table_columns import NONE, plain

HEADER = ("family", "base", "instruct", "instruct − base, bits/byte [95 % CI]", "winner")
UNDECIDED = "undecided"
CAPTION = (
    "Less is better. The difference is paired over the same replies, and drawn over the seeds of both; where its interval includes 0, the "
    "family is undecided. Intervals are not corrected for the number of families."
)


@dataclass(frozen=True)
class FamilyVerdict:
    """The adapters on both models of a `family` (with its size); `difference` is instruct minus base in bits/byte, None where the two were
    not scored on the same replies."""

    family: str
    base: Row
    instruct: Row
    difference: Estimate | None

    @property
    def winner(self) -> str:
        """`instruct by 0.021 bits/byte`, or that it is undecided or not comparable."""
        if self.difference is None:
            return "not comparable: other replies"
        if self.difference.includes_zero:
            return UNDECIDED
        return f"{'instruct' if self.difference.value < 0 else 'base'} by {plain(abs(self.difference.value), 3)} bits/byte"

    @property
    def cells(self) -> tuple[str, ...]:
        """The verdict as a row under HEADER."""
        found = self.difference
        between = NONE if found is None else f"{_signed(found.value)} [{_signed(found.low)}, {_signed(found.high)}]"
        return (self.family, _figure(self.base), _figure(self.instruct), between, self.winner)


def family_verdicts(rows: Sequence[Row]) -> list[FamilyVerdict]:
    """Return a verdict for each family and size that has one evaluated adapter on a base and one on an instruction-tuned model."""
    families: dict[str, dict[str, list[Row]]] = {}
    for row in newest(rows):
        facts = row.sample.model_facts
        if row.condition == "adapter" and row.items and facts.get("family") and facts.get("parameters_b") and facts.get("tuned"):
            name = f"{facts['family']}, {facts['parameters_b']:g}B"
            families.setdefault(name, {}).setdefault(facts["tuned"], []).append(row)
    return [
        FamilyVerdict(name, base[0], instruct[0], _difference(instruct[0], base[0]))
        for name, both in families.items()
        if len(base := both.get("base", [])) == 1 and len(instruct := both.get("instruct", [])) == 1
    ]


def _difference(one: Row, other: Row) -> Estimate | None:
    import numpy as np

    mine, others = one.evaluated, other.evaluated
    replies, against = mine[0].replies, others[0].replies
    # Tokens differ with the tokeniser; the replies and their bytes must not.
    if one.split != other.split or (replies.examples, replies.sizes) != (against.examples, against.sizes):
        return None
    nats, reference = (np.array([outcome.replies.nats for outcome in outcomes]) for outcomes in (mine, others))
    return bits_per_byte_difference(nats, reference, np.array(replies.sizes))


def _figure(row: Row) -> str:
    return plain(row.bits_per_byte.value, 3) if row.bits_per_byte else NONE


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + plain(value, 3)
