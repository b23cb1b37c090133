"""The published adapter of another trial, with whose weights a trial begins (lora.init_from)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from persona_exp.errors import UserError
from persona_exp.trial.recorded_provenance import read_provenance
from persona_exp.trial.trial_directory import trial_directory

WEIGHTS = "adapter_model.safetensors"
# What both must have alike for the weights to mean the same.
ALIKE = ("r", "alpha", "rslora", "target_modules")


def check_parent(runs: Path, identity: Mapping[str, Any]) -> Path:
    """Return the weights of the trial that one of this identity begins with. Raise UserError where it has not published any, or is of
    another base model, rank, scale or targets."""
    parent = str(identity["lora"]["init_from"])
    folder = trial_directory(runs, parent)
    before = read_provenance(runs, parent).get("identity")
    if before is None:
        raise UserError(f"lora.init_from={parent} is no trial under {runs}: name one whose adapter is there.")
    if "lora" not in before or before["model"]["digest"] != identity["model"]["digest"]:
        raise UserError(f"lora.init_from={parent} has no adapter on this base model: name a trial of the same.")
    other = [f"lora.{key}" for key in ALIKE if before["lora"][key] != identity["lora"][key]]
    if other:
        raise UserError(f"lora.init_from={parent} has another {' and '.join(other)}: its weights fit a trial with the same alone.")
    path = folder.adapter / WEIGHTS
    if not path.is_file():
        raise UserError(f"lora.init_from={parent} has published no adapter yet: wait until that trial is finished.")
    return path
