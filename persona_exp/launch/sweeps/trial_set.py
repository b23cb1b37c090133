"""The set of a sweep's trials, under their newest seals: `seals.json` in its folder, replaced by every run of its command."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from persona_exp import atomic_files
from persona_exp.damaged_records import Damaged, parsed_json, record_bytes, set_aside_if_damaged
from persona_exp.errors import UserError
from persona_exp.launch.sweeps.submission_record import all_submissions
from persona_exp.search.ask_files import read_asks
from persona_exp.search.study_settings import is_search, read_settings
from persona_exp.trial.added_trials import added_trials
from persona_exp.trial.folder_ids import is_seal_path
from persona_exp.trial.trial_directory import TrialDirectory

NAME = "seals.json"


@dataclass(frozen=True)
class SweepTrial:
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

    def directory(self, sweep_folder: Path) -> TrialDirectory:
        """Return the folder of the trial."""
        return TrialDirectory(sweep_folder.parent.parent / "trials" / self.trial_id)


def write(sweep_folder: Path, trials: Sequence[SweepTrial]) -> Path | None:
    """Replace the sweep's set of trials, and return where a damaged one is kept; None where it was whole or missing."""
    kept = set_aside_if_damaged(sweep_folder / NAME, lambda: written(sweep_folder))
    atomic_files.write_text(sweep_folder / NAME, json.dumps([asdict(one) for one in trials], ensure_ascii=False, indent=0) + "\n")
    return kept


def read(sweep_folder: Path) -> list[SweepTrial]:
    """Return the sweep's trials, in the order of its rows; of a search, those that were asked for so far behind its base model; then
    those that a person has added.

    Raise UserError where the file is missing, Damaged where it cannot be read and nothing was submitted.
    """
    try:
        listed = written(sweep_folder)
    except Damaged:
        # What was submitted says which they are, for a keeper that nobody watches.
        listed = list(
            dict.fromkeys(
                SweepTrial(seal, seal.split("/")[0]) for one in all_submissions(sweep_folder) for task in one.tasks for seal in task
            )
        )
        if not listed:
            raise
    found = [*listed, *asked_trials(sweep_folder)]
    known = {one.trial_id for one in found}
    return [*found, *(one for one in trials_added(sweep_folder) if one.trial_id not in known)]


def written(sweep_folder: Path) -> list[SweepTrial]:
    """Return the trials that the file lists. Raise Damaged where it cannot be read, UserError where there is none."""
    try:
        found = [SweepTrial(**one) for one in parsed_json(record_bytes(sweep_folder / NAME))]
        if not all(is_seal_path(one.seal) and isinstance(one.title, str) and isinstance(one.engine, str) for one in found):
            raise ValueError("it is not of the form that is written")
        return found
    except FileNotFoundError:
        raise UserError(f"{sweep_folder} does not say which trials it wants; run its sweep's command again.") from None
    except (ValueError, TypeError) as error:
        again = "run the sweep's command again, which writes it anew and keeps this file beside it"
        raise Damaged(f"{sweep_folder / NAME} is damaged: {again}.") from error


def asked_trials(sweep_folder: Path) -> list[SweepTrial]:
    """Return the trials that a search has asked for, each once, without those that are never run; of a grid, none."""
    if not is_search(sweep_folder):
        return []
    engine = read_settings(sweep_folder).engine
    asks = [ask for ask in read_asks(sweep_folder) if not ask.refused]
    return list({one.trial_id: SweepTrial(one.path, f"{ask.number}: {ask.title}", engine) for ask in asks for one in ask.trials}.values())


def trials_added(sweep_folder: Path) -> list[SweepTrial]:
    """Return the trials that a person has added to the sweep, in their order."""
    return [SweepTrial(one.path, one.title, one.engine) for one in added_trials(sweep_folder)]


def titles(trials: Sequence[SweepTrial]) -> dict[str, str]:
    """Return the titles by trial id."""
    return {one.trial_id: one.title for one in trials}
