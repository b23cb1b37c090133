"""What a trial's figures rest on, and whether two of them may be compared. Imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from persona_exp.atomic_files import canonical_json, digest

# The parts of a base model's identity that say how precisely it is computed, not what it is.
PRECISION = ("dtype", "attention")

# Words that need not be said where the other tells as much.
REPEATED = {"weights": "model", "double_quantisation": "quantisation"}

# Settings of an evaluation that cannot change a figure, or that the condition itself sets.
NOT_COMPARED = ("batch_size", "system_prompt")


@dataclass(frozen=True)
class Basis:
    """Base model, precision and data of a trial.

    `model` is the base model's identity without its precision, `precision` how it is quantised and computed. `training_version` is None
    of a base model, which is not trained, and of a trial that does not say.
    """

    model: dict[str, Any]
    precision: dict[str, Any]
    data_id: str | None
    training_version: int | None

    @property
    def ground(self) -> str:
        """Equal where an adapter and a base model differ by the adapter alone, if they were evaluated alike."""
        return canonical_json([self.model, self.precision, self.data_id])

    @property
    def base(self) -> str:
        """Equal where the base models are one, computed alike, whatever the data."""
        return canonical_json([self.model, self.precision])

    def words(self, model_name: str | None = None) -> dict[str, str]:
        """Return each of its parts as a person would name it."""
        found = {"model": model_name} if model_name else {}
        found |= {key: f"{key}={value}" for key, value in self.model.items() if key != "digest"}
        found |= {"weights": f"weights {self.model['digest'][:12]}"} if self.model.get("digest") else {}
        found |= {key: _precision(key, value) for key, value in self.precision.items()}
        return found | ({"data": f"data {self.data_id}"} if self.data_id else {})


def basis(provenance: Mapping[str, Any]) -> Basis:
    """Return the basis of the trial with this provenance.json; empty parts where it does not say."""
    identity = provenance.get("identity") or {}
    model, method = dict(identity.get("model") or {}), identity.get("method") or {}
    precision = {"quantisation": method.get("quantisation"), "double_quantisation": method.get("double_quantisation")}
    precision |= {key: model.pop(key, None) for key in PRECISION}
    version = identity.get("training_version")
    return Basis(
        model=model,
        precision={key: value for key, value in precision.items() if value is not None},
        data_id=provenance.get("data_id"),
        training_version=None if version is None else int(version),
    )


def base_trial_id(identity: Mapping[str, Any]) -> str | None:
    """Return the id of the unchanged base model that the trial with this identity is compared with; None where it does not say enough."""
    if not {"model", "data_id", "method"} <= set(identity):
        return None
    base = {"model": identity["model"], "data_id": identity["data_id"], "method": {**identity["method"], "name": "none"}}
    # The identity of `base_config` of persona_exp/config/trial_identity.py, which analysis does not import.
    return digest(base)[:12]


def protocol(split: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides an evaluation's figures beside what is evaluated: the split and the settings, its version among them."""
    return {"split": split, **{key: value for key, value in settings.items() if key not in NOT_COMPARED}}


def differences(facts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of each mapping the entries that are not the same in all; None stands for what one lacks."""
    keys = dict.fromkeys(key for one in facts for key in one)
    apart = [key for key in keys if len({canonical_json(one.get(key)) for one in facts}) > 1]
    return [{key: one.get(key) for key in apart} for one in facts]


def distinguishing(words: Sequence[Mapping[str, str]]) -> list[str]:
    """Return what tells each apart from the others, as `nf4, data 0da7a0da7a00`; no two are the same unless all their words are."""
    apart = differences(words)
    # Where they say the same, a name says it better than a digest does.
    repeated = {key for key, better in REPEATED.items() if apart and _partition(apart, key) == _partition(apart, better)}
    return [", ".join(str(value) for key, value in one.items() if value is not None and key not in repeated) for one in apart]


def outdated(training_version: int | None, evaluation_version: int | None) -> str:
    """Return `training version 2, now 3` where a trial or its evaluation was made by an older version than this code's; else empty."""
    from persona_exp.evaluation.evaluation_id import EVALUATION_VERSION
    from persona_exp.training import TRAINING_VERSION

    found = []
    if training_version is not None and training_version < TRAINING_VERSION:
        found.append(f"training version {training_version}, now {TRAINING_VERSION}")
    if evaluation_version is not None and evaluation_version < EVALUATION_VERSION:
        found.append(f"evaluation version {evaluation_version}, now {EVALUATION_VERSION}")
    return "; ".join(found)


def all_outdated(found: Iterable[str]) -> str:
    """Return what `outdated` says of several, each version once."""
    return "; ".join(dict.fromkeys(part for text in found for part in text.split("; ") if part))


def _partition(facts: Sequence[Mapping[str, Any]], key: str) -> list[int]:
    values = [canonical_json(one.get(key)) for one in facts]
    return [values.index(value) for value in values]


def _precision(key: str, value: Any) -> str:
    if key == "quantisation":
        return "not quantised" if value == "none" else str(value)
    if key == "double_quantisation":
        return "double quantisation" if value else "single quantisation"
    return str(value) if key == "dtype" else f"{key}={value}"
