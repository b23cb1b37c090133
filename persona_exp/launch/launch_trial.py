"""One trial: a sweep of one, with its base rows, its folder and its report.

python -m persona_exp.launch.launch_trial SEAL      runs the trial of a seal
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from persona_exp.config.compose import compose_trial, sweep_label
from persona_exp.errors import UserError
from persona_exp.launch.launch_sweep import launch_sweep
from persona_exp.launch.launcher_options import LocalOptions
from persona_exp.launch.sweeps.seal_sweep_rows import TrialRequest
from persona_exp.lossy_output import outlive_full_disk
from persona_exp.process_signals import exit_resumable_on_signal
from persona_exp.trial.seal import read_seal

if TYPE_CHECKING:
    from omegaconf import DictConfig

# What runs the trial of a seal, as its records have it.
PROGRAM = "persona_exp.run(config)"


def launch_trial(composed: "DictConfig", *, command: str, options: LocalOptions | None = None) -> int:
    """Run the trial that Hydra composed, and what it is compared with, here, as `options` have it; return the exit code."""
    request = TrialRequest(compose_trial(composed), {})
    return launch_sweep(command=command, arguments=(), swept=(), requests=[request], options=options, label=sweep_label(composed))


def main(path: Path) -> int:
    """Run the trial of the seal at `path`, and what it is compared with, and return the exit code."""
    try:
        return launch_sweep(command=PROGRAM, arguments=(), swept=(), requests=[TrialRequest(read_seal(path)[1], {})])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    outlive_full_disk()
    exit_resumable_on_signal()
    sys.exit(main(Path(sys.argv[1])))
