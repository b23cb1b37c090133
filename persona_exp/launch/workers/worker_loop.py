"""One worker: runs its planned trials through a child, then all else of the sweep that nobody has claimed, then leaves.

It imports no torch, and knows trials from their files alone.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from persona_exp.errors import UserError
from persona_exp.full_disk import is_full, require_room, when_there_is_room
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.failed_nodes import note_failed_node
from persona_exp.launch.recovery.failure_cause import failure_cause
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.recovery.memory_backoff import AS_SEALED, least_limits
from persona_exp.launch.recovery.retry_decision import STOPS, Decision, decide
from persona_exp.launch.sweeps.canary_trial import Canary, call_off
from persona_exp.launch.sweeps.search_failures import hold_if_too_much_failed
from persona_exp.launch.workers.close_dead_attempts import ProcessEnd, attempt_of, close_dead, displaced, fail_if_stopped_too_often
from persona_exp.launch.workers.output_relay import print_line
from persona_exp.launch.workers.training_process import ProcessExit, TrainingProcess
from persona_exp.launch.workers.worker_requeue import requeue_worker
from persona_exp.launch.workers.worker_tasks import WorkerTasks, seal_name
from persona_exp.process_identity import this_job
from persona_exp.trial.attempt_records import DAMAGED, attempt_files, read_record
from persona_exp.trial.training_child import DISK_FULL
from persona_exp.trial.trial_directory import TrialDirectory
from persona_exp.trial.trial_status import stopped_as

FINISHED, FAILED, INTERRUPTED = 0, 1, 75

# Workers that look for work at the same moment would all find the same trial first.
SPREAD = 32
POLL_SECONDS = 1.0
# How often a running trial is checked: for a person's cancellation, and as long as it is the canary.
CHECK_SECONDS, CANARY_SECONDS = 5.0, 1.0
ASKED = tuple(-number for number in (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT))

Answer = TypeVar("Answer")
Batch = list[tuple[str, Decision]]
# What may have something to run yet, here or elsewhere.
OPEN = ("run", "wait", "paused", "elsewhere")
AS_BEGUN = Decision("run", "the training process has taken it up")


class Worker:
    """One go through a sweep: `ended` says of each trial (by seal) that it has nothing to do with any more how that one ended."""

    def __init__(
        self,
        tasks: WorkerTasks,
        child: TrainingProcess,
        *,
        task: int = 0,
        canary: bool = False,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        """`task` is its planned one; `announce` is called with each seal before it runs."""
        self.ended: dict[str, str] = {}
        # A search's child ended in error before it had a trial.
        self.failed_to_ask = False
        self._tasks, self._child, self._task = tasks, child, task
        self._announce = announce or (lambda seal: print_line(f"Trial {seal.split('/')[0]}"))
        self._canary = Canary(tasks.submission, print_line) if canary and tasks.submission else None
        self._observer = Observer(tasks.lease_seconds, job=this_job())
        self._planned = tasks.tasks[task]
        self._others = (*tasks.tasks[task + 1 :], *tasks.tasks[:task])
        self._ran: set[str] = set()
        self._left = self._gone = self._cancelling = self._nothing_to_ask = self._without_gpu = False
        self._suspicious = False
        self._failed = 0
        self._watch_until: float | None = None

    def run(self) -> int:
        """Run what there is to run and return the exit code. It waits for nobody, except a lease at most for an attempt that seems dead."""
        while not self._leaving and not self._without_gpu:
            if self._held():
                break
            batch = self._with_room(self._next_batch)
            if batch or self._may_ask():
                self._watch_until = None
                self._run_batch(batch)
            elif self._worth_watching():
                time.sleep(POLL_SECONDS)
            else:
                break
        return self._leave()

    def _with_room(self, work: Callable[[], Answer]) -> Answer:
        """Return what `work` returns, waiting as long as the disk is full. Raise OSError once it is to leave."""
        return when_there_is_room(work, lambda: self._leaving, print_line)

    @property
    def _leaving(self) -> bool:
        return self._left or self._child.signalled is not None

    def _held(self) -> bool:
        held = sweep_hold.read(self._tasks.sweep_folder) if self._tasks.sweep_folder else None
        if held:
            print_line(f"Nothing new is started: the sweep is held, {held['message']}")
        return held is not None

    def _next_batch(self) -> Batch:
        """Return trials to run together next: planned ones, else those of another task that nobody has claimed."""
        self._suspicious = False
        planned = self._together(list(self._runnable([*self._planned, *self._tasks.asked()])))
        if planned or (self._canary and self._canary.jammed):
            return planned
        found = (batch for task in self._others if (batch := list(self._runnable(task))))
        *_, last = [[], *islice(found, self._task % SPREAD + 1)]
        return self._together(last)

    def _may_ask(self) -> bool:
        """Return whether a search may have more to run: it has asks left, or paused trials that may deserve to go on by now."""
        if not self._tasks.search or self._nothing_to_ask:
            return False
        return bool(self._tasks.to_ask()) or "paused" in self.ended.values()

    def _together(self, batch: Batch) -> Batch:
        """Return those of the batch that can share a child with its first: one code, one micro-batch."""
        if not batch or batch[0][1].limits.micro_batch_size:
            return batch[:1]
        code = self._tasks.code(batch[0][0])
        return [(seal, one) for seal, one in batch if self._tasks.code(seal) == code and not one.limits.micro_batch_size]

    def _runnable(self, seals: Sequence[str]) -> Iterator[tuple[str, Decision]]:
        for seal in seals:
            if seal in self.ended:
                continue
            found = self._decision(seal)
            if found.next == "run" and self._seal_readable(seal):
                yield seal, found
            elif found.next == "wait":
                self._suspicious |= found.suspicious
            else:
                self.ended[seal] = found.next
                if found.next == "failed":
                    self._record_failure(seal, found)

    def _record_failure(self, seal: str, found: Decision) -> None:
        """Record a failure that no attempt has recorded yet: nobody will claim the trial any more, so nobody else would."""
        if found.dead:
            self._close_dead(seal, max(found.dead), failed=True)
        elif found.cause in STOPS:
            fail_if_stopped_too_often(self._tasks.directory(seal), seal_name(seal))

    def _decision(self, seal: str) -> Decision:
        try:
            search = self._tasks.search
            found = decide(self._tasks.directory(seal), seal_name(seal), self._observer.liveness, search.name if search else None)
            if found.cause == DAMAGED:
                print_line(f"error: {found.why}")
            return found
        except OSError as error:
            # A file server that is away for a moment: neither a failure nor a reason to stay.
            print_line(f"error: trial {seal.split('/')[0]} cannot be read: {error}")
            return Decision("wait", f"{error}")

    def _worth_watching(self) -> bool:
        if not self._suspicious:
            return False
        if self._watch_until is None:
            self._watch_until = time.monotonic() + self._tasks.lease_seconds + 2 * POLL_SECONDS
        return time.monotonic() < self._watch_until

    def _run_batch(self, batch: Batch) -> None:
        """Run the batch in a child and settle what it leaves."""
        for seal, _ in batch:
            self._announce(seal)
        # A child that could not even claim its trial would be started for nothing.
        self._with_room(lambda: require_room(self._tasks.runs))
        causes = self._with_room(
            lambda: {seal.split("/")[0]: (max(one.dead), *self._close_dead(seal, max(one.dead))) for seal, one in batch if one.dead}
        )
        if any(cause == "out_of_memory" for _, cause, _ in causes.values()):
            # Written down, it makes for less at once.
            return
        self._cancelling, self._failed = False, 0
        self._child.copy_environment(self._tasks.environment_scratch)
        if self._leaving:
            return
        outcome = self._child.run(
            [self._tasks.path(seal) for seal, _ in batch],
            code=self._tasks.code(batch[0][0]) if batch else self._tasks.search_code or Path(),
            limits=least_limits([one.limits for _, one in batch], self._tasks.most_together([seal for seal, _ in batch]))
            if batch
            else AS_SEALED,
            held=sweep_hold.hold_file(self._tasks.sweep_folder.absolute()) if self._tasks.sweep_folder else None,
            sweep=self._tasks.sweep_folder,
            dead={trial: f"{number}={cause}={message}" for trial, (number, cause, message) in causes.items()},
            search=self._tasks.search,
            watch=lambda: self._check(batch),
            every_seconds=CANARY_SECONDS if self._canary and not self._canary.over else CHECK_SECONDS,
        )
        self._with_room(lambda: self._settle(batch, outcome))

    def _check(self, batch: Batch) -> None:
        """Check the batch while its child runs. What cannot be read now can be read when it has ended."""
        with suppress(OSError, UserError):
            directories = [self._tasks.directory(seal) for seal in self._concerned(batch)]
            if self._canary:
                self._canary.check(directories)
            self._hold_if_three_alike(directories)
            self._hold_failing_search()
            for directory in directories:
                if not self._cancelling and _cancelled(directory) and self._must_be_terminated(directory):
                    self._cancelling = True
                    print_line(f"Trial {directory.trial_id} was cancelled.")
                    self._child.terminate()

    def _concerned(self, batch: Batch) -> list[str]:
        """Return the seals of the batch, and those that the child may have asked for or taken up since."""
        asked = [seal for seal in self._tasks.asked() if seal not in self.ended]
        return list(dict.fromkeys([*(seal for seal, _ in batch), *asked]))

    def _must_be_terminated(self, directory: TrialDirectory) -> bool:
        """Return whether a cancelled trial runs in the child by itself: one in a bundle checks at each step, and leaves it alone."""
        found = attempt_of(directory, self._child.pid, self._child.started)
        return found is not None and found[1]["status"] == "running" and (found[1].get("together") or 1) == 1

    def _close_dead(self, seal: str, number: int, *, failed: bool = False) -> tuple[str, str]:
        """Note a failed node of a dead attempt, close it where it ran out of memory or its trial `failed`, and return (cause, message)."""
        directory = self._tasks.directory(seal)
        path = attempt_files(directory.path)[-1]
        record = read_record(path)
        if int(record["attempt"]) != number or record["status"] != "running":
            return str(record.get("cause")), str(record.get("message"))
        cause, message, proven = failure_cause(record)
        print_line(f"Trial {directory.trial_id}: attempt {number} is dead: {message}.")
        if cause == "node_failed" and proven and self._tasks.sweep_folder:
            note_failed_node(self._tasks.sweep_folder, record)
        if cause == "out_of_memory" or failed:
            # Its end was seen, or matters no more: a process that wakes up is fenced all the same.
            close_dead(directory, seal_name(seal), path, cause, message)
        return cause, message

    def _settle(self, batch: Batch, outcome: ProcessExit) -> None:
        """Read what the child's trials recorded, and close the attempts that died without recording their end."""
        end = ProcessEnd(outcome, at_once=self._child.stopped_at_once, signal=self._child.signalled)
        records = {seal: end.close_attempt(self._tasks.directory(seal), seal_name(seal)) for seal in self._concerned(batch)}
        given = {seal for seal, _ in batch}
        # What the child has asked for or taken up, and begun, is its batch too.
        batch = [*batch, *((seal, AS_BEGUN) for seal, record in records.items() if record is not None and seal not in given)]
        own = [record for record in records.values() if record is not None]
        if outcome.code < 0 and not self._leaving:
            killed = f"trial {batch[0][0].split('/')[0]}" if batch else "the search's process"
            print_line(f"error: {killed} was killed by {outcome.how}.")
        self._ran.update(seal for seal, _ in batch)
        if self._tasks.search:
            # A child that ends by itself has asked for all that there was.
            self._nothing_to_ask = not own or outcome.code in (FINISHED, FAILED)
            if outcome.code not in (FINISHED, INTERRUPTED, DISK_FULL, *ASKED) and not own:
                self.failed_to_ask = True
        if not own and batch and outcome.code not in (FINISHED, INTERRUPTED, DISK_FULL, *ASKED) and not self._leaving:
            own = self._never_began(batch[0][0], end)
        asked = outcome.code in ASKED or any(one.get("cause") == "signal" for one in own)
        self._gone = any(one.get("cause") == "superseded" for one in own) and any(
            displaced(self._tasks.directory(seal)) for seal, _ in batch
        )
        self._left |= self._gone or (asked and not self._cancelling)
        if not own and outcome.code in (FINISHED, INTERRUPTED):
            # It had nothing to do: done, or claimed by another in the same moment. What is open then is another worker's.
            self.ended.update({seal: "elsewhere" for seal, _ in batch if self._decision(seal).next == "run"})
        if self._canary:
            self._canary.check([self._tasks.directory(seal) for seal, _ in batch])
        self._after_failures([one for one in own if one["status"] == "failed"], batch)

    def _seal_readable(self, seal: str) -> bool:
        try:
            self._tasks.code(seal)
        except UserError as error:
            print_line(f"error: {error}")
            self.ended[seal] = "failed"
            return False
        return True

    def _never_began(self, seal: str, end: ProcessEnd) -> list[dict[str, Any]]:
        """Record that the child could not even claim its trial, lest it be started for ever."""
        try:
            record = end.never_began(self._tasks.directory(seal), seal_name(seal))
        except OSError as error:
            if is_full(error):
                raise
            print_line(f"error: trial {seal.split('/')[0]} could not begin, nor can that be recorded: {error}")
            self.ended[seal] = "failed"
            return []
        return [record] if record else []

    def _after_failures(self, failed: Sequence[dict[str, Any]], batch: Batch) -> None:
        """Hold the sweep where the failed trial is the canary or the third alike; else nothing else stops."""
        if not failed:
            return
        for one in failed:
            if one.get("cause") in STOPS:
                # The child took it for an interruption like any other.
                print_line(f"error: {one.get('message')}.")
            if one.get("cause") == "no_gpu":
                # All that is left would see as little: it is for another node.
                self._without_gpu = True
                if self._tasks.sweep_folder:
                    note_failed_node(self._tasks.sweep_folder, one)
        for seal, _ in batch:
            if self._canary and self._decision(seal).next == "failed":
                last = read_record(attempt_files(self._tasks.directory(seal).path)[-1])
                self._canary.fail(seal.split("/")[0], str(last.get("cause")), str(last.get("message")))
        self._hold()
        self._hold_failing_search()

    def _hold_if_three_alike(self, directories: Sequence[TrialDirectory]) -> None:
        """Hold the sweep while the child runs: in a bundle trials fail while others go on."""
        files = [found[-1] for directory in directories if (found := attempt_files(directory.path))]
        failed = sum(read_record(path)["status"] == "failed" for path in files)
        if failed > self._failed:
            self._failed = failed
            self._hold()

    def _hold_failing_search(self) -> None:
        """Hold a search of which more has failed than hydra.sweeper.max_failure_rate. Settings that do not train are part of a search:
        that they fail alike says nothing."""
        search = self._tasks.search
        if search and not sweep_hold.read(search) and hold_if_too_much_failed(search) and self._tasks.submission:
            call_off(self._tasks.submission, print_line)

    def _hold(self) -> None:
        """Hold the sweep where three of its trials have failed alike."""
        submission = self._tasks.submission
        if submission is None or sweep_hold.read(submission.sweep_folder):
            return
        if sweep_hold.hold_if_three_alike(submission.sweep_folder, self._tasks.runs, self._tasks.trial_ids):
            call_off(submission, print_line)

    def _leave(self) -> int:
        concerned = dict.fromkeys([*self._planned, *sorted(self._ran)])
        found = {seal: self.ended.get(seal) or self._decision(seal).next for seal in concerned}
        submission = self._tasks.submission
        held = bool(submission and sweep_hold.read(submission.sweep_folder))
        if self._leaving:
            open_still = [seal for seal, one in found.items() if one in ("run", "wait")]
            # A search's worker has trials to ask for, whatever it ran itself.
            left = bool(open_still) or bool(self._tasks.to_ask())
            if submission and left and not held and not self._gone:
                how = requeue_worker(submission, open_still)
                print_line(f"This job was {how}." if how else "What is left goes on when the command is given again.")
            # Where nothing can go on, nobody must come back for it.
            return FAILED if not left and self._failed_for_good({**found, **self.ended}) and self._all_ended() else INTERRUPTED
        if "failed" in found.values() or (held and "run" in found.values()) or self.failed_to_ask:
            return FAILED
        return FINISHED

    def _failed_for_good(self, found: Mapping[str, str]) -> bool:
        """Return whether one of these failed, or a person cancelled it."""
        return any(one == "failed" or (one == "cancelled" and _cancelled(self._tasks.directory(seal))) for seal, one in found.items())

    def _all_ended(self) -> bool:
        """Return whether no trial of the submission, nor any that was added or asked for, can go on."""
        seals = dict.fromkeys([*self._tasks.seals, *self._tasks.asked()])
        return not any((self.ended.get(seal) or self._decision(seal).next) in OPEN for seal in seals)


def _cancelled(directory: TrialDirectory) -> bool:
    """Return whether a person cancelled it; one that was stopped ends by itself."""
    return directory.cancelled.exists() and stopped_as(directory.path) is None
