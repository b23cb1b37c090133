"""The training child: `python -m persona_exp.trial --parent PID SEAL…`; it leaves in order when its parent dies."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from persona_exp.process import die_with_parent


def main() -> int:
    """Run the trials whose seals are named on the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m persona_exp.trial", description=__doc__)
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
    parser.add_argument("seals", nargs="+", type=Path, help="seals of trials")
    arguments = parser.parse_args()

    from persona_exp.training.interruption import Interruption

    interruption = Interruption().listen()
    if arguments.parent:
        # A launcher killed outright tells nobody; the kernel does.
        die_with_parent(signal.SIGTERM)
        if os.getppid() != arguments.parent:
            return 75

    # What libraries say of themselves while they load is not about the trial.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Rows of ever other lengths leave a GPU's memory in pieces otherwise.
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    warnings.filterwarnings("ignore", category=FutureWarning)

    from persona_exp.trial.run import run

    dead = _dead(arguments.dead)
    return run(
        arguments.seals,
        interruption,
        dead=dead,
        log=arguments.log,
        micro_batch_size=arguments.micro_batch,
        together=arguments.together,
        row_tokens=arguments.row_tokens,
        held=arguments.held,
    )


def _dead(given: Sequence[str]) -> dict[str, dict[int, tuple[str, str]]]:
    dead: dict[str, dict[int, tuple[str, str]]] = {}
    for one in given:
        trial, number, *told = one.split("=", 3)
        cause, words = [*told, *("node_failed", "its heartbeat stood still")[len(told) :]]
        dead.setdefault(trial, {})[int(number)] = cause, words
    return dead


if __name__ == "__main__":
    sys.exit(main())
