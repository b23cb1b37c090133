"""The sentences of `persona-exp why`: the reasons for a trial's status."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.heartbeat_silence import heartbeat_age, heartbeat_period, heartbeat_silence
from persona_exp.cli.sweep_status import SweepStatus, job_number, job_of_trial, planned_trials
from persona_exp.cli.text.attempt_history import attempt_lines
from persona_exp.cli.text.bundle_trials import bundled_with, joined_ids
from persona_exp.cli.text.causes_and_remedies import CAUSES, REMEDIES, cause_text
from persona_exp.cli.text.pending_reasons import pending_reason
from persona_exp.cli.text.status_text import failure_lines
from persona_exp.cli.text.units import duration, time_and_age
from persona_exp.counted_noun import counted
from persona_exp.launch.recovery.memory_backoff import limits_of
from persona_exp.launch.recovery.sweep_hold import TAKEN_BACK_BY_COMMAND
from persona_exp.launch.sweeps.never_began import dead_job
from persona_exp.process_identity import node_name, process_gone
from persona_exp.search.ask_results import readable_losses
from persona_exp.trial.attempt_records import PAUSED, PRUNED, attempt_files, read_record
from persona_exp.trial.comparability import all_outdated, basis, outdated
from persona_exp.trial.recorded_evaluations import read_evaluations
from persona_exp.trial.recorded_provenance import provenance_if_whole
from persona_exp.trial.recorded_sweep import SweepTrial
from persona_exp.trial.trial_damage import trial_damage
from persona_exp.trial.trial_directory import TrialDirectory
from persona_exp.trial.trial_status import TrialStatus, cancel_request, read_status, read_statuses, saved_step

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.submission_record import Submission


@dataclass(frozen=True)
class TrialCase:
    """A trial in one sweep; `trial` and `sweep` are None where no sweep asks for it."""

    runs: Path
    state: TrialStatus
    trial: SweepTrial | None
    sweep: SweepStatus | None
    now: datetime

    @property
    def folder(self) -> Path:
        return self.runs / "trials" / self.state.trial_id

    @cached_property
    def provenance(self) -> dict[str, Any]:
        return provenance_if_whole(self.runs, self.state.trial_id)

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        return [read_record(path) for path in attempt_files(self.folder)]

    @property
    def command(self) -> str:
        """The command that goes on with it."""
        return f"`{self.sweep.command if self.sweep else self.provenance.get('command', 'python run.py …')}`"

    @property
    def submission(self) -> "Submission | None":
        """The newest submission that lists it."""
        given = self.sweep.submissions if self.sweep else ()
        return next((one for one in reversed(given) if self.state.trial_id in one.trial_ids), None)

    def when(self, text: str | None) -> str:
        return time_and_age(text, self.now)


def sentences(case: TrialCase) -> list[str]:
    """Return the reasons for the trial's status, most important first, a sentence or two a line."""
    state = case.state
    name = f" ({case.trial.title} of {case.sweep.name})" if case.trial and case.sweep else ""
    verb = "has failed" if state.status == "failed" else f"is {state.status}"
    cause = f" ({state.cause})" if state.cause else ""
    lines = [f"Trial {state.trial_id}{name} {verb}{cause}.", *_ANSWERS[state.status](case)]
    return [*lines, *attempt_lines(case.records, case.now)] if len(case.records) > 1 else lines


def _sealed(case: TrialCase) -> list[str]:
    """Return why a trial is sealed and not in the queue: held, never submitted, or lost."""
    lines = [f"{case.state.message[0].upper()}{case.state.message[1:]}."] if case.state.message else []
    if not lines:
        lines = [f"It was sealed {case.when(case.provenance.get('sealed'))} and has not been tried yet."]
    return [*lines, *_what_starts_it(case)]


def _what_starts_it(case: TrialCase) -> list[str]:
    """Return what starts or resumes a trial that no process runs."""
    submission = case.submission
    if case.sweep is not None and case.sweep.hold:
        return _held(case.sweep, case)
    if submission is None and case.state.attempt:
        return [f"{case.command} goes on with it."]
    if submission is None:
        given = "No submission of its sweep lists it" if case.sweep and case.sweep.submissions else "It was never submitted"
        return [f"{given}: {case.command} starts it."]
    return _local(case, submission) if submission.launcher == "local" else _lost(case, submission)


