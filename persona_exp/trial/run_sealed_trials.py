"""Run sealed trials in this process, each to its end or to the reason why not."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from persona_exp.errors import UserError
from persona_exp.training.stop_signals import Interrupted, Interruption
from persona_exp.trial.asked_gpu import NoGpu, refuse_missing_gpu
from persona_exp.trial.attempt_claim_and_heartbeat import HEARTBEAT_SECONDS, Attempt, claim
from persona_exp.trial.attempt_outcome import FAILED, FINISHED, INTERRUPTED, ended
from persona_exp.trial.attempt_output_log import LOG, kept
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.claimed_trial import ClaimedTrial
from persona_exp.trial.code_provenance import code_provenance
from persona_exp.trial.given_up import Pruning
from persona_exp.trial.hardware_and_versions import gpus, hardware, versions
from persona_exp.trial.noop_engine import run_noop
from persona_exp.trial.seal import read_seal
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.seal_verification import verify
from persona_exp.trial.trial_directory import TrialDirectory
from persona_exp.trial.trial_pipeline import run_trial
from persona_exp.trial.unbegun_seals import unbegun_seals

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.trial.trial_in_bundle import TrialInBundle

# By trial, the attempts that run no more, each with (cause, message).
Dead = Mapping[str, Mapping[int, tuple[str, str]]]


class PendingSeals(Protocol):
    """The seals that are still to be run."""

    # Whether what has been trained is evaluated before the next is asked for, which may depend on it.
    waits_for_results: bool

    def next_seal(self, base: str | None) -> Path | None:
        """Return the next, with a base only one that shares it; None when there is none now."""


class GivenSeals:
    """Seals in the order given, then those added to their sweep since; neighbours on one base model are run together."""

    waits_for_results = False

    def __init__(self, seals: Sequence[Path], sweep_folder: Path | None = None) -> None:
        self._seals, self._sweep_folder = deque(seals), sweep_folder
        self._code = _facts(seals[0]).get("code_folder") if seals else None
        self._taken = {path.parents[1].name for path in seals}

    def next_seal(self, base: str | None) -> Path | None:
        """Return the next, with a base only if it shares it."""
        if not self._seals and self._sweep_folder and self._code:
            added = [path for path in unbegun_seals(self._sweep_folder, self._code) if path.parents[1].name not in self._taken]
            self._seals.extend(added)
            self._taken.update(path.parents[1].name for path in added)
        if not self._seals or (base is not None and _facts(self._seals[0]).get("base") != base):
            return None
        return self._seals.popleft()


def run(
    seals: Sequence[Path] | PendingSeals,
    interruption: Interruption,
    *,
    pruning: Pruning | None = None,
    dead: Dead | None = None,
    log: bool = False,
    micro_batch_size: int | None = None,
    together: int | None = None,
    row_tokens: int | None = None,
    held: Path | None = None,
) -> int:
    """Run the trials of these seals one after the other, neighbours on one base model together where their engine does that; return
    the worst exit code.

    A trial that is finished or runs elsewhere is skipped, one that was interrupted goes on from its checkpoint. `dead` names, by trial,
    the attempts that another process has watched long enough, and what ended each; with `log` all output goes to the attempts' own logs.
    After a lack of memory `micro_batch_size` takes the place of the sealed one, at most `together` train at once, in rows of at most
    `row_tokens`. Once there is a file `held`, no further trial is started. `pruning` says which trials are given up before they are done.
    """
    worst, pending = FINISHED, GivenSeals(seals) if isinstance(seals, Sequence) else seals
    # Without the GPU that was asked for, the next trials would end as the first did: they are for another node.
    without_gpu: list[NoGpu] = []

    def stopped() -> bool:
        return bool(interruption.requested) or bool(held and held.exists()) or bool(without_gpu)

    while (path := pending.next_seal(None)) is not None:
        if stopped():
            return max(worst, INTERRUPTED)
        if base := _facts(path).get("base"):
            together_with = _ClaimedTrials(path, base, pending, interruption, stopped, dead or {}, log, pruning)
            together_with.without_gpu = without_gpu
            worst = max(worst, _run_together(together_with, interruption, together, row_tokens))
        else:
            worst = max(worst, _run_one(path, interruption, dead or {}, log, micro_batch_size, without_gpu))
    return worst


def _run_one(path: Path, interruption: Interruption, dead: Dead, log: bool, micro_batch_size: int | None, without_gpu: list[NoGpu]) -> int:
    directory, facts = TrialDirectory(path.absolute().parents[1]), _facts(path)
    attempt = _claimed(path, directory, facts, dead, micro_batch_size)
    if attempt is None:
        return FINISHED
    with kept(attempt.folder / LOG, away=log):
        try:
            with interruption.at_once():
                verify(path)
            if facts["engine"] == "noop":
                run_noop(directory, attempt, interruption)
            else:
                with interruption.at_once():
                    attempt.progress("loading")
                    config = read_seal(path)[1]
                    _describe(attempt, config)
                run_trial(ClaimedTrial(config, directory, facts["data_id"], attempt), interruption, micro_batch_size)
        except (Interrupted, Exception) as error:
            if isinstance(error, NoGpu):
                without_gpu.append(error)
            return ended(directory, attempt, error)
        return ended(directory, attempt)


def _run_together(trials: "_ClaimedTrials", interruption: Interruption, together: int | None, row_tokens: int | None) -> int:
    """Run as many as there are to be had as one bundle, each claimed when there is a place for it. All keep the bundle's output."""
    from persona_exp.trial.bundle_run import run_bundle

    codes = []
    with trials.output:
        first = next(trials, None)
        if first:
            ran = run_bundle(
                first, trials, interruption, together=together, row_tokens=row_tokens, evaluates_first=trials.pending.waits_for_results
            )
            codes = [trial.code or FINISHED for trial in ran]
    return max([FINISHED, *codes, *trials.codes])


