"""The text of `persona-exp status`: all sweeps in a line each, or one sweep with its failures."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time as now

from persona_exp.cli.asked_rows import is_paused
from persona_exp.cli.heartbeat_silence import heartbeat_silence
from persona_exp.cli.sweep_status import STATUS_ORDER, SweepStatus, outdated_by_first_adapter
from persona_exp.cli.text.bundle_trials import bundle_numbers
from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.terminal_colours import painted
from persona_exp.cli.text.text_table import text_table
from persona_exp.cli.text.units import asked_of, duration, parse_time, time_and_age
from persona_exp.counted_noun import counted
from persona_exp.trial.comparability import all_outdated
from persona_exp.trial.forgotten_sweep import is_forgotten
from persona_exp.trial.recorded_sweep import SweepTrial
from persona_exp.trial.runs_reader import read_traceback
from persona_exp.trial.trial_status import TrialStatus

# A sweep with more trials than this shows those that are on their way or went wrong, and counts the rest.
MANY_TRIALS = 60
QUIET = ("finished", "queued", "sealed")

TRACEBACK_LINES = 6
FAILURES_SHOWN = 5
NAMED = 6


def sweeps_text(found: Sequence[SweepStatus], singles: Sequence[TrialStatus], runs: Path) -> str:
    """Return a line a sweep, in the order given, then the trials that no sweep asks for."""
    if not found and not singles:
        return (
            f"There is nothing under {runs} yet: `persona-exp run -m lora.r=8,16,32` makes a sweep; $PERSONA_EXP_RUNS names another folder."
        )
    parts = []
    if found:
        rows = [_sweep_row(one) for one in found]
        parts.append(
            text_table(
                ["sweep", "created (UTC)", "trials", "GPU-hours", "", "how they stand", "note"],
                rows,
                right=(2, 3),
                status=4,
                widest=100,
                # Without notes the last column is how they stand, which is not cut.
                spare=(1, 3) if any(one.sweep.note for one in found) else (),
            )
        )
    if singles:
        idle = any(state.status == "sealed" for state in singles)
        why = " (for a sweep over its budget, or the estimate of a search; after a day `persona-exp clean` offers them)" if idle else ""
        parts.append(f"{counted(len(singles), 'trial')} of no sweep: {_counted(singles)}{why}")
        loud = [state for state in singles if state.status not in ("finished", "sealed")]
        if loud:
            parts[-1] += "\n" + _table([(None, state, runs / "trials" / state.trial_id) for state in loud], bundle_numbers(singles))
    return "\n\n".join(parts)


def sweep_text(one: SweepStatus, *, every: bool) -> str:
    """Return its command, its trials in a table, then what failed with the end of each traceback."""
    rows = one.rows
    shown = rows if every or len(rows) <= MANY_TRIALS else [row for row in rows if row[1].status not in QUIET]
    shown = shown if every or len(shown) <= MANY_TRIALS else _first_of_each(shown)
    damage = [painted(f"  damaged: {one_line(sentence)}", "31") for sentence in one.damage]
    parts = ["\n".join([*sweep_head(one), *outdated_lines(one), *damage])]
    if shown:
        together = bundle_numbers(one.states)
        outdated = dict(zip((trial.title for trial in one.trials), one.outdated, strict=True))
        parts.append(_table([(trial, state, one.trial_folder(state.trial_id)) for trial, state in shown], together, outdated))
    if len(shown) < len(rows):
        parts.append(f"{counted(len(rows) - len(shown), 'more trial')} not shown; --all lists every one.")
    failed = [(trial, state) for trial, state in rows if state.status == "failed"]
    if failed:
        parts += [painted("What failed", "1"), *_failures(one, failed, every)]
    return "\n\n".join(parts)


_HEADER = ["trial", "settings", "state", "attempt", "bundle", "phase", "step", "loss", "left", "ran", "GPU-hours", "node", "note"]
_RIGHT, _STATUS = (3, 4, 6, 7, 8, 9, 10), 2
# What a narrow terminal has no room for, the least missed first.
_SPARE = ("GPU-hours", "node", "attempt", "ran", "loss", "phase", "left")


def _table(
    rows: Sequence[tuple[SweepTrial | None, TrialStatus, Path]], together: Mapping[str, int], outdated: Mapping[str, str] | None = None
) -> str:
    """Return a line a trial, with its folder; `together` are the numbers of bundles by trial, `outdated` the older versions by title."""
    cells = [
        _row(trial, state, folder, together.get(state.trial_id), (outdated or {}).get(trial.title, "") if trial else "")
        for trial, state, folder in rows
    ]
    return text_table(_HEADER, cells, right=_RIGHT, status=_STATUS, spare=[_HEADER.index(name) for name in _SPARE])


def _row(trial: SweepTrial | None, state: TrialStatus, folder: Path, bundle: int | None, outdated: str) -> list[str]:
    # It loads rich, which a sweep of quiet trials alone, however many, can do without.
    from persona_exp.progress_bar import clock

    running = state.status == "running"
    step = "" if state.step is None else f"{state.step}/{state.max_steps}" if state.max_steps else f"{state.step}"
    return [
        state.trial_id,
        trial.title if trial else "",
        state.reason,
        f"{state.attempt}" if state.attempt > 1 else "",
        f"{bundle}" if bundle else "",
        state.phase or "" if running else "",
        step if state.status != "finished" else "",
        "" if state.loss is None else f"{state.loss:.3f}",
        clock(state.eta_seconds) if running and state.eta_seconds is not None else "",
        clock(state.seconds) if state.attempt else "",
        f"{state.gpu_hours:,.2f}" if state.gpus else "",
        state.host or "" if running else "",
        "; ".join(filter(None, (_note(folder, state), outdated and f"older: {outdated}"))),
    ]


def _note(folder: Path, state: TrialStatus) -> str:
    silence = heartbeat_silence(folder, state, now())
    if silence is not None:
        return f"no heartbeat for {duration(silence)}"
    return state.message or "" if state.status in ("interrupted", "queued", "sealed", "missing", "cancelled", "pruned") else ""


def _sweep_row(one: SweepStatus) -> list[str]:
    created = parse_time(one.created)
    counts = _asked(one) + ", ".join(f"{count:,} {status}" for status, count in one.counts.items())
    if one.damaged_files:
        counts = "; ".join(filter(None, [counts, f"damaged: {one.damaged_files[0]}"]))
    if old := outdated_by_first_adapter(one):
        counts += f"; older: {old}"
    hours = f"{one.gpu_hours:,.1f}" if one.gpu_hours else ""
    return [
        one.name,
        f"{created:%Y-%m-%d %H:%M}" if created else "",
        f"{len(one.states):,}",
        hours,
        "held" if one.hold else "",
        counts,
        one.sweep.note,
    ]


def sweep_head(one: SweepStatus) -> list[str]:
    """Return name, command and summary of a sweep; and that it is held, where it is."""
    note = [f"  {one_line(one.sweep.note)}"] if one.sweep.note else []
    lines = [painted(one_line(one.name), "1"), *note, f"  {one_line(one.command)}", f"  {_summary(one)}", *_submission(one)]
    if is_forgotten(one.folder):
        lines.append(f"  forgotten: `persona-exp forget --undo {shlex.quote(one.name)}` shows it among the others again")
    lines += [f"  a search: `persona-exp search {shlex.quote(one.name)}` has the best, and what is asked next"] if one.asks else []
    if one.hold:
        lines.append(
            painted(
                f"  held since {time_and_age(one.hold.get('at'))}: {one_line(str(one.hold.get('message') or one.hold.get('cause')))}", "33"
            )
        )
        lines.append(f"  nothing new of it starts until `persona-exp retry {shlex.quote(one.name)}`")
    return lines


def outdated_lines(one: SweepStatus) -> list[str]:
    """Return a line that names the older versions that made the sweep's trials; none where none did."""
    found = [old for old in one.outdated if old]
    if not found:
        return []
    versions = all_outdated(found)
    which = "" if len(found) == len(one.outdated) else f" ({len(found)} of {counted(len(one.outdated), 'trial')})"
    return [painted(f"  older: {versions}{which}; these figures are not compared with newer ones", "33")]