def _held(sweep: SweepStatus, case: TrialCase) -> list[str]:
    assert sweep.hold is not None
    about = str(sweep.hold.get("message") or sweep.hold.get("cause")).rstrip(".")
    again = f", or given its command again: {case.command}" if sweep.hold.get("cause") in TAKEN_BACK_BY_COMMAND else ""
    return [
        f"Its sweep is held since {case.when(sweep.hold.get('at'))}: {about}.",
        f"Nothing new of the sweep starts until you have seen to that and said `persona-exp retry {shlex.quote(sweep.name)}`{again}.",
    ]


def _local(case: TrialCase, submission: "Submission") -> list[str]:
    by = submission.by
    maker, gone = f"process {by.get('pid')} on {by.get('host')}", process_gone(by)
    if gone is None:
        return [f"The command that runs its sweep ({maker}) cannot be seen from here; if it is gone there, {case.command} goes on."]
    if not gone:
        return [f"It waits for its turn: the command that runs its sweep ({maker}) is at work on other trials."]
    return [f"The command that ran its sweep ({maker}) is gone: {case.command} goes on."]


def _lost(case: TrialCase, submission: "Submission") -> list[str]:
    if case.sweep is not None and case.sweep.refused(submission):
        return [f"Slurm took nothing of {submission.job_name} {case.when(submission.by.get('at'))}: {case.command} submits it."]
    given = f"It was given to Slurm {case.when(submission.by.get('at'))} as part of {submission.job_name}"
    if case.sweep is None or case.sweep.queue is None:
        return [f"{given}; whether that still waits is not known, since Slurm does not answer."]
    if dead := dead_job(submission):
        return [f"{given}, but {dead.sentence}; then {case.command} goes on."]
    if any(job.name == submission.keeper_name for job in case.sweep.queue):
        return [f"{given}, but no job is left that will run it; the sweep's keeper, which is in the queue, submits it anew."]
    return [f"{given}, but neither its job nor the sweep's keeper is in the queue any more: {case.command} submits what is left."]


def _queued(case: TrialCase) -> list[str]:
    submission, queue = case.submission, case.sweep.queue if case.sweep else None
    lines = _interruption(case) if case.state.attempt else []
    own = next((job for job in queue or () if submission and case.state.trial_id in planned_trials(submission, job)), None)
    before = job_of_trial(case.state, queue or ())
    job = before or own
    if job is None or submission is None:
        return [*lines, f"{case.state.message}." if case.state.message else "Its job is in the queue."]
    if job.state != "PENDING":
        return [*lines, f"Its task ({job.label} on {job.node}) is at work on another trial and comes to it next."]
    canary = submission.trial_ids[0] if submission.canary and submission.trial_ids else None
    why = pending_reason(job.reason, ran_before=before is not None)
    lines.append(f"It waits in the queue as {job.label} ({job.name}) since {case.when(submission.by.get('at'))}: {why}.")
    if job.reason.strip("()") == "Dependency" and canary and canary != case.state.trial_id:
        lines.append(_canary(case, canary))
    return lines


def _canary(case: TrialCase, canary: str) -> str:
    state = read_status(case.runs / "trials" / canary)
    at = f" at step {state.step}" if state.step is not None and state.status == "running" else ""
    return f"The first trial of the sweep, {canary}, must pass its first steps before the others start; it is {state.reason}{at}."


def _running(case: TrialCase) -> list[str]:
    state = case.state
    job = f", job {job_number(state.job)}" if state.job else ""
    lines = [f"Attempt {state.attempt} runs on {state.host} (process {state.record.get('pid')}{job}) since {case.when(state.started)}."]
    if state.phase:
        step = "" if state.step is None else f", step {state.step}" + (f" of {state.max_steps}" if state.max_steps else "")
        loss = "" if state.loss is None else f", loss {state.loss:.3f}"
        left = "" if state.eta_seconds is None else f", about {duration(state.eta_seconds)} left"
        lines.append(f"It is {state.phase}{step}{loss}{left}.")
    lines += [f"It went on from step {state.record['resumed_from_step']}."] if state.record.get("resumed_from_step") else []
    others = _bundle(case)
    lines += [f"It runs together with {joined_ids(others)}, on one base model."] if others else []
    lines += _heartbeat(case)
    if (case.folder / "cancel.json").exists():
        lines.append("A person cancelled it; its worker stops it now or before its next start.")
    elif (case.folder / "stop.json").exists():
        lines.append("A person wants it to end: it is stopped at its next step, and published as a trial of its own.")
    return lines


