"""`persona-exp replies TRIAL|SWEEP`: what the trials say, beside the true line and what the base model says."""

import argparse
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_sweep_or_trial
from persona_exp.cli.asked_rows import with_asks
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.errors import UserError
from persona_exp.trial.generated_replies import ComparedReplies, ReplyColumn, ReplyComparison, compare_replies, evenly_spaced
from persona_exp.trial.recorded_sweep import SweepTrial, read_sweep
from persona_exp.trial.seal_facts import sealed_config

SHOWN = 5
# Of a large sweep, so many trials beside the base models.
TRIALS = 20


def add_commands(nouns: Any) -> None:
    """Add the verb `replies`."""
    replies = nouns.add_parser("replies", help="what the trials say, beside the true line and the base model's reply")
    replies.add_argument("name", metavar="TRIAL|SWEEP", help="a name or an id, or the beginning of one")
    replies.add_argument("--limit", type=int, default=SHOWN, metavar="N", help=f"show N prompts at most (default: {SHOWN})")
    replies.add_argument(
        "--trials", type=int, metavar="N", help=f"show N trials at most beside the base models (default: {TRIALS}; with --json all)"
    )
    replies.add_argument("--json", action="store_true", help="print JSON")
    replies.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    if arguments.limit < 1:
        raise UserError(f"--limit {arguments.limit} must be 1 or more.")
    if arguments.trials is not None and arguments.trials < 1:
        raise UserError(f"--trials {arguments.trials} must be 1 or more.")
    runs = runs_folder()
    sweep, trial_id = find_sweep_or_trial(runs, arguments.name)
    compared = compare_replies(runs, _sweep_trials(runs, sweep) if sweep else [_trial(runs, str(trial_id))])
    if not arguments.json:
        from persona_exp.cli.text.reply_text import reply_lines

        what = f"sweep {sweep}" if sweep else f"trial {trial_id}"
        print("\n".join(reply_lines(what, compared, arguments.limit, arguments.trials or TRIALS)))
    # Nothing to show is an answer: no.
    return int(not compared.comparisons), {"sweep": sweep, "trial_id": trial_id, **_json(compared, arguments.limit, arguments.trials)}


def _sweep_trials(runs: Path, name: str) -> list[SweepTrial]:
    return with_asks(runs / "sweeps" / name, read_sweep(runs, name))[0].trials


def _trial(runs: Path, trial_id: str) -> SweepTrial:
    """Return the trial with all that was measured of it, whichever sweep asked for that."""
    method = (sealed_config(runs / "trials" / trial_id).get("method") or {}).get("name")
    return SweepTrial(trial_id, "base" if method == "none" else "adapter", {}, {})


def _json(compared: ComparedReplies, limit: int, trials: int | None) -> dict[str, Any]:
    return {"comparisons": [_comparison(one, limit, trials) for one in compared.comparisons], "left_out": compared.left_out}


def _comparison(one: ReplyComparison, limit: int, trials: int | None) -> dict[str, Any]:
    shown = evenly_spaced(one.examples, limit)
    columns = one.columns if trials is None else one.some_columns(trials)
    return {
        "split": one.split,
        "settings": one.columns[0].evaluation.settings,
        "system_prompt": one.system_prompt,
        "prompts": len(one.examples),
        "prompts_not_common": one.not_common,
        "columns": [_column(column) for column in columns],
        "columns_left_out": len(one.columns) - len(columns),
        "shown": [
            {
                "example": example,
                "book": one.columns[0].replies[example].book,
                "prompt": list(one.columns[0].replies[example].prompt),
                "true_line": one.columns[0].replies[example].true_line,
                "replies": [
                    {"eval_id": column.evaluation.eval_id, "text": reply.text, "loops": reply.loops, "cut": reply.cut}
                    for column in columns
                    for reply in (column.replies[example],)
                ],
            }
            for example in shown
        ],
    }


def _column(column: ReplyColumn) -> dict[str, Any]:
    return {
        "trial_id": column.trial_id,
        "title": column.title,
        "condition": column.evaluation.condition,
        "eval_id": column.evaluation.eval_id,
        "replies": len(column.replies),
        "looping_replies": column.looping,
        "truncated_replies": column.cut,
    }
