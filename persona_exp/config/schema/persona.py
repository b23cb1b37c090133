"""Config group `persona`: who speaks."""

from dataclasses import dataclass, field

from omegaconf import MISSING

from persona_exp.config.range_checks import one_of
from persona_exp.errors import UserError


@dataclass
class Persona:
    """Who speaks. `aliases` are the other names the books use, surname and titles included.

    `pronoun` is he, she or they (null: found in the books). `contexts` say when and in what mood the persona speaks, by book (a file
    name without its ending) or book/chapter; data.system_prompt=contextual puts them behind the system prompt. `facts` (occupation,
    home, companion) are what identity questions ask, `evasions` the persona's ways of not knowing.
    """

    name: str = MISSING
    aliases: list[str] = field(default_factory=list)
    narrator: bool = False
    pronoun: str | None = None
    period: str = MISSING
    system_prompt: str = MISSING
    contexts: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    evasions: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.name.strip() or not all(alias.strip() for alias in self.aliases):
            raise UserError("persona.name and each of persona.aliases must hold a name.")
        if self.pronoun is not None:
            one_of("persona.pronoun", self.pronoun, ("he", "she", "they"))
