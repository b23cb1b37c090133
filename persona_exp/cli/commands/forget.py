"""`persona-exp forget SWEEP`: hide sweeps from status, or show them again."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from persona_exp.cli.abbreviated_names import find_sweep
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.sweep_status import sweep_statuses
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.trial import forgotten_sweep


def add_commands(nouns: Any) -> None:
    """Add the verb `forget`."""
    forget = nouns.add_parser("forget", help="hide sweeps from status; `clean` then offers to delete them")
    forget.add_argument("sweeps", nargs="*", metavar="SWEEP", help="a sweep's name or the beginning of one (default: list the forgotten)")
    forget.add_argument("--undo", action="store_true", help="show them again")
    forget.add_argument("--json", action="store_true", help="print JSON")
    forget.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    if arguments.undo and not arguments.sweeps:
        raise UserError("--undo needs a sweep: `persona-exp forget` lists the forgotten.")
    names = list(dict.fromkeys(find_sweep(runs, name) for name in arguments.sweeps))
    if not names:
        _, forgotten = forgotten_sweep.known_and_forgotten(runs)
        text = "\n".join(forgotten) or f"No sweep under {runs} is forgotten."
    else:
        text = _shown_again(runs, names) if arguments.undo else _forgotten(runs, names)
    if not arguments.json:
        print(text)
    known, forgotten = forgotten_sweep.known_and_forgotten(runs)
    return 0, {"forgotten": forgotten, "known": known}


def _forgotten(runs: Path, names: list[str]) -> str:
    """Hide the sweeps; return what to say. Raise UserError, before any is hidden, where one still runs."""
    from persona_exp.launch.sweeps.latest_sweep import lead_to_newest

    for sweep in sweep_statuses(runs, names):
        going = sum(sweep.counts.get(status, 0) for status in ("running", "queued"))
        if sweep.unfinished and sweep.queue is None and any(one.launcher == "slurm" for one in sweep.submissions):
            raise UserError(f"Slurm does not say here whether jobs of {sweep.name} wait: forget it where squeue answers.")
        if going:
            quoted = shlex.quote(sweep.name)
            raise UserError(f"{sweep.name} has {counted(going, 'trial')} running or queued: `persona-exp cancel {quoted}` first.")
    for name in names:
        forgotten_sweep.forget(runs / "sweeps" / name)
    lead_to_newest(runs)
    quoted = " ".join(map(shlex.quote, names))
    return (
        f"Forgot {', '.join(names)}: nothing was deleted. `persona-exp forget --undo {quoted}`, or the sweep's command, shows it again; "
        "`persona-exp clean` offers it, and the trials that no other sweep asks for."
    )


def _shown_again(runs: Path, names: list[str]) -> str:
    from persona_exp.launch.sweeps.latest_sweep import lead_to_newest

    back = [name for name in names if forgotten_sweep.take_back(runs / "sweeps" / name)]
    lead_to_newest(runs)
    others = [f"{name} was not forgotten." for name in names if name not in back]
    return "\n".join([*([f"Shown again: {', '.join(back)}."] if back else []), *others])
