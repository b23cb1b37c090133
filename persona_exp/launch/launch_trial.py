"""One trial, from its config to its figures on the screen.

python -m persona_exp.launch.launch_trial SEAL      goes on with the trial of a seal
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.config.schema import Config
from persona_exp.control_characters import escaped_text
from persona_exp.counted_noun import of_number
from persona_exp.errors import UserError
from persona_exp.launch.detached_process import say_begun
from persona_exp.launch.host_room import refuse_too_large
from persona_exp.launch.job_resume_command import write_resume_command
from persona_exp.launch.launcher_options import LocalOptions, environment_scratch, warning_if_run_here
from persona_exp.launch.recovery.retry_decision import allow_after_site_faults, undo_cancellations
from persona_exp.launch.sweep_forecast import device_of
from persona_exp.launch.workers.local_workers import run_alone
from persona_exp.launch.workers.worker_tasks import tasks_of_seals
from persona_exp.lossy_output import outlive_full_disk
from persona_exp.process_signals import exit_resumable_on_signal
from persona_exp.project_folders import ROOT
from persona_exp.trial.asked_alone import note_asked_alone
from persona_exp.trial.engine_selection import alone_reason
from persona_exp.trial.evaluate_trial import owed_evaluations
from persona_exp.trial.lost_attempts import begin_anew
from persona_exp.trial.mended_records import mend_attempts
from persona_exp.trial.runs_reader import read_trial
from persona_exp.trial.seal import Sealed, SealedInputs, read_seal, trial_id_of
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.tracked_run import refuse_unusable_trackers
from persona_exp.trial.trial_directory import trial_directory
from persona_exp.trial.trial_pipeline import seal_trial

if TYPE_CHECKING:
    from omegaconf import DictConfig


def launch_trial(composed: "DictConfig", *, command: str) -> int:
    """Seal and run the trial that Hydra composed, print its metrics, and return the exit code."""
    if warning := warning_if_run_here(composed.cluster):
        print(warning, file=sys.stderr, flush=True)
    refuse_unusable_trackers([composed.tracker.name])
    trial, config = seal_trial(composed, command=command)
    if not all_published(trial.path):
        alone = device_of(LocalOptions(), config.cluster, None)
        refuse_too_large([config], alone.memory_gb, gpu=bool(alone.gpus))
    if reason := alone_reason(config):
        print(f"The trial runs alone ({reason}).", flush=True)
    note_asked_alone(trial.directory, command)
    write_resume_command(trial.path, "persona_exp.launch.launch_trial", str(trial.path.absolute()))
    take_back(trial)
    say_begun(f"persona-exp logs -f {trial.trial_id}, show {trial.trial_id}, cancel {trial.trial_id}")
    return _run(trial, config)


def take_back(trial: Sealed) -> None:
    """A person who asks for a trial again takes back what was cancelled, and vouches for the site."""
    if undo_cancellations([trial.directory]):
        print(f"Trial {trial.trial_id} was cancelled; this takes that back.", flush=True)
    for lost in begin_anew([trial.directory.path]):
        print(lost, flush=True)
    for kept in mend_attempts([trial.directory]):
        print(f"A damaged record was written anew; what it said is kept in {kept}.", flush=True)
    allow_after_site_faults([trial.directory], [trial.path.name])


def main(path: Path) -> int:
    """Go on with the trial of the seal at `path` and return the exit code."""
    try:
        trial, config = read_seal(path)
        print(f"Trial {trial.trial_id} goes on as it was sealed.", flush=True)
        return _run(trial, config)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(trial: Sealed, config: Config) -> int:
    from persona_exp.launch.workers.visible_gpus import gpus_here

    if all_published(trial.path):
        print(f"Trial {trial.trial_id} is finished already.")
    else:
        work = tasks_of_seals([trial.path], config.cluster.lease_seconds, environment_scratch(config.cluster))
        code = run_alone(work, config.method.name, gpus_here())
        if code:
            return code
    if config.engine.name != "noop":
        _show(trial, config)
    return 0


def _show(trial: Sealed, config: Config) -> None:
    from rich.console import Console
    from rich.table import Table

    found = {one.eval_id: one for one in read_trial(trial.directory.runs, trial.trial_id).evaluations}
    evaluations = [found[eval_id] for eval_id in read_seal_facts(trial.path)["evaluations"].values()]
    table = Table(title=escaped_text(f"{config.persona.name}, {config.evaluation.split} split"))
    table.add_column("metric")
    for one in evaluations:
        table.add_column(one.condition, justify="right")
    table.add_column("n", justify="right")
    # A model that says no word has no period terms, so not every evaluation has every metric.
    for name, metric in {name: metric for one in evaluations for name, metric in one.metrics.items()}.items():
        values = [f"{one.metrics[name]['value']:.3f}" if name in one.metrics else "–" for one in evaluations]
        table.add_row(name, *values, f"{metric['n']} {of_number(metric['n'], metric['unit'])}")
    console = Console()
    console.print(table)
    _print_with_base(trial, config)
    console.print(f"{trial.directory.path}", soft_wrap=True)


def _print_with_base(trial: Sealed, config: Config) -> None:
    """Print the trial's row and the base model's, as far as that is measured on these data, with intervals: in a process of its own, for
    analysis imports nothing of ours."""
    facts = read_seal_facts(trial.path)
    role = "adapter" if config.method.name != "none" else "base"
    asked = [{"trial_id": trial.trial_id, "role": role, "evaluations": facts["evaluations"]}]
    if config.method.name != "none":
        base = replace(config, method=replace(config.method, name="none"))
        inputs = SealedInputs(config.model.location, config.model.revision, facts["model_digest"], facts["data_id"], facts["data_sha256"])
        base_id = trial_id_of(base, inputs)
        owed = {one.condition: one.eval_id for one in owed_evaluations(base, base_id, facts["data_id"])}
        measured = trial_directory(trial.directory.runs, base_id).evaluations
        if all((measured / eval_id).is_dir() for eval_id in owed.values()):
            asked = [{"trial_id": base_id, "role": "base", "evaluations": owed}, *asked]
    # The base model of the trial's own precision, which method=none alone would not be.
    own = [f"method.quantisation={config.method.quantisation}"] if config.method.quantisation != "none" else []
    own += [f"model.dtype={config.model.dtype}"] if config.method.name == "full" else []
    settings = " ".join(["method=none", *own])
    command = [sys.executable, "-m", "analysis.trial_table", str(trial.directory.runs), json.dumps(asked), settings]
    subprocess.run(command, cwd=ROOT, check=False)


if __name__ == "__main__":
    outlive_full_disk()
    exit_resumable_on_signal()
    sys.exit(main(Path(sys.argv[1])))