def _bundle(case: TrialCase) -> list[str]:
    """Return the trials of its bundle that it has met; where its sweep is known, those of them that still run by their records."""
    met = bundled_with(case.state.record)
    ended = {one.trial_id for one in read_statuses(case.runs, met) if one.status not in ("running", "missing")} if case.sweep else set()
    return [one for one in met if one not in ended]


def _heartbeat(case: TrialCase) -> list[str]:
    silence = heartbeat_silence(case.folder, case.state, case.now.timestamp())
    if silence is None:
        return [f"Its last heartbeat was {duration(heartbeat_age(case.folder, case.state, case.now.timestamp()))} ago."]
    period = duration(heartbeat_period(case.state))
    still = f"Its heartbeat has stood still for {duration(silence)}, though it should count every {period}"
    if process_gone(case.state.record) is False:
        return [f"{still}: the process is there, but stopped or stuck (`persona-exp logs {case.state.trial_id}` shows its last words)."]
    takes = f"; once that is certain, a worker of the sweep takes it over {_from_checkpoint(case)}"
    here = case.state.host == node_name()
    why = "its process cannot be seen from here and may be gone" if here else "its node may be gone or cut off from the file system"
    return [f"{still}: {why}{takes}, and {case.command} does so too."]


def _interrupted(case: TrialCase) -> list[str]:
    if case.state.record.get("cause") in (PRUNED, PAUSED) and case.state.record.get("search"):
        return _given_up(case)
    return [*_interruption(case), *_what_starts_it(case)]


def _interruption(case: TrialCase) -> list[str]:
    """Return what interrupted the last attempt, and from where the next goes on."""
    state = case.state
    who, at = f"Attempt {state.attempt} on {state.host}", f" at step {state.step}" if state.step is not None else ""
    ended = f" {case.when(state.ended)}" if state.ended else ""
    if state.cause == "out_of_memory":
        had = limits_of(state.record).text()
        goes_on = f"{(state.message or 'it goes on').capitalize()} at the same effective batch, {_from_checkpoint(case)}."
        return [f"{who} ran out of memory{f' with {had}' if had else ''}{at}{ended}.", goes_on]
    message = f" ({state.message})" if state.message else ""
    cause = cause_text(state.cause or state.record.get("cause") or "killed")
    return [f"{who} was interrupted{at}{ended}: {cause}{message}. The next goes on {_from_checkpoint(case)}."]


def _from_checkpoint(case: TrialCase) -> str:
    if (case.folder / "adapter").is_dir():
        return "with its evaluation, since its adapter is there"
    saved = saved_step(case.folder)
    return f"from the checkpoint of step {saved}" if saved else "from the beginning, since no checkpoint was saved yet"


def _failed(case: TrialCase) -> list[str]:
    state = case.state
    ended = f" {case.when(state.ended)}" if state.ended else ""
    cause = f": {CAUSES[state.cause]}" if state.cause in CAUSES else ""
    lines = [f"Attempt {state.attempt} on {state.host} failed{ended}{cause}.", *failure_lines(case.folder, state)]
    remedy = REMEDIES.get(state.cause or "", "The traceback says where.").format(trial=state.trial_id)
    lines.append(f"{remedy} Once that is seen to, `persona-exp retry {state.trial_id}` lets it try again.")
    return [*lines, *(_held(case.sweep, case) if case.sweep and case.sweep.hold else [])]


def _cancelled(case: TrialCase) -> list[str]:
    record = cancel_request(case.folder)
    by = f" by {record['by']}" if record.get("by") else ""
    if record.get("trial_id"):
        now = f"Trial {record['trial_id']} (train.stop_at_step={record.get('step')}) has what it had learnt by then."
        back = f"`persona-exp retry {case.state.trial_id}` takes that back: it goes on from there."
        return [f"It was stopped{by} at step {record.get('step')} {case.when(record.get('at'))}.", now, back]
    again = f"`persona-exp retry {case.state.trial_id}` takes that back, and so does {case.command}."
    return [f"It was cancelled{by} {case.when(record.get('at'))}.", again]


