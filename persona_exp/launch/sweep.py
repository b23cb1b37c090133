"""A sweep: sealed, estimated, run here or on Slurm, reported."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp import files
from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.launch.forecast import Forecast, forecast
from persona_exp.launch.judgement.retry import Verdict, allow_after_site_faults, take_back, verdict
from persona_exp.launch.options import LocalOptions, SlurmOptions, stays_here
from persona_exp.launch.planning import ledger
from persona_exp.launch.planning.bundles import said
from persona_exp.launch.sweeps import wanted
from persona_exp.launch.sweeps.rows import Request, Row, rows
from persona_exp.trial.attempt import now

if TYPE_CHECKING:
    from persona_exp.launch.cost.prediction import Estimate
    from persona_exp.launch.slurm.limits import Limits

LONGEST_SLUG = 80


def run_sweep(
    *,
    command: str,
    arguments: Sequence[str],
    swept: Sequence[str],
    requests: Sequence[Request],
    options: LocalOptions | SlurmOptions | None = None,
) -> int:
    """Seal every trial and its base model, run what is not finished, write the report; the exit code.

    `command` is what the person typed, the launcher's settings included; `arguments` are its overrides without Hydra's own.

    Nothing runs before all are sealed, so that a mistake in the last trial costs no time of the first. Raises UserError, before anything
    is run or submitted.
    """
    if not requests:
        raise UserError("The sweep holds no trial: give at least one value for each swept setting.")
    options = options or LocalOptions()
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.sweeps.dispatch import refuse_what_cannot_work

        refuse_what_cannot_work(options, requests[0].config)
    elif warning := stays_here(requests[0].config.cluster):
        print(warning, file=sys.stderr, flush=True)
    found = rows(requests, command)
    named = [argument for argument in arguments if argument.split("=")[0].lstrip("+~") in swept]
    ids = [eval_id for row in found for eval_id in row.evaluations.values()] or [row.trial.trial_id for row in found]
    folder = Path(requests[0].config.runs).absolute() / "sweeps" / sweep_name(named, ids)
    limits = _limits(options, requests[0].config)
    ahead = forecast(found, options, limits)
    if isinstance(options, SlurmOptions) and options.dry_run:
        from persona_exp.launch.sweeps.dispatch import show

        left = unfinished(found)
        return show(folder, left, ahead.plan(left), ahead.terms, options, requests[0].config, limits)
    estimate = estimated(folder.name, ahead, limits)
    write(folder, command, swept, ahead)
    if isinstance(options, SlurmOptions):
        from persona_exp.launch.sweeps.dispatch import run_on_slurm

        return run_on_slurm(folder, found, ahead.terms, options, requests[0].config, estimate, limits)
    from persona_exp.launch.workers.local_sweep import run_here

    return run_here(folder, found, ahead.terms, estimate)


def write(folder: Path, command: str, swept: Sequence[str], ahead: Forecast) -> None:
    """Say on disk what the sweep asks for. A person who asks again takes back what was cancelled, and vouches for the site."""
    found = ahead.rows
    _describe(folder, command, swept, found)
    ledger.write(folder, ahead.loads)
    wanted.write(folder, [row.wanted for row in found])
    directories = [row.trial.directory for row in found]
    taken_back = take_back(directories)
    if taken_back:
        print(f"{taken_back} of these trials had been cancelled: the command takes that back.", flush=True)
    allow_after_site_faults(directories, [row.trial.path.name for row in found])


def unfinished(found: Sequence[Row]) -> list[Row]:
    """The rows whose trial has something left to do, failed ones too."""
    return [row for row, one in zip(found, verdicts(found), strict=True) if one.next != "finished"]


def verdicts(found: Sequence[Row]) -> list[Verdict]:
    """What comes next for each row's trial, as far as its files tell at once."""
    return [verdict(row.trial.directory, row.trial.path.name, lambda _: "unknown") for row in found]


def estimated(name: str, ahead: Forecast, limits: "Limits | None") -> "Estimate":
    """What the sweep is expected to take, said on the screen. Raises UserError when it is over the budget."""
    from persona_exp.launch.cost import prediction

    cluster, left = ahead.rows[0].config.cluster, unfinished(ahead.rows)
    estimate = ahead.estimate(left, limits)
    first_line, *others = prediction.lines(estimate)
    bundles = said(ahead.plan(left))
    print("\n".join([f"Sweep {name}: {first_line}", *([bundles] if bundles else []), *others]), flush=True)
    failed = sum(one.next == "failed" for one in verdicts(left))
    if failed:
        print(f"Of these {failed} failed before and are left alone: `persona-exp retry {name} --failed` lets them try again.", flush=True)
    prediction.refuse_over_budget(estimate, cluster)
    return estimate


def sweep_name(arguments: Sequence[str], ids: Sequence[str]) -> str:
    """A readable slug of the overrides and eight hex digits of the evaluations asked for: the same command gives the same name."""
    slug = ",".join(argument for argument in arguments if "/" not in argument)
    slug = re.sub(r"[^A-Za-z0-9._=,+-]+", "_", slug)[:LONGEST_SLUG].strip("_,")
    return "-".join(filter(None, [slug, files.digest(sorted(ids))[:8]]))


def _limits(options: LocalOptions | SlurmOptions, config: Config) -> "Limits | None":
    if not isinstance(options, SlurmOptions):
        return None
    from persona_exp.launch.options import for_sbatch
    from persona_exp.launch.slurm.limits import limits

    sbatch = for_sbatch(options, config.cluster)
    return limits(sbatch.get("partition"), account=sbatch.get("account"), qos=sbatch.get("qos"))


def _describe(folder: Path, command: str, swept: Sequence[str], found: Sequence[Row]) -> None:
    """Write sweep.yaml, anew where the command is another: the last one given is the one that goes on with the sweep."""
    path = folder / "sweep.yaml"
    before = _head(path)
    if before is None:
        files.create_text(path, _description(folder.name, command, swept, found, now()))
    elif before["command"] != command:
        files.write_text(path, _description(folder.name, command, swept, found, before["created"]))


def _head(path: Path) -> dict[str, Any] | None:
    """What sweep.yaml says before its trials, of which there may be a thousand; None where it is not there. UserError: it is damaged."""
    import yaml

    try:
        head = yaml.safe_load(path.read_text(encoding="utf-8").partition("\ntrials:")[0])
        return {"command": head["command"], "created": head["created"]}
    except FileNotFoundError:
        return None
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged: remove it and run the sweep's command again.") from error


def _description(name: str, command: str, swept: Sequence[str], found: Sequence[Row], created: str) -> str:
    import yaml

    trials = [
        {"trial_id": row.trial.trial_id, "role": row.role, "overrides": row.overrides, "evaluations": row.evaluations} for row in found
    ]
    what = {"name": name, "command": command, "swept": list(swept), "created": created, "trials": trials}
    # The one written in C, where PyYAML has it: a thousand rows take seconds otherwise.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(what, Dumper=dumper, sort_keys=False, allow_unicode=True))
