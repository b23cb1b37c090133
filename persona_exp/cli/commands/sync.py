"""`persona-exp sync [SWEEP|TRIAL…]`: upload what tracker=wandb recorded offline."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_sweep_or_trial
from persona_exp.cli.runs_folder import runs_folder, trial_ids
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.training.wandb_upload import OfflineRun, UploadResult, offline_runs, upload
from persona_exp.trial.attempt_records import attempt_files
from persona_exp.trial.recorded_sweep import read_sweep
from persona_exp.trial.trial_status import read_status

# Trials that are handed to one `wandb sync`, which takes seconds to begin. All attempts of a trial go to one, for their order counts.
TRIALS_AT_ONCE = 16


@dataclass(frozen=True)
class AttemptRun:
    """What an attempt recorded offline, and whether it is `pending` or why not: uploaded `already`, still `running`, or `empty`."""

    trial_id: str
    attempt: int
    run: OfflineRun
    state: str

    @property
    def facts(self) -> dict[str, Any]:
        return {"trial_id": self.trial_id, "attempt": self.attempt, "path": str(self.run.path)}


def add_commands(nouns: Any) -> None:
    """Add the verb `sync`."""
    sync = nouns.add_parser("sync", help="upload what tracker=wandb recorded offline")
    sync.add_argument("names", nargs="*", metavar="SWEEP|TRIAL", help="names or ids, or the beginning of them (default: all trials)")
    sync.add_argument("--dry-run", action="store_true", help="say what would be uploaded")
    sync.add_argument("--json", action="store_true", help="print JSON")
    sync.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    found = [one for trial_id in _trials(runs, arguments.names) for one in _recorded(runs / "trials" / trial_id)]
    pending = [one for one in found if one.state == "pending"]
    if arguments.dry_run or not pending:
        results: dict[OfflineRun, UploadResult] = {}
    else:
        _require_server()
        results = _upload(pending)
    uploaded = [one for one in pending if one.run in results and results[one.run].failure is None]
    failed = [one for one in pending if one.run in results and results[one.run].failure is not None]
    answer = {
        "dry_run": arguments.dry_run,
        "pending": [one.facts for one in pending if one.run not in results],
        "uploaded": [{**one.facts, "url": results[one.run].url} for one in uploaded],
        "failed": [{**one.facts, "message": results[one.run].failure} for one in failed],
        **{state: [one.facts for one in found if one.state == state] for state in ("already", "running", "empty")},
    }
    if not arguments.json:
        _print(answer)
    return int(bool(failed)), answer


def _trials(runs: Path, names: Sequence[str]) -> list[str]:
    if not names:
        return trial_ids(runs)
    found: list[str] = []
    for sweep, trial in (find_sweep_or_trial(runs, name) for name in names):
        found += [one.trial_id for one in read_sweep(runs, sweep).trials] if sweep else [trial] if trial else []
    return list(dict.fromkeys(found))


def _recorded(folder: Path) -> Iterator[AttemptRun]:
    """Yield what the attempts of the trial in `folder` recorded. What still runs is left alone: what comes later would stay behind."""
    found = [(int(path.stem), run) for path in attempt_files(folder) for run in offline_runs(path.with_suffix(""))]
    state = read_status(folder) if found else None
    for attempt, run in found:
        running = state is not None and state.status == "running" and state.attempt == attempt
        what = "already" if run.uploaded else "running" if running else "empty" if run.empty else "pending"
        yield AttemptRun(folder.name, attempt, run, what)


def _require_server() -> None:
    from persona_exp.training.wandb_server import key_at_hand, server_refusal, server_url

    if not key_at_hand():
        raise UserError(f"There is no key of Weights & Biases ({server_url()}) here: run `wandb login`, or set WANDB_API_KEY.")
    refusal = server_refusal()
    if refusal:
        raise UserError(f"Weights & Biases cannot be used from here ({refusal}): mend the key or the network, or go where there is one.")


def _upload(pending: Sequence[AttemptRun]) -> dict[OfflineRun, UploadResult]:
    from persona_exp.progress_bar import progress

    trials = [list(own) for _, own in groupby(pending, key=lambda one: one.trial_id)]
    results: dict[OfflineRun, UploadResult] = {}
    with progress("Uploading", len(trials)) as meter:
        for first in range(0, len(trials), TRIALS_AT_ONCE):
            batch = trials[first : first + TRIALS_AT_ONCE]
            results |= upload([one.run for own in batch for one in own])
            meter.advance(len(batch))
    return results


def _print(answer: dict[str, Any]) -> None:
    for one in answer["pending"]:
        print(f"would upload: {_place(one)}")
    for one in answer["uploaded"]:
        print(f"uploaded: {_place(one)}" + (f", {one['url']}" if one["url"] else ""))
    for one in answer["failed"]:
        print(f"failed: {_place(one)}: {one['message']}")
    for one in answer["running"]:
        print(f"left, for it is still running: {_place(one)}")
    for one in answer["empty"]:
        print(f"left, for it was killed before anything was written: {_place(one)}")
    if answer["already"]:
        trials = {one["trial_id"] for one in answer["already"]}
        print(f"{counted(len(answer['already']), 'attempt')} of {counted(len(trials), 'trial')} had been uploaded before.")
    if not any(answer[key] for key in ("pending", "uploaded", "failed", "running", "empty", "already")):
        print("Nothing was recorded offline: tracker=wandb does so where WANDB_MODE=offline, on compute nodes, and without a key.")


def _place(one: dict[str, Any]) -> str:
    return f"trial {one['trial_id']}, attempt {one['attempt']}"
