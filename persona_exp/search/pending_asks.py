"""What a training child of a search runs next: trials that were begun and left, then those that deserve to go on, then new asks."""

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from persona_exp.search.ask_files import Ask
from persona_exp.search.composed_configs import read_composed
from persona_exp.search.memory_before_running import memory_estimate
from persona_exp.search.pruning import promotable
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.suggestion import ask_next
from persona_exp.trial.attempt_records import PAUSED, PRUNED, attempt_files, read_record
from persona_exp.trial.seal import SealedInputs, read_seal, seal
from persona_exp.trial.seal_facts import all_published, read_seal_facts
from persona_exp.trial.unbegun_seals import unbegun_seals

# Why an attempt ended that may be gone on with at once: its process was asked to leave, or another search thought too little of it.
LEFT = ("signal", "preempted", "time_limit", PRUNED, PAUSED)
# So many trials of other base models are asked for while the places of a bundle are filled.
MOST_ASIDE = 8


class PendingAsks:
    """The seals that a search has for a process: those given, then those of its asks, made as places become free.

    What a person has added comes first, then an ask that was made and not begun, then a promoted one, then a new one.
    """

    waits_for_results = True

    def __init__(self, search_folder: Path, given: Sequence[Path], stopped: Callable[[], bool]) -> None:
        """Once `stopped`, nothing more is asked. Raise UserError where the folder is no search."""
        self.study = RebuiltStudy(search_folder.absolute())
        self._composed = read_composed(search_folder)
        self._given = deque(given)
        self._stopped = stopped
        self._of_other_bases: deque[Path] = deque()
        self._begun: set[Path] = set()
        self._offered: dict[int, int] = {}

    def next_seal(self, base: str | None) -> Path | None:
        """Return the next seal, with a base only one that shares it; None when there is none now."""
        if base is None and self._of_other_bases:
            return self._begin(self._of_other_bases.popleft())
        while self._given or not self._stopped():
            if not self._given and (len(self._of_other_bases) >= MOST_ASIDE or not self._more()):
                return None
            path = self._given.popleft()
            if base is None or read_seal_facts(path).get("base") == base:
                return self._begin(path)
            # For when this bundle is done; its places are filled with others meanwhile.
            self._of_other_bases.append(path)
        return None

    def _begin(self, path: Path) -> Path:
        """Return the seal, made anew where other code made it: this process may not run that."""
        self._begun.add(path)
        code = self.study.settings.code_folder
        facts = read_seal_facts(path)
        if facts["code_folder"] == code:
            return path
        config = read_seal(path)[1]
        inputs = SealedInputs(config.model.location, config.model.revision, facts["model_digest"], facts["data_id"], facts["data_sha256"])
        return seal(config, command=self.study.settings.command, inputs=inputs).path

    def _more(self) -> bool:
        """Put the trials of one ask, or those that a person has added, into the queue; return False when there is none."""
        while True:
            self.study.refresh()
            added = [one for one in unbegun_seals(self.study.folder, self.study.settings.code_folder) if one not in self._begun]
            if added:
                self._given.extend(added)
                return True
            ask = next(iter([*self._unbegun(), *self._promoted()]), None) or ask_next(
                self.study, self._composed, lambda config: memory_estimate(config, self.study.settings.constraints)
            )
            if ask is None:
                return False
            if ask.refused:
                print(f"Ask {ask.number} ({ask.title}) is not run: {ask.refused}.", flush=True)
                continue
            left = [path for path in self._seals(ask) if not all_published(path)]
            self._given.extend(left)
            if left:
                return True
            print(f"Ask {ask.number} ({ask.title}) is answered by what is finished already.", flush=True)

    def _unbegun(self) -> list[Ask]:
        """Return the asks whose trials nobody has begun, or that were asked to leave, and that nobody here has taken.

        What was killed or ran out of memory is for a worker to judge, before it starts a process.
        """
        found = zip(self.study.asks, self.study.results, strict=True)
        return [ask for ask, result in found if ask and result.state == "open" and any(map(self._free, self._seals(ask)))]

    def _promoted(self) -> list[Ask]:
        """Return the paused asks that deserve to go on, each once for each time that it was paused."""
        found = []
        for ask in promotable(self.study):
            attempts = sum(len(attempt_files(path.parents[1])) for path in self._seals(ask))
            if self._offered.get(ask.number) != attempts:
                found.append((attempts, ask))
        if found:
            self._offered[found[0][1].number] = found[0][0]
        return [ask for _, ask in found[:1]]

    def _free(self, seal: Path) -> bool:
        attempts = attempt_files(seal.parents[1])
        if seal in self._begun or seal in self._of_other_bases:
            return False
        if not attempts:
            return True
        last = read_record(attempts[-1])
        return bool(last["status"] == "interrupted" and last.get("cause") in LEFT)

    def _seals(self, ask: Ask) -> list[Path]:
        return [self.study.runs / "trials" / one.path for one in ask.trials]
