"""Config group `persona`: who speaks."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import one_of
from persona_exp.errors import UserError


@dataclass
class Persona:
    """Who speaks."""

    name: str = MISSING
    """The character's name."""
    aliases: list[str] = field(default_factory=list)
    """The other names that the books use, surname and titles included."""
    narrator: bool = False
    """Whether the character tells the story."""
    pronoun: str | None = None
    """The character's pronoun (null: found in the books)."""
    period: str = MISSING
    """When and where the character lives."""
    system_prompt: str = MISSING
    """The system prompt that says who speaks."""
    contexts: dict[str, str] = field(default_factory=dict)
    """When and in what mood the persona speaks, by book (file name without ending) or book/chapter."""
    facts: dict[str, str] = field(default_factory=dict)
    """What identity questions ask: occupation, home, companion."""
    evasions: list[str] = field(default_factory=list)
    """The persona's ways of not knowing."""

    def __post_init__(self) -> None:
        if not self.name.strip() or not all(alias.strip() for alias in self.aliases):
            raise UserError("persona.name and each of persona.aliases must hold a name.")
        if self.pronoun is not None:
            one_of("persona.pronoun", self.pronoun, ("he", "she", "they"))
