"""The training child: `python -m persona_exp.trial --parent PID SEAL…`; it leaves in order when its parent dies."""

import sys
from pathlib import Path

from persona_exp.lossy_output import outlive_full_disk
from persona_exp.trial.training_child import child_parser, run_options, run_unless_full, start_child

INTERRUPTED = 75


def main() -> int:
    """Run the trials whose seals are named on the command line; return the exit code."""
    parser = child_parser("python -m persona_exp.trial", str(__doc__))
    parser.add_argument("--sweep", type=Path, help="their sweep's folder, to which trials may be added")
    parser.add_argument("seals", nargs="+", type=Path, help="seals of trials")
    arguments = parser.parse_args()
    interruption = start_child(arguments)
    if interruption is None:
        return INTERRUPTED
    from persona_exp.trial.run_sealed_trials import GivenSeals, run

    return run_unless_full(lambda: run(GivenSeals(arguments.seals, arguments.sweep), interruption, **run_options(arguments)))


if __name__ == "__main__":
    outlive_full_disk()
    sys.exit(main())
