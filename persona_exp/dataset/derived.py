"""Derived examples: what a teacher answers, as far as it passes the checks."""

from collections.abc import Iterable, Mapping, Sequence

from persona_exp.dataset.asked import Asked
from persona_exp.dataset.example import Example, messages
from persona_exp.dataset.recipe import Persona, Recipe
from persona_exp.teacher.checks import reject
from persona_exp.teacher.request import Draft, Teacher

# Drafts that were turned down, by kind and reason.
Rejected = dict[str, dict[str, int]]


def derive(requests: Iterable[Asked], teacher: Teacher, recipe: Recipe, rejected: Rejected) -> list[Example]:
    """The examples that a teacher of rules makes of `requests`; what fails a check is counted in `rejected`."""
    examples: list[Example] = []
    for asked in requests:
        if asked.request.task not in teacher.tasks:
            continue
        passed: list[Draft] = []
        for draft in teacher.drafts(asked.request):
            reason = reject(asked.request, draft)
            if reason is None:
                passed.append(draft)
            else:
                count(rejected, asked.kind, {reason: 1})
        examples += examples_of(asked, passed, teacher.name, recipe)
    return examples


def examples_of(asked: Asked, drafts: Sequence[Draft], teacher: str, recipe: Recipe) -> list[Example]:
    """One example a draft, with the place of the passage that it comes from."""
    persona = _persona(recipe, asked.request.voice.name)
    prompt = persona.prompt(recipe.contextual, asked.book, asked.chapter)
    return [
        Example(
            id=f"{asked.key}.{number}",
            kind=asked.kind,
            persona=persona.name,
            book=asked.book,
            chapter=asked.chapter,
            passage=asked.passage,
            split=asked.split,
            rule=f"teacher {teacher}",
            confidence=asked.confidence,
            messages=messages(prompt, draft.user, draft.assistant),
        )
        for number, draft in enumerate(drafts, start=1)
    ]


def count(rejected: Rejected, kind: str, reasons: Mapping[str, int]) -> None:
    """Add `reasons` to the kind's counts."""
    counts = rejected.setdefault(kind, {})
    for reason, number in reasons.items():
        counts[reason] = counts.get(reason, 0) + number


def _persona(recipe: Recipe, name: str) -> Persona:
    return next(persona for persona in recipe.personas if persona.name == name)
