"""Why a trial stands as it does, in sentences."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli import company, heartbeat, history
from persona_exp.cli.overview import failure_lines
from persona_exp.cli.quantities import moment, several, span
from persona_exp.cli.standing import Standing, job_of, planned
from persona_exp.cli.waiting import CAUSES, REMEDIES, happened, waits
from persona_exp.launch.judgement.room import used
from persona_exp.trial.attempt import node, process_gone
from persona_exp.trial.reader import SweepTrial, read_json
from persona_exp.trial.record import attempt_files, read_record
from persona_exp.trial.state import State, read_state, saved_step

if TYPE_CHECKING:
    from persona_exp.launch.sweeps.submission import Submission


@dataclass(frozen=True)
class Case:
    """A trial as one sweep sees it; `trial` and `place` are None where no sweep asks for it."""

    runs: Path
    state: State
    trial: SweepTrial | None
    place: Standing | None
    now: datetime

    @property
    def folder(self) -> Path:
        return self.runs / "trials" / self.state.trial_id

    @cached_property
    def provenance(self) -> dict[str, Any]:
        path = self.folder / "provenance.json"
        return read_json(path) if path.is_file() else {}

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        return [read_record(path) for path in attempt_files(self.folder)]

    @property
    def command(self) -> str:
        """The command that goes on with it."""
        return f"`{self.place.command if self.place else self.provenance.get('command', 'python run.py …')}`"

    @property
    def submission(self) -> "Submission | None":
        """The newest submission that lists it."""
        given = self.place.submissions if self.place else ()
        return next((one for one in reversed(given) if self.state.trial_id in one.trial_ids), None)

    def when(self, text: str | None) -> str:
        return moment(text, self.now)


def reasons(case: Case) -> list[str]:
    """What a person who asks "why" wants to know, most important first, a sentence or two a line."""
    state = case.state
    name = f" ({case.trial.title} of {case.place.folder.name})" if case.trial and case.place else ""
    verb = "has failed" if state.status == "failed" else f"is {state.status}"
    cause = f" ({state.cause})" if state.cause else ""
    lines = [f"Trial {state.trial_id}{name} {verb}{cause}.", *_ANSWERS[state.status](case)]
    return [*lines, *history.lines(case.records, case.now)] if len(case.records) > 1 else lines


def _waiting(case: Case) -> list[str]:
    """Sealed and not in the queue: held, never submitted, or left behind."""
    lines = [f"{case.state.message[0].upper()}{case.state.message[1:]}."] if case.state.message else []
    if not lines:
        lines = [f"It was sealed {case.when(case.provenance.get('sealed'))} and has not been tried yet."]
    return [*lines, *_next(case)]


def _next(case: Case) -> list[str]:
    """What starts or resumes a trial that nobody works on."""
    submission = case.submission
    if case.place is not None and case.place.hold:
        return _held(case.place, case)
    if submission is None and case.state.attempt:
        return [f"{case.command} goes on with it."]
    if submission is None:
        given = "No submission of its sweep lists it" if case.place and case.place.submissions else "It was never submitted"
        return [f"{given}: {case.command} starts it."]
    return _local(case, submission) if submission.launcher == "local" else _lost(case, submission)


def _held(place: Standing, case: Case) -> list[str]:
    assert place.hold is not None
    about = str(place.hold.get("message") or place.hold.get("cause")).rstrip(".")
    return [
        f"Its sweep is held since {case.when(place.hold.get('at'))}: {about}.",
        f"Nothing new of the sweep starts until you have seen to that and said `persona-exp retry {shlex.quote(place.folder.name)}`.",
    ]


def _local(case: Case, submission: "Submission") -> list[str]:
    by = submission.by
    maker, gone = f"process {by.get('pid')} on {by.get('host')}", process_gone(by)
    if gone is None:
        return [f"The command that runs its sweep ({maker}) cannot be seen from here; if it is gone there, {case.command} goes on."]
    if not gone:
        return [f"It waits for its turn: the command that runs its sweep ({maker}) is at work on other trials."]
    return [f"The command that ran its sweep ({maker}) is gone: {case.command} goes on."]


def _lost(case: Case, submission: "Submission") -> list[str]:
    if case.place is not None and case.place.refused(submission):
        return [f"Slurm took nothing of {submission.job_name} {case.when(submission.by.get('at'))}: {case.command} submits it."]
    given = f"It was given to Slurm {case.when(submission.by.get('at'))} as part of {submission.job_name}"
    if case.place is None or case.place.queue is None:
        return [f"{given}; whether that still waits cannot be told from here, since Slurm does not answer."]
    if any(job.name == submission.keeper_name for job in case.place.queue):
        return [f"{given}, but no job is left that will run it; the sweep's keeper, which is in the queue, submits it anew."]
    return [f"{given}, but neither its job nor the sweep's keeper is in the queue any more: {case.command} submits what is left."]


def _queued(case: Case) -> list[str]:
    submission, queue = case.submission, case.place.queue if case.place else None
    lines = _interruption(case) if case.state.attempt else []
    own = next((job for job in queue or () if submission and case.state.trial_id in planned(submission, job)), None)
    job = job_of(case.state, queue or ()) or own
    if job is None or submission is None:
        return [*lines, f"{case.state.message}." if case.state.message else "Its job is in the queue."]
    if job.state != "PENDING":
        return [*lines, f"Its task ({job.label} on {job.node}) is at work on another trial and comes to it next."]
    canary = submission.trial_ids[0] if submission.canary and submission.trial_ids else None
    lines.append(f"It waits in the queue as {job.label} ({job.name}) since {case.when(submission.by.get('at'))}: {waits(job.reason)}.")
    if job.reason.strip("()") == "Dependency" and canary and canary != case.state.trial_id:
        lines.append(_canary(case, canary))
    return lines


def _canary(case: Case, canary: str) -> str:
    state = read_state(case.runs / "trials" / canary)
    at = f" at step {state.step}" if state.step is not None and state.status == "running" else ""
    return f"The first trial of the sweep, {canary}, must pass its first steps before the others start; it is {state.reason}{at}."


def _running(case: Case) -> list[str]:
    state = case.state
    job = f", job {_job(state.job)}" if state.job else ""
    lines = [f"Attempt {state.attempt} runs on {state.host} (process {state.record.get('pid')}{job}) since {case.when(state.started)}."]
    if state.phase:
        step = "" if state.step is None else f", step {state.step}" + (f" of {state.max_steps}" if state.max_steps else "")
        loss = "" if state.loss is None else f", loss {state.loss:.3f}"
        left = "" if state.eta_seconds is None else f", about {span(state.eta_seconds)} left"
        lines.append(f"It is {state.phase}{step}{loss}{left}.")
    lines += [f"It went on from step {state.record['resumed_from_step']}."] if state.record.get("resumed_from_step") else []
    others = _company(case)
    lines += [f"It runs together with {company.named(others)}, on one base model."] if others else []
    lines += _heartbeat(case)
    if (case.folder / "cancel.json").exists():
        lines.append("A person cancelled it; it has been told to stop or will be before its next start.")
    return lines


def _company(case: Case) -> list[str]:
    """Whom it has met in its bundle and who runs still, as far as its sweep can tell."""
    ended = {state.trial_id for state in case.place.states if state.status != "running"} if case.place else set()
    return [one for one in company.others(case.state.record) if one not in ended]


def _heartbeat(case: Case) -> list[str]:
    silence = heartbeat.silent(case.folder, case.state, case.now.timestamp())
    if silence is None:
        return [f"Its last heartbeat was {span(heartbeat.age(case.folder, case.state, case.now.timestamp()))} ago."]
    still = f"Its heartbeat has stood still for {span(silence)}, though it should count every {span(heartbeat.every(case.state))}"
    if process_gone(case.state.record) is False:
        return [f"{still}: the process is there, but stopped or stuck (`persona-exp logs {case.state.trial_id}` shows its last words)."]
    takes = f"; once that is certain, whoever works on the sweep takes it over {_from_checkpoint(case)}"
    here = case.state.host == node()
    why = "its process cannot be seen from here and may be gone" if here else "its node may be gone or cut off from the file system"
    return [f"{still}: {why}{takes}, and {case.command} does so too."]


def _interrupted(case: Case) -> list[str]:
    return [*_interruption(case), *_next(case)]


def _interruption(case: Case) -> list[str]:
    """By what the last attempt was interrupted, and from where the next goes on."""
    state = case.state
    who, at = f"Attempt {state.attempt} on {state.host}", f" at step {state.step}" if state.step is not None else ""
    ended = f" {case.when(state.ended)}" if state.ended else ""
    if state.cause == "out_of_memory":
        had = used(state.record).text()
        goes_on = f"{(state.message or 'it goes on').capitalize()} at the same effective batch, {_from_checkpoint(case)}."
        return [f"{who} ran out of memory{f' with {had}' if had else ''}{at}{ended}.", goes_on]
    said = f" ({state.message})" if state.message else ""
    cause = happened(state.cause or state.record.get("cause") or "killed")
    return [f"{who} was interrupted{at}{ended}: {cause}{said}. The next goes on {_from_checkpoint(case)}."]


def _from_checkpoint(case: Case) -> str:
    if (case.folder / "adapter").is_dir():
        return "with its evaluation, since its adapter is there"
    saved = saved_step(case.folder)
    return f"from the checkpoint of step {saved}" if saved else "from the beginning, since no checkpoint was saved yet"


def _failed(case: Case) -> list[str]:
    state = case.state
    ended = f" {case.when(state.ended)}" if state.ended else ""
    cause = f": {CAUSES[state.cause]}" if state.cause in CAUSES else ""
    lines = [f"Attempt {state.attempt} on {state.host} failed{ended}{cause}.", *failure_lines(case.folder, state)]
    remedy = REMEDIES.get(state.cause or "", "The traceback says where.").format(trial=state.trial_id)
    lines.append(f"{remedy} Once that is seen to, `persona-exp retry {state.trial_id}` lets it try again.")
    return [*lines, *(_held(case.place, case) if case.place and case.place.hold else [])]


def _cancelled(case: Case) -> list[str]:
    path = case.folder / "cancel.json"
    told = read_json(path) if path.stat().st_size else {}
    by = f" by {told['by']}" if told.get("by") else ""
    again = f"`persona-exp retry {case.state.trial_id}` takes that back, and so does {case.command}."
    return [f"It was cancelled{by} {case.when(told.get('at'))}.", again]


def _finished(case: Case) -> list[str]:
    state = case.state
    done = f"Attempt {state.attempt} on {state.host} finished it {case.when(state.ended)}; it took {span(state.seconds)}."
    lines = [done] if state.record.get("status") == "finished" else ["All that is asked of it is published."]
    evaluations = len(list((case.folder / "evaluations").glob("[!.]*")))
    what = ["its adapter"] if (case.folder / "adapter" / "adapter_config.json").exists() else []
    what += [several(evaluations, "evaluation")] if evaluations else []
    lines.append(f"Whoever asks for it again skips it, since {' and '.join(what) or 'its result'} {_is(what, evaluations)} there.")
    return [*lines, *_code(case)]


def _is(what: list[str], evaluations: int) -> str:
    return "are" if len(what) > 1 or evaluations > 1 else "is"


def _code(case: Case) -> list[str]:
    """With which code it was made, and whether the code here is another by now."""
    from persona_exp.trial.provenance import code

    made = case.state.record.get("code") or (case.provenance.get("code") or {}).get("digest")
    if not made:
        return []
    now = code()["digest"]
    commit = (case.provenance.get("code") or {}).get("commit")
    told = f"It was made with code {made[:12]}" + (f" (commit {commit[:10]})" if commit else "")
    if now == made:
        return [f"{told}, which is the code here."]
    return [f"{told}; the code here is another ({now[:12]}), which changes nothing of a result that stands."]


def _pruned(case: Case) -> list[str]:
    said = f": {case.state.message}" if case.state.message else ""
    at = f" at step {case.state.step}," if case.state.step is not None else ""
    return [f"The search stopped it{at} {case.when(case.state.ended)}, since others promised more{said}."]


def _missing(case: Case) -> list[str]:
    return [f"Nothing of it is on disk: {case.command} seals it again."]


def _job(job: dict[str, Any]) -> str:
    return f"{job['array_id']}_{job['task_id']}" if job.get("array_id") and job.get("task_id") is not None else f"{job.get('id')}"


_ANSWERS: dict[str, Callable[[Case], list[str]]] = {
    "sealed": _waiting,
    "queued": _queued,
    "running": _running,
    "interrupted": _interrupted,
    "failed": _failed,
    "cancelled": _cancelled,
    "finished": _finished,
    "pruned": _pruned,
    "missing": _missing,
}
