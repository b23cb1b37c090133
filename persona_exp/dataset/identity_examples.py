"""Identity examples: who the persona is, asked and answered from a few facts."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter

from persona_exp.dataset.era_knowledge import last_year
from persona_exp.dataset.prose_normalisation import normalise_prose
from persona_exp.dataset.training_example import Example, messages
from persona_exp.errors import UserError

BUNDLED = Path(__file__).parent / "bundled" / "identity.csv"
FACTS = ("occupation", "home", "companion", "period")
# Who one is should not hang on one wording.
ANSWERS = 2


@dataclass(frozen=True)
class Template:
    """A question or an answer with {name} and facts to fill in. Within a topic and split every answer fits every question."""

    id: str
    split: str
    topic: str
    part: str
    text: str

    def fits(self, filling: Mapping[str, str]) -> bool:
        """Return whether `filling` has all that the text leaves open."""
        return all(field in filling for _, field, _, _ in Formatter().parse(self.text) if field is not None)


@cache
def templates() -> tuple[Template, ...]:
    """Return the bundled templates; no two splits have a question or an answer in common."""
    with BUNDLED.open(encoding="utf-8", newline="") as file:
        return tuple(Template(**row) for row in csv.DictReader(file))


def identity_examples(persona: str, facts: Mapping[str, str], period: str, system_prompt: str) -> list[Example]:
    """Return questions about who the persona is, each with up to two answers, in the templates' order.

    `facts` may have an `occupation` with its article ("a consulting detective"), a `home` ("221B Baker Street, London"), a `companion`,
    the name of one who shares that home ("Dr. Watson"), and a `period`, for which `period` stands in where it tells a year. What needs a
    fact that is missing or empty is not asked. Asked about machines and makers, the persona answers within its story that it
    does not know the word; it never claims to be a human being. Raise UserError for an unknown fact.
    """
    unknown = sorted(set(facts) - set(FACTS))
    if unknown:
        raise UserError(f"persona.facts has the unknown entry {unknown[0]!r}; use {', '.join(FACTS[:-1])} and {FACTS[-1]}.")
    # "The time of the novel" is nothing that a person who lives in it would say.
    dated = {"period": period} if last_year(period) is not None else {}
    filling = {key: normalise_prose(value) for key, value in {"name": persona, **dated, **facts}.items() if value.strip()}
    fitting = [template for template in templates() if template.fits(filling)]
    slug = re.sub(r"\W+", "_", persona.casefold()).strip("_")
    asked: dict[tuple[str, str], int] = {}
    examples: list[Example] = []
    for question in (template for template in fitting if template.part == "question"):
        group = (question.split, question.topic)
        answers = [template for template in fitting if template.part == "answer" and (template.split, template.topic) == group]
        turn = asked.get(group, 0)
        asked[group] = turn + 1
        for answer in _in_turn(answers, turn):
            examples.append(
                Example(
                    id=f"identity.{slug}.{question.id}.{answer.id}",
                    kind="identity",
                    persona=persona,
                    book="identity",
                    chapter=0,
                    passage=f"identity/{question.id}",
                    split=question.split,
                    rule="template",
                    confidence=1.0,
                    messages=messages(system_prompt, question.text.format_map(filling), answer.text.format_map(filling)),
                )
            )
    return examples


def _in_turn(answers: Sequence[Template], turn: int) -> list[Template]:
    """Return the answers to the question number `turn` of a topic, so that all are used about equally often."""
    count = min(ANSWERS, len(answers))
    return [answers[(turn * count + step) % len(answers)] for step in range(count)]
