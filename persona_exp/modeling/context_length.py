"""How long a text a base model was made for, read from its config.json. Imports no torch."""

import json
from pathlib import Path
from typing import Any

# What architectures call it.
NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "model_max_length")


def context_length(folder: Path) -> int | None:
    """Return that length in tokens; None where the config does not give it, as for models without positions.

    YaRN (Peng et al. 2023, arXiv:2309.00071) stretches the original length by its factor.
    """
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Loading the model refuses it.
        return None
    # Checkpoints that also see pictures keep the language part below a key of its own.
    text = config.get("text_config") or config
    length: int | None = next((text[name] for name in NAMES if isinstance(text.get(name), int)), None)
    scaling = text.get("rope_parameters") or text.get("rope_scaling") or {}
    if length is None or scaling.get("rope_type", scaling.get("type")) != "yarn":
        return length
    return max(length, int(scaling.get("factor", 1) * scaling.get("original_max_position_embeddings", length)))
