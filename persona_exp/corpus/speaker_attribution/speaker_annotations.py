"""Speakers annotated by hand: a CSV file beside the books that names who says each quotation."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from persona_exp.corpus.quotation.quotes import Quote, Span, cut_to_spans
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.errors import UserError

COLUMNS = ("book", "start", "end", "speaker", "text")


def read_speaker_annotations(path: Path) -> dict[str, dict[Span, str]]:
    """Return the speaker by span, by book file name, of a CSV file with the columns of `COLUMNS`.

    `start` and `end` are character offsets into the book's text of what stands between the marks; an empty speaker means that it is not
    speech. Raise UserError if the file is missing, or a row is not so.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ())[: len(COLUMNS)] != COLUMNS:
                raise UserError(f"{path} has no columns {', '.join(COLUMNS)}; put that line on top.")
            given: dict[str, dict[Span, str]] = {}
            for row in rows:
                given.setdefault(row["book"], {})[int(row["start"]), int(row["end"])] = row["speaker"]
            return given
    except OSError:
        raise UserError(f"The file of speakers {path} cannot be read; correct corpus.speakers.") from None
    except (ValueError, TypeError):
        raise UserError(f"Line {rows.line_num} of {path} has no numbers in start and end; correct it.") from None


def apply_speaker_annotations(
    quotes: Sequence[Quote], text: str, paragraphs: Sequence[Paragraph], given: Mapping[Span, str]
) -> list[Quote]:
    """Return `quotes` with the speakers `given` for their pieces, cut where the speaker changes; one not listed stays nobody's."""
    decided: list[Quote] = []
    for quote in quotes:
        for speaker, spans in groupby(quote.spans, key=lambda span: given.get(span)):
            if speaker == "":
                continue
            own = tuple(spans)
            piece = quote if own == quote.spans else cut_to_spans(quote, text, own, paragraphs)
            decided.append(replace(piece, speaker=speaker, rule="given", confidence=1.0) if speaker else piece)
    return decided
