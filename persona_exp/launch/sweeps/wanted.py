"""The trials that a sweep wants, under their newest seals: `seals.json` in its folder, replaced by every run of its command."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from persona_exp import files
from persona_exp.errors import UserError
from persona_exp.trial.directory import Directory

NAME = "seals.json"


@dataclass(frozen=True)
class Wanted:
    """`seal` is a path relative to runs/trials, `title` how a person would name the trial within its sweep."""

    seal: str
    title: str
    engine: str = "sft"

    @property
    def trial_id(self) -> str:
        return self.seal.split("/")[0]

    @property
    def seal_name(self) -> str:
        return self.seal.rsplit("/", 1)[1]

    def directory(self, sweep_folder: Path) -> Directory:
        """The folder of the trial."""
        return Directory(sweep_folder.parent.parent / "trials" / self.trial_id)


def write(sweep_folder: Path, wanted: Sequence[Wanted]) -> None:
    """Say what the sweep wants now."""
    files.write_text(sweep_folder / NAME, json.dumps([asdict(one) for one in wanted], ensure_ascii=False, indent=0) + "\n")


def read(sweep_folder: Path) -> list[Wanted]:
    """What the sweep wants, in the order of its rows. Raises UserError where nobody has said so."""
    try:
        return [Wanted(**one) for one in json.loads((sweep_folder / NAME).read_text(encoding="utf-8"))]
    except FileNotFoundError:
        raise UserError(f"{sweep_folder} does not say which trials it wants; run its sweep's command again.") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{sweep_folder / NAME} is damaged: remove it and run the sweep's command again.") from error


def titles(wanted: Sequence[Wanted]) -> dict[str, str]:
    """By trial id."""
    return {one.trial_id: one.title for one in wanted}
