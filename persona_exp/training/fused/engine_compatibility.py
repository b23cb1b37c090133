"""Which engine may train a model, by the parity check; kept by configuration and library versions, so that it is checked once.

For the models of conf/model that are at hand everywhere the outcome comes with the package. Imports no torch unless something must
be checked.
"""

import json
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.project_folders import PACKAGE

SHIPPED = Path(__file__).with_name("engine_compatibility.json")
# Files and folders of the code that the outcome depends on, relative to the package.
CHECKED_CODE = (
    "modeling/lora_adapter.py",
    "modeling/lora_targets.py",
    "modeling/model_architecture.py",
    "modeling/multi_lora",
    "modeling/kv_cache_decoding.py",
    "modeling/output_head.py",
    "modeling/reduced_model_config.py",
    "training/fused/chunked_cross_entropy.py",
    "training/fused/engine_parity_check.py",
    "training/fused/generation_check.py",
    "training/fused/small_random_model.py",
)
# Libraries that it depends on.
LIBRARIES = ("torch", "transformers")
# Keys of config.json that do not affect the arithmetic.
UNREAD = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "quantization_config", "use_cache")
# Kinds of rope whose frequencies depend on the longest position in a batch once that passes what the model was first trained on.
BY_LONGEST = ("dynamic", "longrope")


@dataclass(frozen=True)
class EngineCompatibility:
    """`fused`: engine=fused computes the model as plain transformers do, else `reason` says in half a sentence why not. `trainable`: some
    engine does. `targets`: names of projections whose adapters have a part in the result (empty: it was not tried). `longest`: the most
    tokens of a conversation whose result does not depend on what else is in its batch; None: any. `against_generation`: why no replies can
    be had of it, empty where they can."""

    fused: bool
    reason: str
    trainable: bool
    targets: tuple[str, ...]
    longest: int | None
    against_generation: str = ""


def engine_compatibility(folder: Path) -> EngineCompatibility:
    """Return the compatibility of the model in `folder`, of which its config.json is read."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    key = key_of(config)
    shipped = _shipped()
    if (shipped["libraries"], shipped["code"]) == (libraries(), code()) and key in shipped["outcomes"]:
        return _read(shipped["outcomes"][key])
    kept = cache_folder() / "compatibility" / f"{atomic_files.digest([key, libraries(), code()])[:16]}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        return _read(json.loads(kept.read_text(encoding="utf-8")))
    found = check_compatibility(folder)
    # Where nothing can be kept it is checked again the next time.
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        atomic_files.write_text(kept, json.dumps(asdict(found), indent=2) + "\n")
    return found


@cache
def check_compatibility(folder: Path) -> EngineCompatibility:
    """Return it as checked here, once a process. Raise UserError where this version of transformers does not know the model."""
    from transformers import AutoConfig

    from persona_exp.training.fused.engine_parity_check import check_parity
    from persona_exp.training.fused.generation_check import against_generation

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    except (OSError, ValueError) as error:
        first = str(error).split("\n")[0].rstrip(".")
        raise UserError(f"The config.json in {folder} is of no model that this version of transformers knows ({first}).") from error
    found = check_parity(config)
    return EngineCompatibility(
        fused=not found.against_rows,
        reason=found.against_rows,
        trainable=not found.against_training,
        targets=found.targets,
        longest=longest(config.to_dict()),
        against_generation=against_generation(config) if found.tried and not found.against_training else "",
    )


def key_of(config: dict[str, Any]) -> str:
    """Return the key of a config.json: a digest of what in it can affect the outcome."""
    return atomic_files.digest({name: value for name, value in config.items() if name not in UNREAD})[:16]


def libraries() -> dict[str, str]:
    """Return the versions that an outcome depends on; of torch without the build's name."""
    return {name: version(name).split("+")[0] for name in LIBRARIES}


def longest(config: dict[str, Any]) -> int | None:
    """Return the tokens up to which no rope of `config` depends on the longest position; None where none ever does."""
    ropes = [rope for name in ("rope_parameters", "rope_scaling") for rope in _ropes(config.get(name))]
    limits = [
        rope.get("original_max_position_embeddings")
        or config.get("original_max_position_embeddings")
        or config.get("max_position_embeddings")
        for rope in ropes
        if rope.get("rope_type", rope.get("type")) in BY_LONGEST
    ]
    return min((int(limit) for limit in limits if limit), default=None)


def _ropes(value: Any) -> list[dict[str, Any]]:
    """Return the rope in a configuration, or those of each kind of layer."""
    if not isinstance(value, dict):
        return []
    inner = [one for one in value.values() if isinstance(one, dict)]
    return inner or [value]


def _read(content: dict[str, Any]) -> EngineCompatibility:
    return EngineCompatibility(**{**content, "targets": tuple(content["targets"])})


@cache
def _shipped() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return content


@cache
def code() -> str:
    """Return the digest of the code that an outcome depends on."""
    listed = [
        path for name in CHECKED_CODE for path in ([PACKAGE / name] if name.endswith(".py") else sorted((PACKAGE / name).glob("*.py")))
    ]
    return atomic_files.digest([atomic_files.file_digest(path) for path in listed])


def main(folders: list[str]) -> None:
    """Write anew what is shipped, of the models in `folders`: after a change of the code or of a library that it depends on."""
    outcomes = {
        key_of(json.loads((Path(one) / "config.json").read_text(encoding="utf-8"))): asdict(check_compatibility(Path(one)))
        for one in folders
    }
    atomic_files.write_text(SHIPPED, json.dumps({"libraries": libraries(), "code": code(), "outcomes": outcomes}, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
