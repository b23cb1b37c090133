"""Constraints of a search: `peak_memory_gb<=70`. A trial that breaks one is worse than any that breaks none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persona_exp.errors import UserError

FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=)\s*([-+0-9.eE]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """`measure`, a metric or a cost of a trial, is at most `bound`, or at least."""

    text: str
    measure: str
    bound: float
    at_most: bool

    def excess(self, value: float) -> float:
        """Return by how much `value` breaks it; 0 or less where it does not."""
        return value - self.bound if self.at_most else self.bound - value


def parse_constraint(text: str) -> Constraint:
    """Return the constraint of hydra.sweeper.constraints. Raise UserError where it is none."""
    found = FORM.fullmatch(text)
    try:
        bound = float(found[3]) if found else None
    except ValueError:
        bound = None
    if found is None or bound is None:
        raise UserError(f"hydra.sweeper.constraints: {text} is no constraint; write one as in peak_memory_gb<=70.")
    return Constraint(text.replace(" ", ""), found[1], bound, found[2] == "<=")


def excesses(constraints: Sequence[Constraint], values: Mapping[str, float]) -> dict[str, float]:
    """Return by its text by how much each constraint is broken whose measure is among `values`."""
    return {one.text: one.excess(values[one.measure]) for one in constraints if one.measure in values}
