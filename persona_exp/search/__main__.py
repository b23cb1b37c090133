"""The training child of a search: `python -m persona_exp.search --search FOLDER --parent PID [SEAL…]`.

It runs the seals given, then asks whose trial nobody has begun, then those that deserve to go on, and then asks for more.
"""

import sys
from pathlib import Path

from persona_exp.lossy_output import outlive_full_disk
from persona_exp.trial.training_child import child_parser, run_options, run_unless_full, start_child

INTERRUPTED = 75


def main() -> int:
    """Run what the search of the command line has to run; return the exit code."""
    parser = child_parser("python -m persona_exp.search", str(__doc__))
    parser.add_argument("--search", type=Path, required=True, help="the folder runs/sweeps/NAME of a search")
    parser.add_argument("seals", nargs="*", type=Path, help="seals of trials that come first")
    arguments = parser.parse_args()
    interruption = start_child(arguments)
    if interruption is None:
        return INTERRUPTED
    from persona_exp.errors import UserError
    from persona_exp.search.pending_asks import PendingAsks
    from persona_exp.search.pruning import StudyPruning
    from persona_exp.trial.run_sealed_trials import run

    def stopped() -> bool:
        return bool(interruption.requested) or bool(arguments.held and arguments.held.exists())

    try:
        pending = PendingAsks(arguments.search, arguments.seals, stopped)
        pruning = StudyPruning(pending.study) if pending.study.settings.pruner else None
        return run_unless_full(lambda: run(pending, interruption, pruning=pruning, **run_options(arguments)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 2


if __name__ == "__main__":
    outlive_full_disk()
    sys.exit(main())
