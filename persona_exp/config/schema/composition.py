"""What conf/ composes: a trial, and what is said beside it of the sweep that it belongs to."""

from dataclasses import dataclass, field
from typing import Any

from persona_exp.config.schema import Config
from persona_exp.config.schema.sweep_label import SweepLabel

# The keys that are no trial's.
OF_SWEEP = ("search", "arms", "tuned", "sweep", "notify")
# conf/search/default.yaml, which a trial or a grid must leave as it is.
SEARCH_DEFAULTS: dict[str, Any] = {"objective": "bits_per_byte", "seeds": 1, "from": []}


@dataclass
class Composition(Config):
    """What conf/ composes: a trial, and what is said beside it of the sweep that it belongs to."""

    # A mapping, for `search.from` is no name that a dataclass may have.
    search: dict[str, Any] = field(default_factory=dict)
    """The objective of a search (hydra/sweeper=optuna)."""
    arms: list[str] = field(default_factory=list)
    """The settings that a sweep compares."""
    tuned: list[str] = field(default_factory=list)
    """The settings that a sweep tunes for each arm."""
    sweep: SweepLabel = field(default_factory=SweepLabel)
    """What a person calls the sweep."""
    notify: str | None = None
    """A command that is run in a shell when a trial or sweep on this machine is over, if that took over a minute; `bell` rings instead."""
