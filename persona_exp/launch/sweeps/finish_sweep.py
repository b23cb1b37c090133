"""The end of a sweep: which cells are missing and why, what it has used, and its report."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.errors import UserError
from persona_exp.full_disk import require_room
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.recovery.retry_decision import decide
from persona_exp.launch.sweeps import trial_set
from persona_exp.launch.sweeps.listed_asks import list_asked_trials
from persona_exp.launch.sweeps.submission_record import worker_jobs
from persona_exp.launch.sweeps.trial_set import SweepTrial
from persona_exp.project_folders import ROOT
from persona_exp.search.study_settings import is_search
from persona_exp.trial.curve_links import link_curves
from persona_exp.trial.trial_status import read_status, stopped_as

if TYPE_CHECKING:
    from persona_exp.search.rebuilt_study import RebuiltStudy

# More missing trials than this are only counted.
MOST_LINES = 20


def finish_sweep(sweep_folder: Path) -> int:
    """Print what is missing and what was used, write the report, and return 0 when every trial is finished, 1 when not."""
    from persona_exp.launch.cost.hours_used import compare

    trials = trial_set.read(sweep_folder)
    observer = Observer()
    search = sweep_folder.name if is_search(sweep_folder) else None
    if search:
        list_asked_trials(sweep_folder)
    nexts = {one.seal: decide(one.directory(sweep_folder), one.seal_name, observer.liveness, search).next for one in trials}
    # A search has given some up, and meant to.
    left = [one for one in trials if nexts[one.seal] not in ("finished", "pruned", "paused")]
    # Of one that a person stopped another has what it had learnt.
    missing = [one for one in left if stopped_as(one.directory(sweep_folder).path) is None]
    _print_missing(sweep_folder, missing, len(trials))
    try:
        link_curves(sweep_folder)
    except OSError as error:
        # The report does not need them.
        print(
            f"{error.filename} cannot be made ({error.strerror}): the curves of the trials lie in their own folders.",
            file=sys.stderr,
            flush=True,
        )
    rehearsal = all(one.engine == "noop" for one in trials)
    if search and not rehearsal:
        write_search(sweep_folder)
    code = report(sweep_folder, rehearsal=rehearsal)
    used = compare(sweep_folder, sweep_folder.parent.parent, worker_jobs(sweep_folder))
    if used:
        print(used, flush=True)
    return 1 if missing else code


def report(sweep_folder: Path, *, rehearsal: bool = False) -> int:
    """Write and print a sweep's tables and figures, in a process of its own, for analysis imports nothing of ours; return the exit code.

    A rehearsal (engine=noop) has none. Raise OSError where the disk is full.
    """
    if rehearsal:
        return 0
    command = [sys.executable, "-m", "analysis.report", str(sweep_folder.absolute())]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        # Whatever it says, where the disk is full that is why.
        require_room(sweep_folder)
    return code


def write_search(sweep_folder: Path) -> None:
    """Write what the figures of a search are drawn from, and the study into the storage that its command names."""
    from persona_exp.search.rebuilt_study import RebuiltStudy
    from persona_exp.search.search_record import write_search_record
    from persona_exp.search.study_export import export_study

    study = RebuiltStudy(sweep_folder.absolute())
    study.refresh()
    write_search_record(study)
    if study.settings.storage:
        try:
            print(f"The study is in {export_study(study, study.settings.storage)}.", flush=True)
        except (UserError, OSError) as error:
            # The results are on disk all the same.
            print(f"The study was not written to hydra.sweeper.storage: {error}", file=sys.stderr, flush=True)


def search_figures(study: "RebuiltStudy", *, quiet: bool) -> int:
    """Draw a search's figures as they are by now, in a process of its own, and name them unless `quiet`; return the exit code."""
    from persona_exp.search.search_record import write_search_record

    write_search_record(study)
    command = [sys.executable, "-m", "analysis.search_report", str(study.folder)]
    return subprocess.run(command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL if quiet else None).returncode


def _print_missing(sweep_folder: Path, missing: Sequence[SweepTrial], trials: int) -> None:
    held = sweep_hold.read(sweep_folder)
    if held:
        reason = f"The sweep is held: {held['message'].rstrip('.')}"
        print(f"{reason}; when that is seen to, `persona-exp retry {sweep_folder.name}` lets it go on.")
    for one in missing[:MOST_LINES]:
        state = read_status(one.directory(sweep_folder).path)
        print(f"missing: {one.title} (trial {one.trial_id}) is {state.reason}{': ' + state.message if state.message else ''}")
    if len(missing) > MOST_LINES:
        print(f"and {len(missing) - MOST_LINES} more")
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        print(f"{len(missing):,} of {trials:,} trials {verb} missing; `persona-exp why TRIAL` tells more.", flush=True)
