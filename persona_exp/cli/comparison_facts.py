"""A trial, or a sweep, as flat facts: what `diff` compares and `show` lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from persona_exp.cli.listed_evaluations import ListedEvaluation, evaluations_of_sweep, evaluations_of_trial, outdated_versions
from persona_exp.damaged_records import Damaged, parsed_json, record_bytes
from persona_exp.trial.attempt_records import attempt_files, read_record
from persona_exp.trial.code_provenance import ORIGIN
from persona_exp.trial.comparability import basis
from persona_exp.trial.folder_ids import is_id
from persona_exp.trial.recorded_provenance import provenance_if_whole
from persona_exp.trial.recorded_sweep import Sweep, SweepTrial, read_sweep
from persona_exp.trial.seal_facts import read_seal_facts, sealed_config
from persona_exp.trial.trial_damage import damaged_seals

# Parts of a config that say where a trial ran and was kept, not what it is.
SURROUNDINGS = ("runs",)

# Settings of an evaluation that are part of its id.
EVALUATION_CAPS = ("likelihood_items", "generated_items", "max_new_tokens", "max_length")

# What an attempt's record says of how it was computed.
COMPUTED = ("hardware", "threads", "micro_batch_size", "together", "row_tokens", "dequantised")


@dataclass(frozen=True)
class Facts:
    """`config` by dotted key; `code` has digest, commit, changed and folder.

    `evaluations` are those that are there: of a trial all, of a sweep those that it asked for; `trials` are a sweep's.
    """

    name: str
    title: str
    config: dict[str, Any]
    code: dict[str, Any]
    data_id: str | None
    data: dict[str, Any]
    environment: dict[str, Any]
    training_version: int | None
    evaluations: tuple[ListedEvaluation, ...]
    trials: tuple[SweepTrial, ...] = ()

    @property
    def missing(self) -> list[str]:
        """What a sweep asked for that is not there yet, as `lora.r=8: adapter`."""
        there = {(one.title, one.evaluation.condition) for one in self.evaluations}
        return [f"{one.title}: {condition}" for one in self.trials for condition in one.evaluations if (one.title, condition) not in there]

    @property
    def outdated(self) -> str:
        """The older versions that made it; empty where none did."""
        return outdated_versions(self.training_version, self.evaluations)


def trial_facts(runs: Path, trial_id: str, title: str = "", *, damaged: bool = False) -> Facts:
    """Return the facts of a trial as its last attempt ran it, or as it was sealed where there is none.

    Raise Damaged where what it was sealed with cannot be read, but with `damaged` on: then what can be read.
    """
    folder = runs / "trials" / trial_id
    if not damaged and (found := damaged_seals(runs, trial_id)):
        raise Damaged(found[0])
    provenance = provenance_if_whole(runs, trial_id)
    attempts = attempt_files(folder)
    record = read_record(attempts[-1]) if attempts else {}
    seal = _seal(folder, record)
    data_id = seal.get("data_id") or provenance.get("data_id")
    config = _yaml(folder / str(seal.get("config", "config.yaml")))
    return Facts(
        name=trial_id,
        title=title,
        config={key: value for key, value in flat(config).items() if key.split(".")[0] not in SURROUNDINGS},
        code=_code(runs, seal, record, provenance),
        data_id=data_id,
        data=flat(_json(runs / "data" / str(data_id) / "manifest.json")),
        environment={**flat(record.get("versions") or seal.get("environment") or {}), **_machine(record)},
        training_version=basis(provenance).training_version,
        evaluations=tuple(evaluations_of_trial(runs, trial_id)),
    )


def _evaluation_caps(found: Sequence[ListedEvaluation], swept: Sequence[str]) -> dict[str, str]:
    """Return the caps of a sweep's own evaluations: the last seal of a trial may be another sweep's."""
    settings = [one.evaluation.settings for one in found]
    keys = [key for key in EVALUATION_CAPS if f"evaluation.{key}" not in swept]
    values = {key: list(dict.fromkeys(str(one[key]) for one in settings if key in one)) for key in keys}
    return {f"evaluation.{key}": ",".join(own) for key, own in values.items() if own}


def sweep_facts(runs: Path, name: str) -> Facts:
    """Return the facts of a sweep: what its trials share is read off its first adapter."""
    sweep = read_sweep(runs, name)
    first = next((trial for trial in sweep.trials if trial.role == "adapter"), sweep.trials[0])
    facts = trial_facts(runs, first.trial_id)
    swept = [key for key in facts.config if any(key == one or key.startswith(f"{one}.") for one in sweep.swept)]
    config = {key: value for key, value in facts.config.items() if key not in swept}
    config |= {key: _values(sweep, key) for key in sweep.swept}
    found = tuple(one for entry in evaluations_of_sweep(runs, sweep) for one in entry)
    config |= _evaluation_caps(found, sweep.swept)
    return replace(facts, name=name, title=sweep.command, config=config, evaluations=found, trials=tuple(sweep.trials))


def flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested mappings as one, by dotted keys; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        if isinstance(part, Mapping) and part:
            found |= flat(part, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = part
    return found


def _values(sweep: Sweep, key: str) -> str:
    """Return the values that a key was swept over, as on the command line."""
    found = dict.fromkeys(str(trial.overrides[key]) for trial in sweep.trials if key in trial.overrides)
    return ",".join(found)


def _seal(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the seal that the last attempt ran under; without one the trial's only or last seal by name."""
    seals = folder / "seals"
    named = seals / str(record["seal"]) if record.get("seal") else max(seals.glob("*.json"), default=None)
    try:
        return read_seal_facts(named) if named else {}
    except Damaged:
        return {}


def _code(runs: Path, seal: Mapping[str, Any], record: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    origin = provenance.get("code") or {}
    digest = record.get("code") or seal.get("code") or origin.get("digest")
    # Of another form it would lead elsewhere.
    named = seal.get("code_folder") or str(digest)[:12]
    folder = runs / "code" / (named if is_id(named) else "unknown")
    same = origin.get("digest") == digest
    # A snapshot says itself which commit it was made from; the trial's provenance is of its first sealing alone.
    made_from = _json(folder / ORIGIN) or (origin if same else {})
    return {"digest": digest, "commit": made_from.get("commit"), "changed": made_from.get("changed"), "folder": str(folder)}


def _machine(record: Mapping[str, Any]) -> dict[str, Any]:
    found = flat({key: record[key] for key in COMPUTED if record.get(key) is not None})
    return {**found, **({"host": record["host"]} if record.get("host") else {})}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = parsed_json(record_bytes(path))
    except (FileNotFoundError, ValueError, IsADirectoryError):
        return {}
    return content if isinstance(content, dict) else {}


def _yaml(path: Path) -> dict[str, Any]:
    try:
        return sealed_config(path.parent, path.name) if path.is_file() else {}
    except Damaged:
        return {}
