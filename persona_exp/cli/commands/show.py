"""`persona-exp show TRIAL|SWEEP`: what it is, where it lies, what came out."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.abbreviated_names import find_sweep_or_trial
from persona_exp.cli.comparison_facts import Facts, trial_facts
from persona_exp.cli.listed_evaluations import ListedEvaluation, evaluation_names, settings_text
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.status_json import sweep_json, trial_json
from persona_exp.cli.sweep_status import SweepStatus, readable_status, sweep_statuses, sweeps_of_trial, with_retry_decision
from persona_exp.cli.text.attempt_history import attempt_lines
from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.terminal_colours import painted
from persona_exp.cli.text.text_table import text_table
from persona_exp.cli.text.training_table import training_table
from persona_exp.cli.text.units import duration, time_and_age
from persona_exp.counted_noun import counted
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.comparability import differences
from persona_exp.trial.record_files import read_json
from persona_exp.trial.trial_damage import trial_damage
from persona_exp.trial.trial_status import TrialStatus

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.submission_record import Submission

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

# What tells how a sweep was measured from how another was.
CAPS = ("split", "likelihood_items", "generated_items", "max_new_tokens", "max_length", "precision")

# Counts that say over how many replies figures are, which stands beside each.
TOTALS = ("available_items", "scored_items", "spoken_items")


def add_commands(nouns: Any) -> None:
    """Add the verb `show`."""
    show = nouns.add_parser("show", help="a trial or a sweep: settings, attempts, results, where they lie")
    show.add_argument("name", metavar="TRIAL|SWEEP", help="a name or an id, or the beginning of one")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    sweep, trial_id = find_sweep_or_trial(runs, arguments.name)
    text, answer = _sweep(runs, sweep) if sweep else _trial(runs, str(trial_id))
    if not arguments.json:
        print(text)
    return 0, answer


def _trial(runs: Path, trial_id: str) -> tuple[str, dict[str, Any]]:
    folder = runs / "trials" / trial_id
    state = with_retry_decision(runs, readable_status(runs, trial_id))
    damage = trial_damage(runs, trial_id)
    facts = trial_facts(runs, trial_id, damaged=True)
    records = [read_record(path) for path in attempt_files(folder)]
    statuses = sweep_statuses(runs, sweeps_of_trial(runs, trial_id), only=trial_id)
    settings = [[f"  {key}", str(facts.config[key])] for key in SETTINGS if facts.config.get(key) not in (None, UNSAID.get(key))]
    titles = [f"{trial.title} of {sweep.name}" for sweep in statuses for trial in sweep.trials if trial.trial_id == trial_id]
    found = list(facts.evaluations)
    headers = _headers(found)
    sweeps_by = [[sweep.name for sweep in statuses if one.evaluation.eval_id in _requested_ids(sweep, trial_id)] for one in found]
    parts = [
        "\n".join(
            [
                painted(f"Trial {trial_id}", "1"),
                *(f"  {one_line(title)}" for title in titles),
                f"  {one_line(_status_line(state))}",
                f"  {folder}",
            ]
        ),
        text_table(["Settings", ""], settings),
        "\n".join([painted("Made with", "1"), *map(one_line, _made_with(facts))]),
    ]
    if damage:
        parts.append("\n".join([painted("Damaged", "1"), *(f"  {one_line(sentence)}" for sentence in damage)]))
    if records:
        parts.append("\n".join(attempt_lines(records, datetime.now(UTC))))
    if trained := training_table(records):
        parts.append(trained)
    if len(found) > 1 or any(one.outdated for one in found):
        parts.append(_evaluations(found, headers, sweeps_by))
    if found:
        parts.append(_metrics(found, headers))
    answer = {**trial_json(state), "folder": str(folder), "sweeps": [sweep.name for sweep in statuses], "config": facts.config}
    answer |= {"damage": damage} if damage else {}
    answer |= {"code": facts.code, "data_id": facts.data_id, "environment": facts.environment}
    evaluations = [
        {**read_json(one.evaluation.folder / "metrics.json"), "name": name, "asked_by": sweeps, "older": one.outdated or None}
        for one, name, sweeps in zip(found, evaluation_names(found), sweeps_by, strict=True)
    ]
    return "\n\n".join(parts), {**answer, "attempts": records, "evaluations": evaluations}


def _requested_ids(sweep: SweepStatus, trial_id: str) -> set[str]:
    """Return the ids of the evaluations that a sweep asks of a trial."""
    return {eval_id for trial in sweep.trials if trial.trial_id == trial_id for eval_id in trial.evaluations.values()}


def _status_line(state: TrialStatus) -> str:
    parts = [state.reason]
    parts += [f"{time_and_age(state.ended or state.started)} on {state.host}"] if state.attempt else []
    parts += [f"ran {duration(state.seconds)}"] if state.seconds else []
    parts += [f"{state.gpu_hours:.2f} GPU-hours"] if state.gpus else []
    return " · ".join(parts)


def _made_with(facts: Facts) -> list[str]:
    code = facts.code
    lines = (
        [f"  code {str(code['digest'])[:12]}" + (f", commit {code['commit'][:10]}" if code.get("commit") else "")] if code["digest"] else []
    )
    lines += [f"  data {facts.data_id}"] if facts.data_id else []
    lines += [painted(f"  older: {facts.outdated}; its figures are not compared with newer ones", "33")] if facts.outdated else []
    versions = ", ".join(
        f"{key} {value}" for key, value in facts.environment.items() if key in ("python", "torch", "transformers", "peft", "trl")
    )
    return lines + ([f"  {versions}"] if versions else [])


def _metrics(found: Sequence[ListedEvaluation], headers: Sequence[str]) -> str:
    """Return a table with a column an evaluation; the n of a metric once where all agree. Counts that are not 0 follow the metrics."""
    metrics = [one.evaluation.metrics for one in found]
    rows = []
    for name in dict.fromkeys(name for one in metrics for name in one):
        own = [one.get(name) for one in metrics]
        values = ["–" if metric is None else f"{metric['value']:.3f}" for metric in own]
        counts = dict.fromkeys("–" if metric is None else f"{metric.get('n', '')}" for metric in own)
        shown_counts = [*counts] if len([count for count in counts if count != "–"]) > 1 else [count for count in counts if count != "–"]
        unit = next(metric.get("unit", "") for metric in own if metric is not None)
        rows.append([f"  {name}", *values, f"{' / '.join(shown_counts)} {unit}".strip()])
    # What a reader of the figures has to know of the replies that they are over.
    counted = [one.evaluation.counts for one in found]
    # What is a share of the replies above is not repeated.
    shares = {name for one in metrics for name in one}
    for name in dict.fromkeys(name for one in counted for name, count in one.items() if count and name not in (*TOTALS, *shares)):
        rows.append([f"  {name}", *(f"{one[name]}" if name in one else "–" for one in counted), ""])
    return text_table(["Results", *headers, "n"], rows, right=range(1, len(found) + 1))


def _evaluations(found: Sequence[ListedEvaluation], headers: Sequence[str], sweeps_by: Sequence[Sequence[str]]) -> str:
    """Return a table of the evaluations: the settings in which each differs from the others, the sweeps that asked for it, its id."""
    rows = []
    for one, name, header, sweeps in zip(found, evaluation_names(found), headers, sweeps_by, strict=True):
        with_settings = name.removeprefix(one.evaluation.place).removeprefix(", ")
        rows.append([f"  {header}", with_settings, _sweep_names(sweeps), one.evaluation.eval_id, one.outdated and f"older: {one.outdated}"])
    return text_table(["Evaluations", "measured with", "asked for by", "id", "version"], rows, widest=1000)


def _headers(found: Sequence[ListedEvaluation]) -> list[str]:
    """Return `adapter, test`, numbered where several have that."""
    places = [one.evaluation.place for one in found]
    return [f"{place} ({places[: number + 1].count(place)})" if places.count(place) > 1 else place for number, place in enumerate(places)]


def _sweep_names(sweeps: Sequence[str]) -> str:
    return ", ".join(sweeps) or "no sweep"


def _sweep(runs: Path, name: str) -> tuple[str, dict[str, Any]]:
    from persona_exp.cli.text.status_text import outdated_lines, sweep_head

    (sweep,) = sweep_statuses(runs, [name])
    found = sweep.evaluations
    rows = [row for (trial, state), own in zip(sweep.rows, found, strict=True) for row in _result_rows(trial.title, state, own)]
    header = ["trial", "state", "measured", *MEASURES, "version"]
    parts = ["\n".join([*sweep_head(sweep), *outdated_lines(sweep), *_protocol([one for own in found for one in own])])]
    parts.append(text_table(header, rows, right=range(3, 3 + len(MEASURES)), status=1, widest=100))
    parts.append("\n".join([painted("Where it lies", "1"), f"  {sweep.folder}", *_submitted(sweep), *_report(sweep)]))
    return "\n\n".join(parts), {**sweep_json(sweep), "folder": str(sweep.folder), "report": str(sweep.folder / "report")}


def _protocol(found: Sequence[ListedEvaluation]) -> list[str]:
    """Return the settings that all evaluations of the sweep share, as a line."""
    protocols = [one.evaluation.protocol for one in found]
    if not protocols:
        return []
    apart = differences(protocols)[0]
    shared = {key: value for key, value in protocols[0].items() if key not in apart and key in CAPS}
    return [f"  measured with {settings_text(shared)}"] if shared else []


def _result_rows(title: str, state: TrialStatus, found: Sequence[ListedEvaluation]) -> list[list[str]]:
    """Return a line for each evaluation that the sweep asked for, one without figures where there is none."""
    if not found:
        return [[title, state.reason, "", *("" for _ in MEASURES), ""]]
    return [[title, state.reason, one.evaluation.place, *_values(one), one.outdated and f"older: {one.outdated}"] for one in found]


def _values(one: ListedEvaluation) -> list[str]:
    values = [one.evaluation.metrics.get(name) for name in MEASURES]
    return ["" if metric is None else f"{metric['value']:.3f}" for metric in values]


def _submitted(sweep: SweepStatus) -> list[str]:
    return [
        f"  {counted(len(one.tasks), 'task')} {_destination(sweep, one)} {time_and_age(one.by.get('at'))}, {one.path}"
        for one in sweep.submissions
    ]


def _destination(sweep: SweepStatus, submission: "Submission") -> str:
    if sweep.refused(submission):
        return f"of {submission.job_name}, none of which Slurm took,"
    return f"given to {'Slurm as ' + submission.job_name if submission.launcher == 'slurm' else submission.by.get('host')}"


def _report(sweep: SweepStatus) -> list[str]:
    table = sweep.folder / "report" / "table.md"
    if table.is_file():
        return [f"  {table}"]
    if not any(trial.evaluations for trial in sweep.trials):
        return ["  no report: a rehearsal (engine=noop) measures nothing"]
    return [f"  no report yet: python -m analysis.report {sweep.folder}"]
