"""Trained trials that share a base model, evaluated together where they are measured in the same way."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.trial import stages
from persona_exp.trial.member import Member

if TYPE_CHECKING:
    from persona_exp.evaluation.subject import Settings, Subject
    from persona_exp.modeling.bundle.shared import Shared


def measure(trained: Sequence[Member], shared: "Shared", model_folder: Path) -> None:
    """Make the evaluations that `trained` owe, each published whole. What goes wrong with one ends that one alone."""
    alike: dict[tuple[Any, ...], list[tuple[Member, Subject]]] = {}
    for member in trained:
        # Whoever is killed for want of memory knows then in what company that was.
        member.attempt.note(together=len(trained))
        for one in stages.missing_evaluations(member.config, member.directory, member.data_id):
            member.do(_ask, member, one, shared, alike)
    for (template, settings), asked in alike.items():
        _evaluate(asked, settings, template, shared, model_folder)
    for member in trained:
        shared.leave(member.number)


def _ask(member: Member, one: stages.Owed, shared: "Shared", alike: "dict[tuple[Any, ...], list[tuple[Member, Subject]]]") -> None:
    key = (member.config.model.chat_template, stages.evaluation_settings(member.config))
    alike.setdefault(key, []).append((member, member.speak(shared, one)))


def _evaluate(
    asked: "Sequence[tuple[Member, Subject]]", settings: "Settings", template: str | None, shared: "Shared", model_folder: Path
) -> None:
    """Measure and publish. What goes wrong with several is looked for in each half, for want of memory too."""
    from persona_exp.evaluation.evaluate import evaluate
    from persona_exp.modeling.base import load_tokenizer

    tokenizer = load_tokenizer(model_folder, template)
    try:
        evaluate(shared.model, tokenizer, [subject for _, subject in asked], settings, shared.speaking)
    except Exception as error:
        if len(asked) == 1:
            asked[0][0].end(error)
            return
        print(f"Evaluating {len(asked)} together went wrong ({error}): in two halves now.", flush=True)
    else:
        for member, subject in asked:
            member.do(member.attempt.publish, subject.destination, member.directory.evaluations / subject.eval_id)
        return
    half = len(asked) // 2
    _evaluate(asked[:half], settings, template, shared, model_folder)
    _evaluate(asked[half:], settings, template, shared, model_folder)