class _ClaimedTrials:
    """Claims one pending trial of a base model after the other, until `stopped`; there may be none now, and another later.

    `codes` has those of trials that end before they train; `output` holds what is open as long as the bundle lasts.
    """

    def __init__(
        self,
        first: Path,
        base: str,
        pending: PendingSeals,
        interruption: Interruption,
        stopped: Callable[[], bool],
        dead: Dead,
        log: bool,
        pruning: Pruning | None,
    ) -> None:
        self.pending, self.codes, self.output = pending, list[int](), ExitStack()
        self.without_gpu = list[NoGpu]()
        self._first: Path | None = first
        self._base, self._interruption, self._stopped, self._dead, self._log = base, interruption, stopped, dead, log
        self._pruning = pruning
        # What trials become that a person has stopped: their places are free, and they have only to be published.
        self._successors: list[Path] = []
        self._kept_in: Path | None = None
        self._number = 0

    def __iter__(self) -> Iterator["TrialInBundle"]:
        return self

    def __next__(self) -> "TrialInBundle":
        while True:
            if self._successors:
                path: Path | None = self._successors.pop(0)
            else:
                path, self._first = self._first or self._next_path(), None
            if path is None:
                raise StopIteration
            if self._stopped():
                self.codes.append(INTERRUPTED)
                raise StopIteration
            trial = self._claim(path)
            if trial:
                return trial

    def _next_path(self) -> Path | None:
        """Return the next pending seal; none where it cannot be found now, which is no trouble of those that train."""
        try:
            return self.pending.next_seal(self._base)
        except Exception as error:
            print(f"error: no further trial can be had: {error}", file=sys.stderr, flush=True)
            self.codes.append(FAILED)
            return None

    def _claim(self, path: Path) -> "TrialInBundle | None":
        from persona_exp.trial.trial_in_bundle import TrialInBundle

        directory = TrialDirectory(path.absolute().parents[1])
        try:
            # Those before it in the queue may have taken days.
            attempt = None if directory.cancelled.exists() else _claimed(path, directory, _facts(path), self._dead)
        except (OSError, UserError) as error:
            # Its own trouble, while others train: the next worker sees to it.
            print(f"error: trial {directory.trial_id} cannot be claimed now: {error}", file=sys.stderr, flush=True)
            self.codes.append(INTERRUPTED)
            return None
        if attempt is None:
            return None
        try:
            if self._kept_in is None:
                self.output.enter_context(kept(attempt.folder / LOG, away=self._log))
                self._kept_in = attempt.folder / LOG
            else:
                os.link(self._kept_in, attempt.folder / LOG)
            with self._interruption.at_once():
                verify(path)
                config = read_seal(path)[1]
                _describe(attempt, config)
        except (Interrupted, Exception) as error:
            self.codes.append(ended(directory, attempt, error))
            if isinstance(error, NoGpu):
                self.without_gpu.append(error)
            return None
        self._number += 1
        claimed = ClaimedTrial(config, directory, read_seal_facts(path)["data_id"], attempt)
        return TrialInBundle(self._number - 1, claimed, self._pruning, self._successors)


def _claimed(
    path: Path, directory: TrialDirectory, facts: Mapping[str, Any], dead: Dead, micro_batch_size: int | None = None
) -> Attempt | None:
    """Return the trial's next attempt; None where there is nothing left to do, or others do it."""
    if facts and _settled(path, directory):
        return None
    attempt = claim(
        directory.attempts,
        dead=dead.get(directory.trial_id, {}),
        heartbeat_seconds=facts.get("heartbeat_seconds", HEARTBEAT_SECONDS),
        unless=lambda: bool(facts) and _settled(path, directory),
        seal=path.name,
        config=facts.get("config"),
        code=facts.get("code"),
        **({"micro_batch_size": micro_batch_size} if micro_batch_size else {}),
    )
    if attempt is None:
        print(f"Trial {directory.trial_id} is done or runs elsewhere: skipped.", flush=True)
    return attempt


def _describe(attempt: Attempt, config: "Config") -> None:
    """Make the process ready for the trial, and note what computes it. Raise NoGpu where it would compute on other than was asked for."""
    refuse_missing_gpu(config.cluster.gpus_per_node)
    threads = _prepare_process(config.cluster.threads, attempt.folder)
    attempt.note(code=code_provenance()["digest"], versions=versions(), hardware=hardware(), threads=threads, gpus=gpus())


def _facts(path: Path) -> dict[str, Any]:
    """Return what the seal says; nothing where it cannot be read, which verifying it will say."""
    try:
        return read_seal_facts(path)
    except UserError:
        return {}


def _settled(path: Path, directory: TrialDirectory) -> bool:
    """Return whether nothing is left to do or to say: a process may have been killed between its last result and its last word."""
    records = attempt_files(directory.path)
    return all_published(path) and (not records or read_record(records[-1])["status"] in ("finished", "pruned"))


def _prepare_process(threads: int | None, folder: Path) -> int:
    """Set up what computes and tracks; return the number of threads."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    # wandb writes beside the attempt's own log, never into the working directory.
    os.environ["WANDB_DIR"] = str(folder.absolute())
    return torch.get_num_threads()
