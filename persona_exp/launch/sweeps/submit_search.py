"""A search given to Slurm by the person's command: its workers as one array, each of which asks for trials as it goes."""

import sys
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Cluster
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.launch.launcher_options import SlurmOptions, launch_options, sbatch_options
from persona_exp.launch.recovery import sweep_hold
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.slurm.site_limits import limits_of_job
from persona_exp.launch.sweeps.finish_sweep import finish_sweep
from persona_exp.launch.sweeps.job_arrays import sbatch_texts, submit_jobs
from persona_exp.launch.sweeps.reconcile import reconcile_until_answered
from persona_exp.launch.sweeps.search_tasks import search_tasks
from persona_exp.launch.sweeps.submission_record import Submission, create, draft
from persona_exp.launch.sweeps.watch_sweep import DetachRequest, watch_sweep
from persona_exp.search.study_settings import StudySettings, read_settings


def submit_search(folder: Path, options: SlurmOptions, cluster: Cluster, workers: int) -> int:
    """Submit as many workers as are wanted unless there are some, watch to the end unless `wait` is off, and return the exit code."""
    with DetachRequest() as detach:
        held = sweep_hold.read(folder)
        if held:
            raise UserError(
                f"Search {folder.name} is held: {held['message'].rstrip('.')}; see to it, then `persona-exp retry {folder.name}`."
            )
        observer = Observer(cluster.lease_seconds)
        seen = reconcile_until_answered(folder, observer, lease=not options.wait, leave=lambda: detach.requested)
        if seen.unserved or seen.to_ask:
            made = _draft(folder, read_settings(folder), options, cluster, [one.seal for one in seen.unserved], workers, after=seen.after)
            if create(made):
                submit_jobs(made)
                print(f"Submitted {folder.name}: {counted(len(made.tasks), 'worker')} (jobs {made.job_name}).", flush=True)
            else:
                print(f"Another launcher has just submitted {folder.name}; attached to it.", flush=True)
        elif seen.going:
            print(f"{folder.name}: its workers are running or queued already; attached to them.", flush=True)
        else:
            return finish_sweep(folder)
        if not options.wait:
            print(f"Not waiting (hydra.launcher.wait=false): `persona-exp search {folder.name}` shows how it goes.", flush=True)
            return 0
        return watch_sweep(folder, detach=detach)


def print_scripts(folder: Path, settings: StudySettings, options: SlurmOptions, cluster: Cluster, workers: int) -> None:
    """Print the sbatch text of every job that would be submitted."""
    made = _draft(folder, settings, options, cluster, [], workers, after=0)
    for name, text in sbatch_texts(made, limits_of_job(made.options["sbatch"])):
        print(f"# ---- {name}.sbatch")
        print(text)


def _draft(
    folder: Path,
    settings: StudySettings,
    options: SlurmOptions,
    cluster: Cluster,
    unserved: list[str],
    workers: int,
    *,
    after: int,
) -> Submission:
    tasks = search_tasks(folder, unserved, workers) if folder.is_dir() else [()] * workers
    # No canary: settings that fail are part of a search, which hydra.sweeper.max_failure_rate holds.
    return draft(
        folder, launcher="slurm", tasks=tasks, options=_recorded(settings, options, cluster, workers), canary=False, after=after or None
    )


def _recorded(settings: StudySettings, options: SlurmOptions, cluster: Cluster, workers: int) -> dict[str, Any]:
    """Return what a later round needs to submit in the same way."""
    launch = {
        "python": sys.executable,
        "code_folder": settings.code_folder,
        **launch_options(options, cluster),
        "workers": workers,
    }
    return {"sbatch": sbatch_options(options, cluster), "launch": launch}