def _summary(one: SweepStatus) -> str:
    parts = [f"{counted(len(one.states), 'trial')}: {_asked(one)}{_counted(one.states)}"]
    left = [state.eta_seconds for state in one.states if state.status == "running" and state.eta_seconds is not None]
    if left:
        parts.append(f"the running ones take up to {duration(max(left))} more")
    if one.gpu_hours:
        parts.append(f"{one.gpu_hours:,.1f} GPU-hours")
    return " · ".join(parts)


def _asked(one: SweepStatus) -> str:
    """Return how much of a search has been asked for, as the beginning of a sentence; nothing of a sweep of listed values."""
    if one.asks is None:
        return ""
    paused = sum(is_paused(state, one.name) for state in one.states)
    extra = [(one.asks.refused, "refused"), (one.asks.damaged, "damaged"), (paused, "paused")]
    said = ", ".join(f"{count:,} {what}" for count, what in extra if count)
    return f"{asked_of(one.asks.asked, one.asks.of)}{f' ({said})' if said else ''}; "


def _submission(one: SweepStatus) -> list[str]:
    """Return where the newest submission went, and what of it is in the queue."""
    if not one.submissions:
        return []
    from persona_exp.launch.sweeps.submission_record import task_numbers

    last = one.submissions[-1]
    if one.refused(last):
        again = ": the same command submits it" if one.unfinished else ""
        return [f"  Slurm took nothing of {last.job_name} {time_and_age(last.by.get('at'))}{again}"]
    where = f"Slurm as {last.job_name}" if last.launcher == "slurm" else f"process {last.by.get('pid')} on {last.by.get('host')}"
    line = f"  given to {where} {time_and_age(last.by.get('at'))}"
    if last.launcher != "slurm" or not one.unfinished:
        return [line]
    if one.queue is None:
        return [f"{line}; Slurm does not answer here"]
    keeper = any(job.name == last.keeper_name for job in one.queue)
    # An array of which nothing has started is one line of the queue, however many tasks it has.
    tasks = sum(len(task_numbers(job, of)) for job in one.queue for of in one.submissions if job.name == of.job_name)
    line += f"; {counted(tasks, 'task')} in the queue" if tasks else "; none of its tasks is in the queue"
    return [f"{line}, and the keeper" if keeper else f"{line}, nor is the keeper" if not tasks else line]


