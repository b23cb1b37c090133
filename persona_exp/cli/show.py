"""`persona-exp show TRIAL|SWEEP`: what it is, where it lies, what came out."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli import history, training
from persona_exp.cli.columns import columns, painted
from persona_exp.cli.find import find, runs_folder
from persona_exp.cli.quantities import moment, several, span
from persona_exp.cli.standing import Standing, judged_by_workers, of_trial, standings
from persona_exp.trial.reader import read_json
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.state import State, read_state

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.submission import Submission

# What tells trials apart at a glance, with the names that conf/ has for them.
SETTINGS = (
    "persona.name",
    "model.name",
    "method.name",
    "method.quantisation",
    "lora.r",
    "lora.alpha",
    "optim.lr",
    "optim.loraplus_lr_ratio",
    "optim.effective_batch_size",
    "train.epochs",
    "train.max_steps",
    "train.eval_steps",
    "train.early_stopping_patience",
    "engine.name",
    "tracker.name",
    "seed",
)
# As most trials have it, which goes without saying.
UNSAID = {"optim.loraplus_lr_ratio": 1, "tracker.name": "none"}

# The measures of one line a trial; `show TRIAL` has them all.
MEASURES = ("perplexity", "bits_per_byte", "token_accuracy", "rougeL")


def add_commands(nouns: Any) -> None:
    """Add the verb `show`."""
    show = nouns.add_parser("show", help="a trial or a sweep: settings, attempts, results, where they lie")
    show.add_argument("name", metavar="TRIAL|SWEEP", help="a name or an id, or the beginning of one")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    sweep, trial_id = find(runs, arguments.name)
    text, answer = _sweep(runs, sweep) if sweep else _trial(runs, str(trial_id))
    if not arguments.json:
        print(text)
    return 0, answer


def _trial(runs: Path, trial_id: str) -> tuple[str, dict[str, Any]]:
    from persona_exp.cli.side import trial_side
    from persona_exp.cli.status import state_json

    folder = runs / "trials" / trial_id
    state = judged_by_workers(runs, read_state(folder))
    side = trial_side(runs, trial_id)
    records = [read_record(path) for path in attempt_files(folder)]
    places = standings(runs, of_trial(runs, trial_id))
    settings = [[f"  {key}", str(side.config[key])] for key in SETTINGS if side.config.get(key) not in (None, UNSAID.get(key))]
    titles = [f"{trial.title} of {place.folder.name}" for place in places for trial in place.sweep.trials if trial.trial_id == trial_id]
    evaluations = _evaluations(folder)
    parts = [
        "\n".join([painted(f"Trial {trial_id}", "1"), *(f"  {title}" for title in titles), f"  {_stands(state)}", f"  {folder}"]),
        columns(["Settings", ""], settings),
        "\n".join([painted("Made with", "1"), *_made_with(side)]),
    ]
    if records:
        parts.append("\n".join(history.lines(records, datetime.now(UTC))))
    if trained := training.table(records):
        parts.append(trained)
    if evaluations:
        parts.append(_metrics(evaluations))
    answer = {**state_json(state), "folder": str(folder), "sweeps": [place.folder.name for place in places], "config": side.config}
    answer |= {"code": side.code, "data_id": side.data_id, "environment": side.environment}
    return "\n\n".join(parts), {**answer, "attempts": records, "evaluations": evaluations}


def _stands(state: State) -> str:
    parts = [state.reason]
    parts += [f"{moment(state.ended or state.started)} on {state.host}"] if state.attempt else []
    parts += [f"ran {span(state.seconds)}"] if state.seconds else []
    parts += [f"{state.gpu_hours:.2f} GPU-hours"] if state.gpus else []
    return " · ".join(parts)


def _made_with(side: Any) -> list[str]:
    code = side.code
    lines = (
        [f"  code {str(code['digest'])[:12]}" + (f", commit {code['commit'][:10]}" if code.get("commit") else "")] if code["digest"] else []
    )
    lines += [f"  data {side.data_id}"] if side.data_id else []
    told = ", ".join(
        f"{key} {value}" for key, value in side.environment.items() if key in ("python", "torch", "transformers", "peft", "trl")
    )
    return lines + ([f"  {told}"] if told else [])


def _evaluations(folder: Path) -> list[dict[str, Any]]:
    """The published evaluations without their items."""
    found = sorted((folder / "evaluations").glob("[!.]*/metrics.json"))
    return [read_json(path) for path in found]


def _metrics(evaluations: list[dict[str, Any]]) -> str:
    names = dict.fromkeys(name for one in evaluations for name in one["metrics"])
    header = ["Results", *(f"{one['condition']}, {one['split']}" for one in evaluations), "n"]
    rows = []
    for name in names:
        values = [f"{one['metrics'][name]['value']:.3f}" if name in one["metrics"] else "–" for one in evaluations]
        metric = next(one["metrics"][name] for one in evaluations if name in one["metrics"])
        rows.append([f"  {name}", *values, f"{metric.get('n', '')} {metric.get('unit', '')}".strip()])
    return columns(header, rows, right=range(1, len(evaluations) + 1))


def _sweep(runs: Path, name: str) -> tuple[str, dict[str, Any]]:
    from persona_exp.cli.overview import head
    from persona_exp.cli.side import results
    from persona_exp.cli.status import sweep_json

    (place,) = standings(runs, [name])
    found = {one: results(runs / "trials" / one) for one in {trial.trial_id for trial in place.sweep.trials}}
    rows = [row for trial, state in place.rows for row in _result_rows(trial.title, state, found[trial.trial_id])]
    parts = ["\n".join(head(place)), columns(["trial", "state", "measured", *MEASURES], rows, right=range(3, 3 + len(MEASURES)), status=1)]
    parts.append("\n".join([painted("Where it lies", "1"), f"  {place.folder}", *_submitted(place), *_report(place)]))
    answer = sweep_json(place)
    for trial in answer["trials"]:
        trial["results"] = found[trial["trial_id"]]
    return "\n\n".join(parts), {**answer, "folder": str(place.folder), "report": str(place.folder / "report")}


def _result_rows(title: str, state: State, found: dict[str, float]) -> list[list[str]]:
    """A line for each evaluation of a trial, one without figures where there is none."""
    places = dict.fromkeys(key.rpartition(": ")[0] for key in found) or {"": None}
    return [
        [title, state.reason, place, *(f"{found[key]:.3f}" if (key := f"{place}: {name}") in found else "" for name in MEASURES)]
        for place in places
    ]


def _submitted(place: Standing) -> list[str]:
    return [f"  {several(len(one.tasks), 'task')} {_given(place, one)} {moment(one.by.get('at'))}, {one.path}" for one in place.submissions]


def _given(place: Standing, submission: "Submission") -> str:
    if place.refused(submission):
        return f"of {submission.job_name}, none of which Slurm took,"
    return f"given to {'Slurm as ' + submission.job_name if submission.launcher == 'slurm' else submission.by.get('host')}"


def _report(place: Standing) -> list[str]:
    table = place.folder / "report" / "table.md"
    if table.is_file():
        return [f"  {table}"]
    if not any(trial.evaluations for trial in place.sweep.trials):
        return ["  no report: a rehearsal (engine=noop) measures nothing"]
    return [f"  no report yet: python -m analysis.report {place.folder}"]
