"""`persona-exp corpus …`: what is made of a book file."""

import argparse
from pathlib import Path
from typing import Any

from persona_exp.cli.text.escaped_output import coloured_output


def add_commands(nouns: Any) -> None:
    """Add the noun `corpus` and its verbs."""
    verbs = nouns.add_parser("corpus", help="book files: inspect, cast").add_subparsers(required=True, metavar="VERB")
    inspect_book = verbs.add_parser("inspect", help="what was cut from a book and what was kept")
    inspect_book.add_argument("file", type=Path, nargs="+", help="book files (txt, docx, epub, pdf)")
    inspect_book.add_argument("--json", action="store_true", help="print JSON")
    inspect_book.set_defaults(run=_inspect)
    cast = verbs.add_parser("cast", help="who speaks in a book, and how often: names for persona.name and persona.aliases")
    cast.add_argument("file", type=Path, help="a book file")
    cast.add_argument("--json", action="store_true", help="print JSON")
    cast.set_defaults(run=_cast)


def _cast(arguments: argparse.Namespace) -> tuple[int, Any]:
    from collections import Counter

    from persona_exp.corpus.book import read_book
    from persona_exp.corpus.quotes_with_speakers import find_quotes_with_speakers
    from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE

    speech = find_quotes_with_speakers(read_book(arguments.file))
    spoken = Counter(quote.speaker for quote in speech.quotes)
    sure = Counter(quote.speaker for quote in speech.quotes if quote.confidence >= DEFAULT_CONFIDENCE)
    people = [
        {
            "name": one.name,
            "aliases": list(one.aliases),
            "gender": one.gender,
            "narrator": one.narrator,
            "quotations": spoken[one.name],
            "sure": sure[one.name],
        }
        for one in sorted(speech.characters, key=lambda one: (-spoken[one.name], one.name))
        if spoken[one.name]
    ]
    if not arguments.json:
        _print_people(people)
    return 0, people


def _print_people(people: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "also called", "gender", "quotations", "sure", box=None)
    for one in people:
        name = f"{one['name']} (narrator)" if one["narrator"] else one["name"]
        table.add_row(name, ", ".join(one["aliases"]), one["gender"] or "–", f"{one['quotations']:,}", f"{one['sure']:,}")
    Console(file=coloured_output()).print(table)


def _inspect(arguments: argparse.Namespace) -> tuple[int, Any]:
    from rich.console import Console

    from persona_exp.corpus.book_inspection import inspect_book, inspection_text

    found = [inspect_book(path) for path in arguments.file]
    if not arguments.json:
        for inspection in found:
            Console(file=coloured_output()).print(inspection_text(inspection))
    return 0, [inspection.as_dict() for inspection in found]
