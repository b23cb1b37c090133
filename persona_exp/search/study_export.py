"""A search written into a storage of Optuna's, for optuna-dashboard and optuna.load_study: a copy, made anew each time."""

import json
import os
import shutil
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend
from optuna.trial import FrozenTrial

from persona_exp import atomic_files
from persona_exp.errors import UserError
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.search_record import ask_record

SQLITE = "sqlite:///"


def export_study(study: RebuiltStudy, storage: str) -> str:
    """Write the study to `storage`, a journal FILE.log or a URL as of SQLAlchemy, and return what was written to.

    A file is replaced as a whole; in a database that is none, a study of this name is replaced. Raise UserError where it cannot be written.
    """
    if storage.startswith(SQLITE):
        return _replaced_file(study, Path(storage.removeprefix(SQLITE)))
    if "://" in storage:
        _into_database(study, storage)
        return storage
    if not storage.endswith(".log"):
        raise UserError(f"{storage} is no storage of Optuna's: give a journal FILE.log, or a URL such as sqlite:///x.db.")
    _check_journal(Path(storage), study.folder.name)
    collected = _CollectedLogs()
    _copy(study, JournalStorage(collected))
    lines = [json.dumps(one, separators=(",", ":")) + "\n" for one in collected.logs]
    atomic_files.write_text(Path(storage), "".join(lines))
    return storage


def absolute_storage(storage: str | None, here: Path) -> str | None:
    """Return `storage` with the path of a file made absolute: it is written by a process that works elsewhere. Raise UserError."""
    if storage is None or ("://" in storage and not storage.startswith(SQLITE)):
        return storage
    if storage.startswith(SQLITE):
        return f"{SQLITE}{here / storage.removeprefix(SQLITE)}"
    if not storage.endswith(".log"):
        raise UserError(f"hydra.sweeper.storage={storage} is no storage: give a journal FILE.log, or a URL such as sqlite:///x.db.")
    return str(here / storage)


class _CollectedLogs(BaseJournalBackend):
    """A journal in memory: written to a file at once, where Optuna's own would lock and flush it for each line."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return those from a number on."""
        return self.logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add logs."""
        self.logs.extend(logs)


def _check_journal(path: Path, name: str) -> None:
    """Raise UserError where a file is there that is more than an earlier export of this study."""
    if not path.exists() or not path.stat().st_size:
        return
    try:
        with path.open(encoding="utf-8") as lines:
            json.loads(next(lines))["op_code"]
        found = {one.study_name for one in JournalStorage(JournalFileBackend(str(path))).get_all_studies()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path} is there and is no journal of Optuna's: name another file.") from None
    if others := sorted(found - {name}):
        raise UserError(f"{path} holds another study ({others[0]}): name another file.")


def _replaced_file(study: RebuiltStudy, final: Path) -> str:
    """Write a SQLite file beside `final`, with the other studies that are there, and rename it."""
    staged = final.with_name(f".{final.name}.{os.uname().nodename}.{os.getpid()}.tmp")
    final.parent.mkdir(parents=True, exist_ok=True)
    staged.unlink(missing_ok=True)
    if final.exists():
        shutil.copyfile(final, staged)
    try:
        _into_database(study, f"{SQLITE}{staged}")
        staged.replace(final)
    finally:
        staged.unlink(missing_ok=True)
    return f"{SQLITE}{final}"


def _into_database(study: RebuiltStudy, url: str) -> None:
    shown = urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl()
    try:
        storage = optuna.storages.RDBStorage(url)
        if study.folder.name in [one.study_name for one in storage.get_all_studies()]:
            optuna.delete_study(study_name=study.folder.name, storage=storage)
        _copy(study, storage)
        storage.remove_session()
        storage.engine.dispose()
    except (ImportError, optuna.exceptions.OptunaError, ValueError) as error:
        raise UserError(f"The study cannot be written to {shown}: {' '.join(str(error).split()).rstrip('.')}.") from error
    except Exception as error:
        # SQLAlchemy has exceptions of its own, and each driver too.
        if not type(error).__module__.startswith("sqlalchemy"):
            raise
        raise UserError(f"The study cannot be written to {shown}: {str(error).partition(chr(10))[0]}.") from error


def _copy(study: RebuiltStudy, storage: BaseStorage) -> None:
    """Make the study with all its trials in `storage`."""
    made = optuna.create_study(storage=storage, study_name=study.folder.name, directions=study.settings.directions)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        # Names of objectives are an experiment of Optuna's since version 3.2.
        warnings.simplefilter("ignore")
        made.set_metric_names(list(study.settings.objectives))
    made.set_user_attr("command", study.settings.command)
    for key, value in study.study._storage.get_study_system_attrs(study.study._study_id).items():
        storage.set_study_system_attr(made._study_id, key, value)
    for trial in study.study.get_trials(deepcopy=True):
        made.add_trial(_described(study, trial))


def _described(study: RebuiltStudy, trial: FrozenTrial) -> FrozenTrial:
    """Return a trial with the ask, its trials and its times, which the study in memory does without."""
    number = trial.number - study.offset
    if number < 0:
        warm = study.settings.warm[trial.number]
        trial.user_attrs = {"warm_start": True, "trial_ids": [warm.trial_id], "sweep": warm.sweep}
        return trial
    record = ask_record(study, number)
    trial.user_attrs = {"ask": number, "state": record["state"], "trial_ids": record["trials"]}
    if record["why"]:
        trial.user_attrs["why"] = record["why"]
    attempts = record.get("attempts") or [{"started": record.get("asked"), "ended": record.get("asked")}]
    started = [found for one in attempts if (found := _time(one["started"]))]
    ended = [found for one in attempts if (found := _time(one["ended"]))]
    trial.datetime_start = min(started, default=trial.datetime_start)
    if trial.state.is_finished():
        trial.datetime_complete = max([*ended, *started], default=trial.datetime_complete)
    return trial


def _time(text: str | None) -> datetime | None:
    """Return a recorded time as Optuna keeps it: local, without a zone."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone().replace(tzinfo=None)
