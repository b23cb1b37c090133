"""The sampler and the pruner of a search that goes on: those that are recorded, but for what the command line names."""

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

from persona_exp.errors import UserError
from persona_exp.search.study_settings import StudySettings

CHANGED = {"sampler": "what is asked from now on is drawn by it", "pruner": "asks paused or pruned so far stopped at other rungs"}


def continued_methods(before: StudySettings, asked: StudySettings, names: Set[str]) -> tuple[StudySettings, list[str]]:
    """Return `asked` with the recorded sampler and pruner, and a sentence for each setting of them that changes or is not the default.

    `names` are the settings that the command line gives. A group on it, hydra/sweeper/pruner=asha, says which pruner, and no setting of it.

    Raise UserError for a named setting of another sampler or pruner than the recorded one.
    """
    sampler, said = _continued("sampler", before.sampler, asked.sampler, names)
    pruner, more = _continued("pruner", before.pruner or {}, asked.pruner or {}, names)
    same = before.pruner is not None and pruner.get("_target_") == before.pruner["_target_"]
    pauses = bool(pruner.get("pauses", before.pauses if same else False))
    seed = before.seed if sampler.get("seed") == before.sampler.get("seed") else int(sampler.get("seed") or 0)
    return replace(asked, sampler=sampler, seed=seed, pruner=pruner or None, pauses=pauses), [*said, *more]


def _continued(role: str, before: Mapping[str, Any], asked: Mapping[str, Any], names: Set[str]) -> tuple[dict[str, Any], list[str]]:
    group, prefix = f"hydra/sweeper/{role}", f"hydra.sweeper.{role}"
    named = {one.removeprefix(f"{prefix}.").split(".")[0] for one in names if one.startswith(f"{prefix}.")}
    if before.get("_target_") != asked.get("_target_"):
        if group in names or prefix in names or "_target_" in named:
            return dict(asked), [f"The {role} changed from {_kind(before)} to {_kind(asked)}: {CHANGED[role]}."]
        if foreign := sorted(named - set(before)):
            raise UserError(f"{prefix}.{foreign[0]} is none of {_kind(before)}'s, the search's {role}: name {group} too, or leave it out.")
    whole, found, said = prefix in names, dict(before), []
    same = before.get("_target_") == asked.get("_target_")
    if not same:
        said.append(f"The search keeps its {role} {_kind(before)}, not {_kind(asked)}, the default: {group}=NAME changes it.")
    for key in sorted({*before, *asked} if same else named):
        was, new = before.get(key), asked.get(key)
        if was == new:
            continue
        if whole or key in named:
            found[key] = new
            said.append(f"{prefix}.{key} changed from {_shown(was)} to {_shown(new)}: {CHANGED[role]}.")
        else:
            said.append(f"The search keeps {prefix}.{key}={_shown(was)}, not {_shown(new)}, the default: name it to change it.")
    return found, said


def _kind(method: Mapping[str, Any]) -> str:
    return str(method.get("_target_", "none")).rsplit(".", 1)[-1]


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)