def _counted(states: Sequence[TrialStatus]) -> str:
    found = [state.status for state in states]
    return ", ".join(f"{found.count(status):,} {status}" for status in STATUS_ORDER if status in found)


def _first_of_each(rows: Sequence[tuple[SweepTrial, TrialStatus]]) -> list[tuple[SweepTrial, TrialStatus]]:
    """Return the first rows of each status, in even shares: fewer than MANY_TRIALS."""
    kinds = {state.status for _, state in rows}
    share = max(1, MANY_TRIALS // len(kinds))
    taken: dict[str, int] = {}
    kept = []
    for trial, state in rows:
        taken[state.status] = taken.get(state.status, 0) + 1
        if taken[state.status] <= share:
            kept.append((trial, state))
    return kept


def _failures(one: SweepStatus, failed: Sequence[tuple[SweepTrial, TrialStatus]], every: bool) -> list[str]:
    """Return failures by cause and message, each with the trials that it befell and the end of the first one's traceback."""
    alike: dict[tuple[str | None, str], list[tuple[SweepTrial, TrialStatus]]] = {}
    for trial, state in failed:
        alike.setdefault((state.cause, _first_line(state.message)), []).append((trial, state))
    groups = sorted(alike.values(), key=len, reverse=True)
    parts = []
    for group in groups if every else groups[:FAILURES_SHOWN]:
        trial, state = group[0]
        parts.append("\n".join([one_line(_trial_names(group, every)), *failure_lines(one.trial_folder(trial.trial_id), state)]))
    if not every and len(groups) > FAILURES_SHOWN:
        parts.append(f"{counted(len(groups) - FAILURES_SHOWN, 'more kind')} of failure; --all shows every one.")
    parts.append(f"More of one: persona-exp why TRIAL. To let them try again: persona-exp retry {shlex.quote(one.name)} --failed")
    return parts


def failure_lines(folder: Path, state: TrialStatus) -> list[str]:
    """Return cause, message and the last lines of the traceback of a trial's failed attempt, indented."""
    lines = [f"  {painted(state.cause or 'failed', '31')}: {' '.join((state.message or 'no message').split())}"]
    text = read_traceback(folder, state.attempt)
    # What one sentence says needs no traceback.
    if text and state.cause != "input":
        lines += [painted(f"    {line}", "2") for line in text.rstrip().splitlines()[-TRACEBACK_LINES:]]
        lines.append(f"    ({folder / 'attempts' / f'{state.attempt:04}' / 'traceback.txt'})")
    return lines


def _trial_names(group: Sequence[tuple[SweepTrial, TrialStatus]], every: bool) -> str:
    names = [f"{trial.title} ({trial.trial_id}{f' on {state.host}' if state.host else ''})" for trial, state in group]
    if every or len(names) <= NAMED:
        return ", ".join(names)
    return f"{counted(len(names), 'trial')}: {', '.join(names[:NAMED])}, …"


def _first_line(message: str | None) -> str:
    return (message or "").strip().partition("\n")[0]
