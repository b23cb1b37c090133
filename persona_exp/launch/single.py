"""One trial, from its config to its figures on the screen."""

from persona_exp.config.schema import Config
from persona_exp.launch.local import run_alone
from persona_exp.launch.retry import allow_after_site_faults
from persona_exp.launch.work import of_seals
from persona_exp.trial.reader import read_trial
from persona_exp.trial.seal import Sealed, finished, read_seal_facts, seal


def run_single(config: Config, *, command: str) -> int:
    """Seal and run one trial, print its metrics; the exit code."""
    from persona_exp.launch.gpus import gpus_here

    trial = seal(config, command=command)
    # Whoever asks again takes back what was cancelled, and vouches for the site.
    trial.directory.cancelled.unlink(missing_ok=True)
    allow_after_site_faults([trial.directory], [trial.path.name])
    if finished(trial.path):
        print(f"Trial {trial.trial_id} is finished already.")
    else:
        code = run_alone(of_seals([trial.path], config.cluster.lease_seconds), config.method.name, gpus_here())
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
