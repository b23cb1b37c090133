"""The asks of a search as rows of its sweep, whether or not its sweep.yaml lists them yet, and what its trials' statuses mean to it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from persona_exp.damaged_records import record_bytes
from persona_exp.trial.attempt_records import PAUSED, PRUNED, ended_by_search
from persona_exp.trial.recorded_sweep import Sweep, SweepTrial
from persona_exp.trial.trial_status import TrialStatus


@dataclass(frozen=True)
class AskCounts:
    """How many asks a search has, of how many it is to have; `refused` of them are never run, `damaged` have a file that cannot be read."""

    asked: int
    of: int
    refused: int
    damaged: int

    @property
    def left(self) -> int:
        return max(0, self.of - self.asked)


def with_asks(folder: Path, sweep: Sweep) -> tuple[Sweep, AskCounts | None]:
    """Return the sweep with the trials of its asks behind those that it lists, and how many asks there are; None of what is no search."""
    from persona_exp.search.ask_files import Ask, ask_numbers, read_ask
    from persona_exp.search.study_settings import is_search, read_settings

    if not is_search(folder):
        return sweep, None
    numbers = ask_numbers(folder)
    read = [read_ask(folder, number) for number in numbers]
    asks: list[Ask] = [one for one in read if one is not None]
    listed = {one.trial_id: one for one in sweep.trials}
    for ask in asks:
        values = {name: _value(text) for name, text in ask.overrides.items()}
        for place, one in enumerate(ask.trials, start=1):
            seed = f"seed {place} of {len(ask.trials)}" if len(ask.trials) > 1 else ""
            evaluations = {"adapter": one.eval_id} if one.eval_id else {}
            if not ask.refused:
                listed.setdefault(one.trial_id, SweepTrial(one.trial_id, "adapter", values, evaluations, seed))
    asked = max(numbers, default=-1) + 1
    counts = AskCounts(asked, read_settings(folder).n_trials, sum(bool(one.refused) for one in asks), asked - len(asks))
    return replace(sweep, trials=list(listed.values())), counts


def as_search_means(state: TrialStatus, search: str) -> TrialStatus:
    """Return the status of a trial in the search of that name: what it pruned is pruned; for others that is interrupted."""
    if not is_paused_or_pruned(state, search):
        return state
    # Its own name says nothing new in its own table, and may be long.
    state = replace(state, message=(state.message or "").replace(f" by {search}", "") or None)
    return replace(state, status="pruned", cause=None) if state.record["cause"] == PRUNED else state


def is_paused_or_pruned(state: TrialStatus, search: str) -> bool:
    """Return whether the search of that name gave the trial up, and no other has taken it up since."""
    return state.status == "interrupted" and ended_by_search(state.record, search)


def is_paused(state: TrialStatus, search: str) -> bool:
    """Return whether the search of that name has paused the trial: it goes on only when it is among the best."""
    return is_paused_or_pruned(state, search) and state.record["cause"] == PAUSED


def asks_for(folder: Path, trial_id: str) -> bool:
    """Return whether a search has asked for a trial; its files are searched as text first."""
    from persona_exp.search.ask_files import ask_numbers, ask_path, read_ask

    for number in ask_numbers(folder):
        if trial_id.encode() in record_bytes(ask_path(folder, number)):
            ask = read_ask(folder, number)
            if ask and any(one.trial_id == trial_id for one in ask.trials):
                return True
    return False


def _value(text: str) -> Any:
    """Return a number or a truth value where the text is one; to parse thousands as Hydra does would take seconds."""
    try:
        return json.loads(text)
    except ValueError:
        return text
