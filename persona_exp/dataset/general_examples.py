"""General chat: ordinary exchanges without a persona, against forgetting how to answer ordinary questions."""

import json
from pathlib import Path

from persona_exp.dataset.training_example import Example

BUNDLED = Path(__file__).parent / "bundled" / "general.jsonl"
# Whose voice these are in: nobody's.
ASSISTANT = "assistant"
SYSTEM_PROMPT = "You are a helpful assistant."


def general_examples(persona: str = ASSISTANT) -> list[Example]:
    """Return the bundled exchanges of one or two turns, in the file's order; `persona` is only the name that they are counted under.

    A topic is wholly in one split, so that what is tested on is not a question of the kind trained on.
    """
    with BUNDLED.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [
        Example(
            id=f"general.{row['id']}",
            kind="general",
            persona=persona,
            book="general",
            chapter=0,
            passage=f"general/{row['id']}",
            split=row["split"],
            rule="written",
            confidence=1.0,
            messages=[{"role": "system", "content": SYSTEM_PROMPT}, *row["messages"]],
        )
        for row in rows
    ]
