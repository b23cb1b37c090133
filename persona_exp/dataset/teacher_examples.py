"""Examples from a teacher's drafts, as far as they pass the checks, with a count of those that do not."""

from collections.abc import Iterable, Mapping, Sequence

from persona_exp.dataset.dataset_recipe import Persona, Recipe
from persona_exp.dataset.teacher_requests import ExampleRequest
from persona_exp.dataset.training_example import Example, messages
from persona_exp.teacher.draft_checks import reject
from persona_exp.teacher.rules import RulesTeacher
from persona_exp.teacher.teacher_interface import Draft

# Drafts that were turned down, by kind and reason.
Rejected = dict[str, dict[str, int]]


def examples_by_rules(requests: Iterable[ExampleRequest], teacher: RulesTeacher, recipe: Recipe, rejected: Rejected) -> list[Example]:
    """Return the examples that a teacher of rules makes of `requests`; count what fails a check in `rejected`."""
    examples: list[Example] = []
    for planned in requests:
        passed: list[Draft] = []
        for draft in teacher.drafts(planned.request):
            reason = reject(planned.request, draft)
            if reason is None:
                passed.append(draft)
            else:
                count_rejections(rejected, planned.kind, {reason: 1})
        examples += examples_from_drafts(planned, passed, teacher.name, recipe)
    return examples


def examples_from_drafts(planned: ExampleRequest, drafts: Sequence[Draft], teacher: str, recipe: Recipe) -> list[Example]:
    """Return one example a draft, with the place of the passage that it comes from."""
    persona = _persona(recipe, planned.request.voice.name)
    prompt = persona.prompt(recipe.contextual, planned.book, planned.chapter)
    return [
        Example(
            id=f"{planned.key}.{number}",
            kind=planned.kind,
            persona=persona.name,
            book=planned.book,
            chapter=planned.chapter,
            passage=planned.passage,
            split=planned.split,
            rule=f"teacher {teacher}",
            confidence=planned.confidence,
            messages=messages(prompt, draft.user, draft.assistant),
        )
        for number, draft in enumerate(drafts, start=1)
    ]


def count_rejections(rejected: Rejected, kind: str, reasons: Mapping[str, int]) -> None:
    """Add `reasons` to the kind's counts."""
    counts = rejected.setdefault(kind, {})
    for reason, number in reasons.items():
        counts[reason] = counts.get(reason, 0) + number


def _persona(recipe: Recipe, name: str) -> Persona:
    return next(persona for persona in recipe.personas if persona.name == name)
