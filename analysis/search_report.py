"""`python -m analysis.search_report runs/sweeps/NAME`: the figures of a search, drawn from report/search.json into report/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from persona_exp.errors import UserError

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.search_report", description="Figures of a search.")
    parser.add_argument("folder", type=Path, help="the search's folder: runs/sweeps/NAME")
    parsed = parser.parse_args(arguments)
    try:
        paths = draw_search(parsed.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    for path in paths:
        print(path)
    if not paths:
        print("No figures: nothing of the search has run.")
    return 0


def draw_search(folder: Path) -> list[Path]:
    """Draw all figures of the search in `folder` that there are results for, and return their paths; none of a sweep that is no search.

    Raise UserError where report/search.json is damaged.
    """
    from analysis.asked_trials import read_search_results
    from analysis.attempt_timeline_figure import draw_timeline
    from analysis.parallel_coordinates_figure import draw_parallel_coordinates
    from analysis.pareto_front_figure import draw_pareto_front
    from analysis.search_contour_figure import draw_contour
    from analysis.search_history_figure import draw_history
    from analysis.search_slices_figure import draw_slices
    from analysis.setting_importance_figure import draw_importance

    search = read_search_results(folder)
    if search is None:
        return []
    draws = (draw_history, draw_importance, draw_slices, draw_parallel_coordinates, draw_contour, draw_pareto_front, draw_timeline)
    return [path for draw in draws for path in draw(search, folder / "report")]


if __name__ == "__main__":
    sys.exit(main())
