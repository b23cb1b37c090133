"""The training child of a search, which writes down besides which trials take each step of its bundle, and how far each is."""

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

LOG = "BUNDLE_STEPS"


def main() -> int:
    """Run `python -m persona_exp.search` with the same command line; return its exit code."""
    from persona_exp.search.__main__ import main as train
    from persona_exp.training.fused import fused_engine

    taken = fused_engine.bundle_step

    def noted(shared: Any, slots: Any, *given: Any) -> Any:
        with Path(os.environ[LOG]).open("a", encoding="utf-8") as log:
            log.write(json.dumps({slot.number: slot.step for slot in slots}) + "\n")
        return taken(shared, slots, *given)

    fused_engine.bundle_step = noted  # type: ignore[attr-defined]
    return train()


if __name__ == "__main__":
    sys.exit(main())
