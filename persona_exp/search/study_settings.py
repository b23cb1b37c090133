"""What a search is, written at its submission: `search.json` in its sweep's folder. A worker reads this and no conf/."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from persona_exp import atomic_files
from persona_exp.damaged_records import Damaged, parsed_json, record_bytes, set_aside_if_damaged
from persona_exp.errors import UserError
from persona_exp.trial.folder_ids import is_id

NAME = "search.json"
# What a trial costs; all other objectives are metrics of its evaluation.
COSTS = ("seconds", "gpu_seconds", "peak_memory_gb")


@dataclass(frozen=True)
class WarmStart:
    """A finished trial of an earlier sweep: what the settings were there, by name and as on a command line, and its objectives."""

    trial_id: str
    sweep: str
    overrides: dict[str, str]
    values: tuple[float, ...]


@dataclass(frozen=True)
class StudySettings:
    """`space` are the searched settings (search_space.Setting.to_json), `composed` those whose choices were composed beforehand.

    `n_trials` is the number of asks of the whole study; `seed` its own, from which with an ask's number the sampler's is made. `seeds`
    trials make one ask, with seeds that count up from each config's. `pruner` is null where nothing is pruned, with `pauses` a trial that
    is not promoted is paused. `fixed` is the digest of all that was composed, which may not change within a study. `code_folder` is that of
    runs/code whose code its workers run; `engine` trains its trials; `earlier` are the sweeps of search.from, and `warm` their
    finished trials.
    """

    command: str
    space: tuple[dict[str, Any], ...]
    composed: tuple[str, ...]
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    n_trials: int
    sampler: dict[str, Any]
    pruner: dict[str, Any] | None
    pauses: bool
    seeds: int
    seed: int
    constraints: tuple[str, ...]
    max_failure_rate: float
    custom_search_space: str | None
    fixed: str
    code_folder: str
    engine: str
    storage: str | None = None
    earlier: tuple[str, ...] = ()
    warm: tuple[WarmStart, ...] = field(default=())

    @property
    def prunes_by_loss(self) -> bool:
        """Whether the sampler may be given the validation losses of what was pruned: they are on one scale with nothing else."""
        return self.objectives == ("eval_loss",) and self.directions == ("minimize",)


def search_file(sweep_folder: Path) -> Path:
    """Return the file that makes a sweep's folder a search's."""
    return sweep_folder / NAME


def is_search(sweep_folder: Path) -> bool:
    """Return whether the folder is that of a search."""
    return search_file(sweep_folder).is_file()


def write_settings(sweep_folder: Path, settings: StudySettings) -> Path | None:
    """Replace what a search is: a person's command may ask for more trials. Return where a damaged file is kept, None where it was not."""
    kept = set_aside_if_damaged(search_file(sweep_folder), lambda: read_settings(sweep_folder))
    atomic_files.write_json(search_file(sweep_folder), asdict(settings))
    return kept


def read_settings(sweep_folder: Path) -> StudySettings:
    """Return what a search is. Raise UserError where its file is missing, Damaged where it cannot be read."""
    path = search_file(sweep_folder)
    try:
        return _settings(parsed_json(record_bytes(path)))
    except FileNotFoundError:
        raise UserError(f"{sweep_folder} is no search: there is no {NAME}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"{path} is damaged: give the search's command again, which writes it anew and keeps this file beside it.") from error


def _settings(written: Mapping[str, Any]) -> StudySettings:
    lists = {one.name: tuple(written[one.name]) for one in fields(StudySettings) if isinstance(written.get(one.name), list)}
    warm = tuple(WarmStart(**{**one, "values": tuple(one["values"])}) for one in written.get("warm", ()))
    found = StudySettings(**{**written, **lists, "warm": warm})
    texts = (found.command, *found.objectives, *found.directions, *found.constraints, *found.composed, *found.earlier, found.engine)
    numbers = (found.n_trials, found.seeds, found.seed)
    whole = all(isinstance(one, str) for one in texts) and all(isinstance(one, int) for one in numbers) and isinstance(found.sampler, dict)
    if not whole or not is_id(found.code_folder) or not all(isinstance(one, dict) for one in found.space):
        raise ValueError("it is not of the form that is written")
    return found


def to_ask(settings: StudySettings, asked: Sequence[int]) -> int:
    """Return how many asks are left to be made, where those of the numbers `asked` have been."""
    return max(0, settings.n_trials - (max(asked) + 1 if asked else 0))
