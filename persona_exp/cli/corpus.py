"""`persona-exp corpus …`: what is made of a book file."""

import argparse
from pathlib import Path
from typing import Any


def add_commands(nouns: Any) -> None:
    """Add the noun `corpus` and its verbs."""
    verbs = nouns.add_parser("corpus", help="look into book files").add_subparsers(required=True, metavar="VERB")
    inspect = verbs.add_parser("inspect", help="what was cut from a book and what was kept")
    inspect.add_argument("file", type=Path, nargs="+", help="book files (txt, docx, epub, pdf)")
    inspect.add_argument("--json", action="store_true", help="print JSON")
    inspect.set_defaults(run=_inspect)


def _inspect(arguments: argparse.Namespace) -> tuple[int, Any]:
    from rich.console import Console

    from persona_exp.corpus.inspection import inspect, show

    found = [inspect(path) for path in arguments.file]
    if not arguments.json:
        for inspection in found:
            Console().print(show(inspection))
    return 0, [inspection.as_dict() for inspection in found]
