"""The command line and the process of a training child, whatever it takes its trials from."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.full_disk import is_full
from persona_exp.process_signals import die_with_parent

if TYPE_CHECKING:
    from persona_exp.training.stop_signals import Interruption


# sysexits.h's EX_IOERR.
DISK_FULL = 74


def child_parser(program: str, description: str) -> argparse.ArgumentParser:
    """Return the options that every training child has."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--parent", type=int, help="process that must be alive")
    parser.add_argument("--log", action="store_true", help="write all output to the attempts' own logs")
    parser.add_argument("--micro-batch", type=int, help="examples at once, in place of the sealed number")
    parser.add_argument("--together", type=int, help="trials that train at once, at most, in place of bundle.size")
    parser.add_argument("--held", type=Path, help="a file: once it is there, no further trial is started")
    parser.add_argument("--row-tokens", type=int, help="tokens that go through the model at once, at most")
    parser.add_argument(
        "--dead",
        action="append",
        default=[],
        metavar="TRIAL=NUMBER[=CAUSE[=WORDS]]",
        help="an attempt that runs no more, whatever it says, and what ended it",
    )
    return parser


def start_child(arguments: argparse.Namespace) -> "Interruption | None":
    """Make the process ready and return its interruption; None where the parent is gone already."""
    from persona_exp.training.stop_signals import Interruption

    interruption = Interruption().listen()
    if arguments.parent:
        # A launcher that is killed outright sends no signal; the kernel does.
        die_with_parent(signal.SIGTERM)
        if os.getppid() != arguments.parent:
            return None
    # What libraries say of themselves while they load is not about the trial.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Rows of ever other lengths leave a GPU's memory in pieces otherwise.
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    warnings.filterwarnings("ignore", category=FutureWarning)
    return interruption


def run_unless_full(work: Callable[[], int]) -> int:
    """Return the exit code of `work`; DISK_FULL where a full disk kept it from recording what its trials have come to."""
    try:
        return work()
    except OSError as error:
        if not is_full(error):
            raise
        print(f"error: the disk is full: {error}", file=sys.stderr, flush=True)
        return DISK_FULL


def run_options(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Return what run_sealed_trials.run takes of the options."""
    return {
        "dead": _dead(arguments.dead),
        "log": arguments.log,
        "micro_batch_size": arguments.micro_batch,
        "together": arguments.together,
        "row_tokens": arguments.row_tokens,
        "held": arguments.held,
    }


def _dead(given: Sequence[str]) -> dict[str, dict[int, tuple[str, str]]]:
    dead: dict[str, dict[int, tuple[str, str]]] = {}
    for one in given:
        trial, number, *reported = one.split("=", 3)
        cause, words = [*reported, *("node_failed", "its heartbeat stood still")[len(reported) :]]
        dead.setdefault(trial, {})[int(number)] = cause, words
    return dead
