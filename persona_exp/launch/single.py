"""One trial, from its config to its figures on the screen."""

import json
from pathlib import Path

from persona_exp.config.schema import Config
from persona_exp.launch.local import run_locally
from persona_exp.trial.reader import read_trial
from persona_exp.trial.seal import Sealed, seal
from persona_exp.trial.stages import done, owed


def run_single(config: Config, *, command: str) -> int:
    """Seal and run one trial, print its metrics; the exit code."""
    trial = seal(config, command=command)
    if finished(trial, config):
        print(f"Trial {trial.trial_id} is finished already.")
    else:
        code = run_locally([trial], [config.method.name])
        if code:
            return code
    _show(trial, config)
    return 0


def finished(trial: Sealed, config: Config) -> bool:
    """Whether all that `config` asks of the trial is published."""
    return done(config, trial.directory, data_id(trial))


def data_id(trial: Sealed) -> str:
    """The built data that a sealed trial reads."""
    return str(json.loads(trial.directory.provenance.read_text(encoding="utf-8"))["data_id"])


def _show(trial: Sealed, config: Config) -> None:
    from rich.console import Console
    from rich.table import Table

    found = {one.eval_id: one for one in read_trial(Path(config.runs), trial.trial_id).evaluations}
    evaluations = [found[one.eval_id] for one in owed(config, trial.trial_id, data_id(trial))]
    table = Table(title=f"{config.persona.name}, {config.evaluation.split} split")
    table.add_column("metric")
    for one in evaluations:
        table.add_column(one.condition, justify="right")
    table.add_column("n", justify="right")
    # A model that says no word has no period terms, so not every evaluation has every metric.
    for name, metric in {name: metric for one in evaluations for name, metric in one.metrics.items()}.items():
        values = [f"{one.metrics[name]['value']:.3f}" if name in one.metrics else "–" for one in evaluations]
        table.add_row(name, *values, f"{metric['n']} {metric['unit']}")
    console = Console()
    console.print(table)
    console.print(f"{trial.directory.path}", soft_wrap=True)
