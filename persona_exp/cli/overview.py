"""What `persona-exp status` shows: all sweeps in a line each, or one sweep with what failed in it."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import time as now

from persona_exp.cli import company, heartbeat
from persona_exp.cli.columns import columns, painted
from persona_exp.cli.quantities import moment, several, span, time
from persona_exp.cli.standing import ORDER, Standing
from persona_exp.trial.reader import SweepTrial, read_traceback
from persona_exp.trial.state import State

# A sweep with more trials than this shows those that are on their way or went wrong, and counts the rest.
MANY_TRIALS = 60
QUIET = ("finished", "queued", "sealed")

TRACEBACK_LINES = 6
FAILURES_SHOWN = 5
NAMED = 6


def all_sweeps(found: Sequence[Standing], singles: Sequence[State], runs: Path) -> str:
    """A line a sweep, as given, then the trials that no sweep asks for."""
    if not found and not singles:
        return (
            f"There is nothing under {runs} yet: `python run.py -m lora.r=8,16,32` makes a sweep; $PERSONA_EXP_RUNS names another folder."
        )
    parts = []
    if found:
        rows = [_sweep_row(one) for one in found]
        parts.append(
            columns(["sweep", "created (UTC)", "trials", "GPU-hours", "", "how they stand"], rows, right=(2, 3), status=4, widest=100)
        )
    if singles:
        parts.append(f"{several(len(singles), 'trial')} of no sweep: {_counted(singles)}")
        loud = [state for state in singles if state.status not in ("finished", "sealed")]
        if loud:
            parts[-1] += "\n" + _table([(None, state, runs / "trials" / state.trial_id) for state in loud], company.bundles(singles))
    return "\n\n".join(parts)


def one_sweep(one: Standing, *, every: bool) -> str:
    """Its command, its trials in a table, then what failed with the end of each traceback."""
    rows = one.rows
    shown = rows if every or len(rows) <= MANY_TRIALS else [row for row in rows if row[1].status not in QUIET]
    shown = shown if every or len(shown) <= MANY_TRIALS else _first_of_each(shown)
    parts = ["\n".join(head(one))]
    if shown:
        together = company.bundles(one.states)
        parts.append(_table([(trial, state, one.trial_folder(state.trial_id)) for trial, state in shown], together))
    if len(shown) < len(rows):
        parts.append(f"{several(len(rows) - len(shown), 'more trial')} not shown; --all lists every one.")
    failed = [(trial, state) for trial, state in rows if state.status == "failed"]
    if failed:
        parts += [painted("What failed", "1"), *_failures(one, failed, every)]
    return "\n\n".join(parts)


_HEADER = ["trial", "settings", "state", "attempt", "bundle", "phase", "step", "loss", "left", "ran", "GPU-hours", "node", "note"]
_RIGHT, _STATUS = (3, 4, 6, 7, 8, 9, 10), 2
# What a narrow terminal has no room for, the least missed first.
_SPARE = ("GPU-hours", "node", "attempt", "ran", "loss", "phase", "left")


def _table(rows: Sequence[tuple[SweepTrial | None, State, Path]], together: Mapping[str, int]) -> str:
    """A line a trial, with its folder; `together` is the bundle of each that runs in company."""
    cells = [_row(trial, state, folder, together.get(state.trial_id)) for trial, state, folder in rows]
    return columns(_HEADER, cells, right=_RIGHT, status=_STATUS, spare=[_HEADER.index(name) for name in _SPARE])


def _row(trial: SweepTrial | None, state: State, folder: Path, bundle: int | None) -> list[str]:
    # It loads rich, which a sweep of quiet trials alone, however many, can do without.
    from persona_exp.progress import clock

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
        _note(folder, state),
    ]


def _note(folder: Path, state: State) -> str:
    silence = heartbeat.silent(folder, state, now())
    if silence is not None:
        return f"no heartbeat for {span(silence)}"
    return state.message or "" if state.status in ("interrupted", "queued", "sealed", "missing", "cancelled") else ""


def _sweep_row(one: Standing) -> list[str]:
    created = time(one.sweep.created)
    counts = ", ".join(f"{count:,} {status}" for status, count in one.counts.items())
    hours = f"{one.gpu_hours:,.1f}" if one.gpu_hours else ""
    return [
        one.folder.name,
        f"{created:%Y-%m-%d %H:%M}" if created else "",
        f"{len(one.states):,}",
        hours,
        "held" if one.hold else "",
        counts,
    ]


def head(one: Standing) -> list[str]:
    """Name, command and summary of a sweep; and that it is held, where it is."""
    lines = [painted(one.folder.name, "1"), f"  {one.command}", f"  {_summary(one)}", *_given(one)]
    if one.hold:
        lines.append(painted(f"  held since {moment(one.hold.get('at'))}: {one.hold.get('message') or one.hold.get('cause')}", "33"))
        lines.append(f"  nothing new of it starts until `persona-exp retry {shlex.quote(one.folder.name)}`")
    return lines


def _summary(one: Standing) -> str:
    told = [f"{several(len(one.states), 'trial')}: {_counted(one.states)}"]
    left = [state.eta_seconds for state in one.states if state.status == "running" and state.eta_seconds is not None]
    if left:
        told.append(f"the running ones take up to {span(max(left))} more")
    if one.gpu_hours:
        told.append(f"{one.gpu_hours:,.1f} GPU-hours")
    return " · ".join(told)


def _given(one: Standing) -> list[str]:
    """To whom the newest submission went, and what of it is in the queue."""
    if not one.submissions:
        return []
    from persona_exp.launch.sweeps.submission import task_numbers

    last = one.submissions[-1]
    if one.refused(last):
        again = ": the same command submits it" if one.unfinished else ""
        return [f"  Slurm took nothing of {last.job_name} {moment(last.by.get('at'))}{again}"]
    where = f"Slurm as {last.job_name}" if last.launcher == "slurm" else f"process {last.by.get('pid')} on {last.by.get('host')}"
    told = f"  given to {where} {moment(last.by.get('at'))}"
    if last.launcher != "slurm" or not one.unfinished:
        return [told]
    if one.queue is None:
        return [f"{told}; Slurm does not answer here"]
    keeper = any(job.name == last.keeper_name for job in one.queue)
    # An array of which nothing has started is one line of the queue, however many tasks it has.
    tasks = sum(len(task_numbers(job, of)) for job in one.queue for of in one.submissions if job.name == of.job_name)
    told += f"; {several(tasks, 'task')} in the queue" if tasks else "; none of its tasks is in the queue"
    return [f"{told}, and the keeper" if keeper else f"{told}, nor is the keeper" if not tasks else told]


def _counted(states: Sequence[State]) -> str:
    found = [state.status for state in states]
    return ", ".join(f"{found.count(status):,} {status}" for status in ORDER if status in found)


def _first_of_each(rows: Sequence[tuple[SweepTrial, State]]) -> list[tuple[SweepTrial, State]]:
    """Of more rows than a person reads: the first of each status, in even shares."""
    kinds = {state.status for _, state in rows}
    share = max(1, MANY_TRIALS // len(kinds))
    taken: dict[str, int] = {}
    kept = []
    for trial, state in rows:
        taken[state.status] = taken.get(state.status, 0) + 1
        if taken[state.status] <= share:
            kept.append((trial, state))
    return kept


def _failures(one: Standing, failed: Sequence[tuple[SweepTrial, State]], every: bool) -> list[str]:
    """What failed alike together: cause and message once, then the end of the first one's traceback."""
    alike: dict[tuple[str | None, str], list[tuple[SweepTrial, State]]] = {}
    for trial, state in failed:
        alike.setdefault((state.cause, _first_line(state.message)), []).append((trial, state))
    groups = sorted(alike.values(), key=len, reverse=True)
    parts = []
    for group in groups if every else groups[:FAILURES_SHOWN]:
        trial, state = group[0]
        parts.append("\n".join([_who(group, every), *failure_lines(one.trial_folder(trial.trial_id), state)]))
    if not every and len(groups) > FAILURES_SHOWN:
        parts.append(f"{several(len(groups) - FAILURES_SHOWN, 'more kind')} of failure; --all shows every one.")
    parts.append(f"More of one: persona-exp why TRIAL. To let them try again: persona-exp retry {shlex.quote(one.folder.name)} --failed")
    return parts


def failure_lines(folder: Path, state: State) -> list[str]:
    """Cause, message and the last lines of the traceback of a trial's failed attempt, indented."""
    lines = [f"  {painted(state.cause or 'failed', '31')}: {' '.join((state.message or 'no message').split())}"]
    text = read_traceback(folder, state.attempt)
    # What a person is told in a sentence needs no traceback.
    if text and state.cause != "input":
        lines += [painted(f"    {line}", "2") for line in text.rstrip().splitlines()[-TRACEBACK_LINES:]]
        lines.append(f"    ({folder / 'attempts' / f'{state.attempt:04}' / 'traceback.txt'})")
    return lines


def _who(group: Sequence[tuple[SweepTrial, State]], every: bool) -> str:
    names = [f"{trial.title} ({trial.trial_id}{f' on {state.host}' if state.host else ''})" for trial, state in group]
    if every or len(names) <= NAMED:
        return ", ".join(names)
    return f"{several(len(names), 'trial')}: {', '.join(names[:NAMED])}, …"


def _first_line(message: str | None) -> str:
    return (message or "").strip().partition("\n")[0]