def _finished(case: TrialCase) -> list[str]:
    state = case.state
    done = f"Attempt {state.attempt} on {state.host} finished it {case.when(state.ended)}; it took {duration(state.seconds)}."
    lines = [done] if state.record.get("status") == "finished" and state.host else ["All that is asked of it is published."]
    lines += trial_damage(case.runs, state.trial_id)
    found = [one for one in read_evaluations(case.runs, state.trial_id) if not case.trial or one.eval_id in case.trial.evaluations.values()]
    what = ["its adapter"] if (case.folder / "adapter" / "adapter_config.json").exists() else []
    what += [counted(len(found), "evaluation")] if found else []
    verb = "are" if len(what) > 1 or len(found) > 1 else "is"
    there = f"{' and '.join(what) or 'its result'} {verb} there"
    if old := all_outdated([outdated(basis(case.provenance).training_version, None), *(outdated(None, one.version) for one in found)]):
        lines.append(f"{there[0].upper()}{there[1:]}, made by an older version ({old}).")
        lines.append(f"These figures are not compared with newer ones; {case.command} makes it anew, beside them.")
        return lines
    lines.append(f"A command that asks for it again skips it, since {there}.")
    return [*lines, *_code(case)]


def _code(case: TrialCase) -> list[str]:
    """Return with which code it was made, and whether the code here is another by now."""
    from persona_exp.trial.code_provenance import code_provenance

    made = case.state.record.get("code") or (case.provenance.get("code") or {}).get("digest")
    if not made:
        return []
    now = code_provenance()["digest"]
    commit = (case.provenance.get("code") or {}).get("commit")
    made_with = f"It was made with code {made[:12]}" + (f" (commit {commit[:10]})" if commit else "")
    if now == made:
        return [f"{made_with}, which is the code here."]
    return [f"{made_with}; the code here is another ({now[:12]}), which changes nothing of a result that stands."]


def _given_up(case: TrialCase) -> list[str]:
    """Return which search gave a trial up, at which step, and what brings it back."""
    state, search = case.state, str(case.state.record["search"])
    paused, (losses, damage) = state.record["cause"] == PAUSED, readable_losses(TrialDirectory(case.folder))
    step = max(losses, default=state.step)
    at = "" if step is None else f" at step {step}"
    loss = f" with a validation loss of {losses[step]:.4f}" if step in losses else ""
    verb, why = ("paused", "it was not among the best of that rung by then") if paused else ("pruned", "others promised more")
    lines = [f"The search {search} {verb} it{at} {case.when(state.ended)}{loss}, since {why}."]
    lines += [damage] if damage else []
    goes_on = _from_checkpoint(case)
    if case.sweep is None or case.sweep.name != search:
        again = f"{case.command} goes on with it" if case.sweep else "a sweep that asks for it goes on with it"
        return [*lines, f"To all but that search it is only interrupted: {again}, {goes_on}."]
    if not paused:
        return [*lines, f"That search does not go on with it; another sweep that asks for the same settings does, {goes_on}."]
    if case.sweep.unfinished:
        says = f"`persona-exp search {shlex.quote(search)}` says what comes next"
        return [*lines, f"A worker goes on with it, {goes_on}, once it is among the best; {says}."]
    more = "the same command with a larger hydra.sweeper.n_trials, where others may do worse"
    return [*lines, f"The search has ended. What may bring it back, {goes_on}: another sweep that asks for it, or {more}."]


def _pruned(case: TrialCase) -> list[str]:
    if case.state.record.get("search"):
        return _given_up(case)
    message = f": {case.state.message}" if case.state.message else ""
    at = f" at step {case.state.step}," if case.state.step is not None else ""
    return [f"The search stopped it{at} {case.when(case.state.ended)}, since others promised more{message}."]


def _damaged(case: TrialCase) -> list[str]:
    return trial_damage(case.runs, case.state.trial_id) or [f"{case.state.message}."]


def _missing(case: TrialCase) -> list[str]:
    return [f"Nothing of it is on disk: {case.command} seals it again."]


_ANSWERS: dict[str, Callable[[TrialCase], list[str]]] = {
    "sealed": _sealed,
    "queued": _queued,
    "running": _running,
    "interrupted": _interrupted,
    "failed": _failed,
    "cancelled": _cancelled,
    "finished": _finished,
    "pruned": _pruned,
    "missing": _missing,
    "damaged": _damaged,
}
