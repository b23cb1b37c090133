"""Trials that travel together: trained on one base model and measured together, each published and ended as if it had run alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.trial import stages
from persona_exp.trial.member import Member
from persona_exp.trial.resume import common_step

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.evaluation.subject import Subject
    from persona_exp.modeling.bundle.shared import Shared

# Tokens that go through the model at once. A longer row is no faster on a CPU.
ROW_TOKENS = 2048


def run_bundle(members: Sequence[Member], interruption: Interruption, micro_batch_size: int | None = None) -> None:
    """Train and evaluate `members`, which share a base model; each has ended when this returns. An error that is nobody's own is all's.

    After a lack of memory `micro_batch_size` is less than the config's, and rows are that much shorter.
    """
    for member in members:
        member.attempt.note(together_with=[one.directory.trial_id for one in members if one is not member])
        member.attempt.progress("loading")
    try:
        _run(members, _row_tokens(members[0].config, micro_batch_size), interruption)
    except (Interrupted, Exception) as error:
        for member in members:
            member.end(error)
    for member in members:
        member.end()


def _row_tokens(config: "Config", micro_batch_size: int | None) -> int:
    tokens, usual = config.bundle.row_tokens or ROW_TOKENS, config.train.micro_batch_size or config.model.micro_batch_size
    return max(1, tokens * (micro_batch_size or usual) // usual)


def _run(members: Sequence[Member], row_tokens: int, interruption: Interruption) -> None:
    from persona_exp.modeling.bundle.shared import Shared
    from persona_exp.training.fused.train import train

    with interruption.at_once():
        model_folder = stages.fetch_model(members[0].config)
        shared = Shared(stages.load_base(members[0].config, model_folder))
        # Numbered by their place in the whole bundle, whoever of them has finished: the others' rows are then as they were.
        riders = [
            member
            for number, member in enumerate(members)
            if not member.directory.adapter.is_dir() and member.do(member.board, number, shared.model, model_folder)
        ]
        at_most = common_step([member.directory for member in riders])
        riders = [member for member in riders if member.do(member.resume, at_most)]
    if len(riders) > 1:
        print(f"{len(riders)} trials are trained together on one base model.", flush=True)
    settings = [member.config.train for member in riders]
    train(
        shared,
        riders,
        row_tokens=row_tokens,
        checkpoint_steps=min((one.checkpoint_steps for one in settings), default=1),
        checkpoint_minutes=min((one.checkpoint_minutes for one in settings), default=1),
        interruption=interruption,
    )
    with interruption.at_once():
        _evaluate([member for member in members if member.code is None], shared, model_folder)


def _evaluate(members: Sequence[Member], shared: "Shared", model_folder: Path) -> None:
    """Measure those that owe an evaluation, together where they are measured in the same way."""
    from persona_exp.evaluation.evaluate import evaluate
    from persona_exp.modeling.base import load_tokenizer

    alike: dict[tuple[Any, ...], list[tuple[Member, Subject]]] = {}
    for lane, member in enumerate(members):
        for one in stages.missing_evaluations(member.config, member.directory, member.data_id):
            member.do(member.speak, shared, lane, one, alike)
    for (template, settings), asked in alike.items():
        subjects = [subject for _, subject in asked]
        evaluate(shared.model, load_tokenizer(model_folder, template), subjects, settings, shared.speaking)
        for member, subject in asked:
            member.do(member.attempt.publish, subject.destination, member.directory.evaluations / subject.eval_id)
