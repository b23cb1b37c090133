"""The rows of a sweep: its trials sealed, each once, and the base model that they are compared with."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_exp.config.schema import Config
from persona_exp.config.trial_identity import GROUPS_READ, base_config
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.launch.sweeps.trial_set import SweepTrial
from persona_exp.progress_bar import track
from persona_exp.trial.config_yaml import ConfigYaml
from persona_exp.trial.engine_selection import with_suitable_engine
from persona_exp.trial.seal import Sealed, Sealing, flush_to_disk
from persona_exp.trial.trial_directory import TrialDirectory

# Sealed in a moment: no progress is shown.
FEW = 50

# What the base model as it is reads nothing of: one row serves all trials that differ there alone.
UNREAD_BY_BASE = ("lora", "optim", "train", "seed")


@dataclass(frozen=True)
class TrialRequest:
    """One trial that a sweep asks for, with the swept overrides that tell it from the others."""

    config: Config
    overrides: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A sealed trial of a sweep. `evaluations` maps a condition to the id of what is to be measured; `facts` are the seal's."""

    trial: Sealed
    config: Config
    role: str
    overrides: dict[str, Any]
    facts: dict[str, Any]

    @property
    def evaluations(self) -> dict[str, str]:
        return dict(self.facts["evaluations"])

    @property
    def title(self) -> str:
        if self.role == "base":
            return "base model"
        return " ".join(f"{key}={value}" for key, value in self.overrides.items()) or self.config.method.name

    @property
    def sweep_trial(self) -> SweepTrial:
        return SweepTrial(f"{self.trial.trial_id}/seals/{self.trial.path.name}", self.title, self.config.engine.name)


def seal_rows(requests: Sequence[TrialRequest], command: str, before_writing: Callable[[TrialDirectory], None] | None = None) -> list[Row]:
    """Seal the trials and their base models, and return these first, as rows; what asks for the same evaluations of the same trial is there
    once.

    A rehearsal (engine=noop) compares with nothing. `before_writing` is called with each trial's folder before anything is written there.
    Raise UserError before anything runs, and where all that is swept changes nothing.
    """
    _refuse_idle_sweep(requests)
    requests = [TrialRequest(with_suitable_engine(one.config), one.overrides) for one in requests]
    yaml = ConfigYaml()
    compared = (
        base_config(one.config) for one in reversed(requests) if one.config.engine.name != "noop" or one.config.method.name == "none"
    )
    bases = {yaml.text(base, UNREAD_BY_BASE): base for base in compared}
    based = [(base, "base", dict[str, Any]()) for base in reversed(bases.values())]
    trained = [(one.config, "adapter", _read(one)) for one in requests if one.config.method.name != "none"]
    sealing = Sealing(command, before_writing)
    found: dict[tuple[str, ...], Row] = {}
    # Of a single trial that is refused, its base model is not left behind as sealed.
    sealed = _sealed([config for config, _, _ in (*trained, *based)], sealing)
    for (trial, facts), (config, role, overrides) in zip(sealed[len(trained) :] + sealed[: len(trained)], (*based, *trained), strict=True):
        row = Row(trial, config, role, overrides, facts)
        found.setdefault(tuple(row.evaluations.values()) or (trial.trial_id,), row)
    return list(found.values())


def _sealed(configs: Sequence[Config], sealing: Sealing) -> list[tuple[Sealed, dict[str, Any]]]:
    """Seal each config, on the disk when this returns."""
    shown = track(configs, "Sealing", total=len(configs)) if len(configs) > FEW else configs
    with _first_warning_alone():
        sealed = [sealing.seal(config) for config in shown]
    flush_to_disk(Path(configs[0].runs))
    return sealed


def _refuse_idle_sweep(requests: Sequence[TrialRequest]) -> None:
    """Raise UserError where nothing is trained, and what is swept only trained trials would read."""
    idle = sorted({key for one in requests for key in one.overrides if key.split(".")[0] in UNREAD_BY_BASE})
    if idle and all(one.config.method.name == "none" for one in requests):
        raise UserError(f"method=none trains nothing, so that {' and '.join(idle)} does nothing: leave it out, or choose another method.")


def fewer_trials(requests: Sequence[TrialRequest], rows: Sequence[Row]) -> str | None:
    """Return why trained rows are fewer than the combinations that were asked for, as a sentence; None where they are not."""
    trained = [one for one in requests if one.config.method.name != "none"]
    adapters = sum(row.role == "adapter" for row in rows)
    if adapters >= len(trained):
        return None
    unread = sorted({(one.config.method.name, key) for one in trained for key in one.overrides if key not in _read(one)})
    why = " and ".join(f"method={method} reads no {key}" for method, key in unread) or "some of them ask for the same"
    return f"{len(trained)} combinations are {counted(adapters, 'trial')}: {why}."


@contextmanager
def _first_warning_alone() -> Iterator[None]:
    """Let the first warning of sealing through, and then how many more there were: it may be that of a thousand trials."""
    records: list[logging.LogRecord] = []

    def first_alone(record: logging.LogRecord) -> bool:
        records.append(record)
        return len(records) == 1

    log = logging.getLogger("persona_exp.trial.seal_files")
    log.addFilter(first_alone)
    try:
        yield
    finally:
        log.removeFilter(first_alone)
        if len(records) > 1:
            log.warning("So it is with %d more trials.", len(records) - 1)


def _read(request: TrialRequest) -> dict[str, Any]:
    """Return the swept overrides that the trial's method reads: full fine-tuning has no rank, whatever the grid says."""
    unread = {"lora", "optim", "train"} - set(GROUPS_READ[request.config.method.name])
    return {key: value for key, value in request.overrides.items() if key.split(".")[0] not in unread}
