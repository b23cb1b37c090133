"""One side of a comparison: a trial, or a sweep, as flat facts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from persona_exp.trial.provenance import ORIGIN
from persona_exp.trial.reader import Sweep, read_sweep, read_yaml
from persona_exp.trial.record import attempt_files, read_record

# Parts of a config that say where a trial ran and was kept, not what it is.
SURROUNDINGS = ("runs",)

# What an attempt's record says of how it was computed.
COMPUTED = ("hardware", "threads", "micro_batch_size", "together", "row_tokens", "dequantised")


@dataclass(frozen=True)
class Side:
    """`config` by dotted key; `code` has digest, commit, changed and folder; `results` map condition and metric to a value."""

    name: str
    title: str
    config: dict[str, Any]
    code: dict[str, Any]
    data_id: str | None
    data: dict[str, Any]
    environment: dict[str, Any]
    results: dict[str, float]
    settings: dict[str, str] = field(default_factory=dict)


def trial_side(runs: Path, trial_id: str, title: str = "") -> Side:
    """A trial as its last attempt ran it, or as it was sealed where there is none."""
    folder = runs / "trials" / trial_id
    provenance = _json(folder / "provenance.json")
    attempts = attempt_files(folder)
    record = read_record(attempts[-1]) if attempts else {}
    seal = _seal(folder, record)
    data_id = seal.get("data_id") or provenance.get("data_id")
    config = _yaml(folder / str(seal.get("config", "config.yaml")))
    return Side(
        name=trial_id,
        title=title,
        config={key: value for key, value in flat(config).items() if key.split(".")[0] not in SURROUNDINGS},
        code=_code(runs, seal, record, provenance),
        data_id=data_id,
        data=flat(_json(runs / "data" / str(data_id) / "manifest.json")),
        environment={**flat(record.get("versions") or seal.get("environment") or {}), **_machine(record)},
        results=results(folder),
    )


def sweep_side(runs: Path, name: str) -> Side:
    """A sweep: what its trials share is read off its first adapter; `settings` are its trials by title."""
    sweep = read_sweep(runs, name)
    first = next((trial for trial in sweep.trials if trial.role == "adapter"), sweep.trials[0])
    side = trial_side(runs, first.trial_id)
    swept = [key for key in side.config if any(key == one or key.startswith(f"{one}.") for one in sweep.swept)]
    config = {key: value for key, value in side.config.items() if key not in swept}
    config |= {key: _values(sweep, key) for key in sweep.swept}
    trials = {trial.title: trial.trial_id for trial in sweep.trials}
    found = {f"{title}: {key}": value for title, one in trials.items() for key, value in results(runs / "trials" / one).items()}
    return Side(name, sweep.command, config, side.code, side.data_id, side.data, side.environment, found, trials)


def results(folder: Path) -> dict[str, float]:
    """The metrics of every published evaluation of a trial: `adapter, test: perplexity` to its value.

    Where two evaluations bear the same name (other settings), the later by name counts.
    """
    found: dict[str, float] = {}
    for path in sorted((folder / "evaluations").glob("[!.]*/metrics.json")):
        content = _json(path)
        place = f"{content.get('condition')}, {content.get('split')}"
        found |= {f"{place}: {name}": float(metric["value"]) for name, metric in (content.get("metrics") or {}).items()}
    return found


def flat(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted keys; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, part in value.items():
        if isinstance(part, Mapping) and part:
            found |= flat(part, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = part
    return found


def _values(sweep: Sweep, key: str) -> str:
    """The values that a key was swept over, as on the command line."""
    found = dict.fromkeys(str(trial.overrides[key]) for trial in sweep.trials if key in trial.overrides)
    return ",".join(found)


def _seal(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """The seal that the last attempt ran under; without one the trial's only or last seal by name."""
    seals = folder / "seals"
    named = seals / str(record["seal"]) if record.get("seal") else max(seals.glob("*.json"), default=None)
    return _json(named) if named else {}


def _code(runs: Path, seal: Mapping[str, Any], record: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    origin = provenance.get("code") or {}
    digest = record.get("code") or seal.get("code") or origin.get("digest")
    folder = runs / "code" / str(seal.get("code_folder") or str(digest)[:12])
    same = origin.get("digest") == digest
    # A snapshot says itself which commit it was made from; the trial's provenance speaks of its first sealing alone.
    told = _json(folder / ORIGIN) or (origin if same else {})
    return {"digest": digest, "commit": told.get("commit"), "changed": told.get("changed"), "folder": str(folder)}


def _machine(record: Mapping[str, Any]) -> dict[str, Any]:
    found = flat({key: record[key] for key in COMPUTED if record.get(key) is not None})
    return {**found, **({"host": record["host"]} if record.get("host") else {})}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _yaml(path: Path) -> dict[str, Any]:
    return read_yaml(path, f"{path} is gone: run the trial's command again.") if path.is_file() else {}
