"""A worker's command.

    python -m persona_exp.launch.workers SUBMISSION.json [--first OFFSET] [--task K] [--gpu N] [--quiet]
    python -m persona_exp.launch.workers --seal PATH [--seal PATH …]

Exit code: 75 when it was asked to leave, else 1 when one of its trials failed, else 0.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.full_disk import is_full, when_there_is_room
from persona_exp.launch.sweeps.canary_trial import hold_if_it_never_began
from persona_exp.launch.sweeps.never_began import note_began
from persona_exp.launch.sweeps.submission_record import Submission, read
from persona_exp.launch.workers.output_relay import print_line
from persona_exp.launch.workers.training_process import TrainingProcess
from persona_exp.launch.workers.visible_gpus import gpus_asked
from persona_exp.launch.workers.worker_loop import INTERRUPTED, Worker
from persona_exp.launch.workers.worker_requeue import requeue_away_from_failed_node
from persona_exp.launch.workers.worker_tasks import tasks_of_seals, tasks_of_submission
from persona_exp.lossy_output import outlive_full_disk
from persona_exp.process_identity import node_name
from persona_exp.process_signals import die_with_parent
from persona_exp.trial.asked_gpu import VARIABLE as ASKED_GPU


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker's command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m persona_exp.launch.workers", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("submission", nargs="?", type=Path, help="runs/sweeps/NAME/submissions/NUMBER.json")
    parser.add_argument("--seal", action="append", type=Path, default=[], help="a trial of no sweep, by its seal")
    parser.add_argument("--first", type=int, default=0, help="the first task of this job's array")
    parser.add_argument("--task", type=int, help="the task, counted from --first (default: SLURM_ARRAY_TASK_ID)")
    parser.add_argument("--gpu", help="the GPU to work on")
    parser.add_argument("--parent", type=int, help="process that must be alive")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    given = parser.parse_args(arguments)
    if (given.submission is None) == (not given.seal):
        parser.error("give a submission or --seal PATH")
    with TrainingProcess(gpu=given.gpu, log=not given.seal) as child:
        if given.parent:
            die_with_parent(signal.SIGTERM)
            if os.getppid() != given.parent:
                return INTERRUPTED
        try:
            return _work(given, child)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            return 2
        except OSError as error:
            if not is_full(error):
                raise
            print(f"Left while the disk was full ({error}): what is left goes on when there is room.", flush=True)
            return INTERRUPTED


def _work(given: argparse.Namespace, child: TrainingProcess) -> int:
    if given.seal:
        return Worker(tasks_of_seals(given.seal), child).run()
    submission = read(given.submission)
    if submission.launcher == "slurm":
        _note_began(submission, child)
        os.environ[ASKED_GPU] = gpus_asked(submission.options.get("sbatch", {})) or ""
    alone = given.task is not None
    task = given.first + (given.task if alone else int(os.environ.get("SLURM_ARRAY_TASK_ID") or 0))
    if task >= len(submission.tasks):
        raise UserError(f"{given.submission} has {counted(len(submission.tasks), 'task')}: there is no task {task}.")
    if requeue_away_from_failed_node(submission):
        print_line(f"{node_name()} has failed under this sweep before: this job was put back for another node.")
        return INTERRUPTED
    with_canary = submission.canary and submission.launcher == "slurm"
    canary = with_canary and alone and task == 0
    if with_canary and not canary:
        hold_if_it_never_began(submission, print_line)
    quiet: Any = (lambda seal: None) if given.quiet else None
    return Worker(tasks_of_submission(submission), child, task=task, canary=canary, announce=quiet).run()


def _note_began(submission: Submission, child: TrainingProcess) -> None:
    """Note it, waiting while the disk is full: without the note this job's end would call off the others."""
    try:
        when_there_is_room(lambda: note_began(submission), lambda: child.signalled is not None, print_line)
    except OSError as error:
        print_line(f"That this job has begun cannot be noted: {error}")


if __name__ == "__main__":
    outlive_full_disk()
    sys.exit(main())
