"""Characters: the people who may speak."""

from dataclasses import dataclass

NARRATOR = "the narrator"
# In the place of an index into the cast: none of it.
NOBODY = -1


@dataclass(frozen=True)
class Character:
    """A person who may speak: `aliases` are the other forms of the name that narration uses; the `narrator` is its "I";
    `gender` is "male", "female" or None where nothing tells."""

    name: str
    aliases: tuple[str, ...] = ()
    narrator: bool = False
    gender: str | None = None
