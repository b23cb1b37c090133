"""The training child: `python -m persona_exp.trial --parent PID SEALED_CONFIG…`; it leaves in order when its parent dies."""

import argparse
import os
import signal
import sys
import warnings
from pathlib import Path

from persona_exp.process import die_with_parent


def main() -> int:
    """Run the sealed trials named on the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m persona_exp.trial", description=__doc__)
    parser.add_argument("--parent", type=int, help="process that must be alive")
    parser.add_argument("sealed", nargs="+", type=Path, help="sealed config files")
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
    warnings.filterwarnings("ignore", category=FutureWarning)

    from persona_exp.trial.run import run

    return run(arguments.sealed, interruption)


if __name__ == "__main__":
    sys.exit(main())
