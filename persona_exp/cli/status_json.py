"""Statuses of sweeps and trials as `--json` prints them."""

from typing import Any

from persona_exp.cli.sweep_status import SweepStatus, outdated_by_first_adapter
from persona_exp.cli.text.bundle_trials import bundled_with
from persona_exp.trial.trial_status import TrialStatus


def sweep_json(sweep: SweepStatus) -> dict[str, Any]:
    """Return a sweep with its trials; `results` are what this sweep asked to have measured of each trial."""
    return {
        **sweep_head_json(sweep),
        **({"damage": sweep.damage} if sweep.damage else {}),
        "jobs": None if sweep.queue is None else [vars(job) for job in sweep.queue],
        "trials": [
            {
                **trial_json(state),
                "title": trial.title,
                "role": trial.role,
                "overrides": trial.overrides,
                "evaluations": trial.evaluations,
                "results": results,
                "older": outdated or None,
            }
            for (trial, state), results, outdated in zip(sweep.rows, sweep.results, sweep.outdated, strict=True)
        ],
    }


def sweep_head_json(sweep: SweepStatus) -> dict[str, Any]:
    """Return a sweep without its trials."""
    last = sweep.submissions[-1] if sweep.submissions else None
    return {
        "sweep": sweep.name,
        "note": sweep.sweep.note or None,
        "command": sweep.command,
        "created": sweep.created,
        "counts": sweep.counts,
        **({"asks": vars(sweep.asks)} if sweep.asks else {}),
        "gpu_hours": sweep.gpu_hours,
        "hold": sweep.hold,
        **({"damage": list(sweep.damaged_files)} if sweep.damaged_files else {}),
        "submission": last and {"number": last.number, "launcher": last.launcher, "job_name": last.job_name},
    }


def sweeps_json(sweeps: list[SweepStatus], singles: list[TrialStatus]) -> dict[str, Any]:
    """Return all sweeps without their trials, and the trials that no sweep asks for."""
    heads = [{**sweep_head_json(sweep), "older": outdated_by_first_adapter(sweep) or None} for sweep in sweeps]
    return {"sweeps": heads, "single_trials": [trial_json(state) for state in singles]}


def trial_json(state: TrialStatus) -> dict[str, Any]:
    """Return a trial's status without its last attempt's record."""
    values = {key: value for key, value in vars(state).items() if key != "record"}
    return {**values, "gpu_hours": state.gpu_hours, "together_with": bundled_with(state.record)}
