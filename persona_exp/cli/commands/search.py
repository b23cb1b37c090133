"""`persona-exp search SWEEP`: how a search stands: the best, what was given up, what is asked next and why, which settings matter."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.abbreviated_names import find_sweep
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.text.escaped_output import own_sequence
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError

if TYPE_CHECKING:
    from persona_exp.search.rebuilt_study import RebuiltStudy

# Each time all files of trials that are not settled are read again.
REDRAW_SECONDS = 10.0


def add_commands(nouns: Any) -> None:
    """Add the verb `search`."""
    search = nouns.add_parser("search", help="how a search stands: the best, the given up, what is asked next, which settings matter")
    search.add_argument("sweep", help="a search's name or the beginning of one")
    search.add_argument("--all", action="store_true", help="list every trial that was asked for")
    search.add_argument("--watch", action="store_true", help="draw it again until the search has ended")
    search.add_argument("--export", metavar="FILE.log", help="write it for Optuna (load_study, optuna-dashboard); also sqlite:///FILE.db")
    search.add_argument("--figures", action="store_true", help="draw its figures into its report/ folder")
    search.add_argument("--json", action="store_true", help="print JSON")
    search.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.search.rebuilt_study import RebuiltStudy
    from persona_exp.search.study_settings import is_search

    runs = runs_folder().absolute()
    if arguments.watch and (arguments.json or arguments.export or arguments.figures):
        raise UserError("--watch stands alone: leave out --json, --export and --figures, or --watch.")
    name = find_sweep(runs, arguments.sweep)
    folder = runs / "sweeps" / name
    if not is_search(folder):
        raise UserError(f"{name} is a sweep of listed values, not a search: `persona-exp status` and `show` tell of it.")
    study = RebuiltStudy(folder)
    if arguments.watch:
        _watch(study, every=arguments.all)
        return 0, None
    study.refresh()
    code = _write(study, arguments)
    if arguments.json:
        return code, _answer(study)
    if not (arguments.export or arguments.figures):
        print(_text(study, every=arguments.all))
    return code, None


def _write(study: "RebuiltStudy", arguments: argparse.Namespace) -> int:
    """Write what is asked for beside the text; return the exit code."""
    if arguments.export:
        from persona_exp.search.study_export import export_study

        written = export_study(study, arguments.export)
        if not arguments.json:
            print(f"{counted(len(study.study.get_trials(deepcopy=False)), 'trial')} of the study {study.folder.name} in {written}")
    if not arguments.figures:
        return 0
    from persona_exp.launch.sweeps.finish_sweep import search_figures

    return search_figures(study, quiet=arguments.json)


def _answer(study: "RebuiltStudy") -> dict[str, Any]:
    from persona_exp.search.search_record import importance_record, search_record

    return {**search_record(study), "hold": _hold(study.folder), "next": _next(study), "importance": importance_record(study)}


def _text(study: "RebuiltStudy", *, every: bool, under_way: bool = False) -> str:
    """Return the text; of a search that is `under_way` and watched without importance, which takes seconds of many trials."""
    from persona_exp.cli.text.search_text import search_text
    from persona_exp.search.search_record import importance_record

    importance = {"refused": "Importance of settings is shown at the end, or without --watch."} if under_way else importance_record(study)
    return search_text(study, hold=_hold(study.folder), coming=_next(study), importance=importance, every=every)


def _hold(folder: Path) -> dict[str, Any] | None:
    from persona_exp.launch.recovery import sweep_hold

    return sweep_hold.read(folder)


def _next(study: "RebuiltStudy") -> dict[str, Any]:
    from persona_exp.search.composed_configs import read_composed
    from persona_exp.search.next_ask import next_ask

    return vars(next_ask(study, read_composed(study.folder)))


def _watch(study: "RebuiltStudy", *, every: bool) -> None:
    """Draw it until nothing of it can change by itself, or a person has seen enough."""
    try:
        while True:
            study.refresh()
            ended = _ended(study)
            _draw(_text(study, every=every, under_way=not ended))
            if ended:
                return
            time.sleep(REDRAW_SECONDS)
    except KeyboardInterrupt:
        return


def _ended(study: "RebuiltStudy") -> bool:
    """Return whether none runs, and none will: the search is held, or all have been asked for and none waits or would be promoted."""
    if any(one.state == "running" for one in study.results):
        return False
    return _hold(study.folder) is not None or _next(study)["kind"] == "none"


def _draw(text: str) -> None:
    if sys.stdout.isatty():
        # Home, the text with the rest of each line cleared, then all below: nothing flickers.
        sys.stdout.write(own_sequence("H") + f"{text}\n".replace("\n", own_sequence("K") + "\n") + own_sequence("J"))
    else:
        print(f"{text}\n")
    sys.stdout.flush()
