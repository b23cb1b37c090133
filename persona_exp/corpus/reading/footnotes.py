"""Footnotes and their marks."""

import re

from persona_exp.corpus.reading.headings import heading_kind
from persona_exp.corpus.reading.removed_text import Cuts

LABEL = r"(?:\d{1,3}|[A-Z]|\*{1,3}|[†‡])"
NOTE = re.compile(rf"(?:\A|(?<=\n\n))[ \t]{{0,40}}\[(?:Footnote[ \t]{{1,9}})?(?P<label>{LABEL})(?:\][ \t]|:)")
MARK = re.compile(rf"[ \t]?\[(?P<label>{LABEL})\]|(?<=[\w.,;!?”’\"'])[¹²³⁴⁵⁶⁷⁸⁹⁰]{{1,3}}")
INLINE = re.compile(r"[ \t]?\[Footnote\b[^\[\]]{0,4000}(?:\[[^\[\]]{0,500}\][^\[\]]{0,2000}){0,9}\]", re.IGNORECASE)
# "heifers1" and, elsewhere, a paragraph that begins "1 Heber C. Kemball".
PLAIN_NOTE = re.compile(r"(?:\A|(?<=\n\n))[ \t]{0,40}(?P<label>\d{1,2})[ \t](?=[A-Z“\"])")
PLAIN_MARK = re.compile(r"(?<=[a-z]{3})(?P<label>\d{1,2})(?=[\s,.;:!?”])")


def strip_footnotes(text: str, cuts: Cuts) -> str:
    """Return text without footnotes and their marks; a plain number is a mark only where a note begins with it, too."""
    text = _without(text, INLINE, "footnote", cuts)
    if "[" in text or any(digit in text for digit in "¹²³"):
        marks = {match["label"] for match in MARK.finditer(text) if match.start() > 0 and text[match.start() - 1] != "\n"}
        text = _without_notes(text, NOTE, marks, cuts)
        text = _without(text, MARK, "footnote marker", cuts)
    marks = {match["label"] for match in PLAIN_MARK.finditer(text)}
    notes = marks & {match["label"] for match in PLAIN_NOTE.finditer(text)} if marks else set()
    if not notes:
        return text
    text = _without_notes(text, PLAIN_NOTE, notes, cuts)

    def note(match: re.Match[str]) -> str:
        if match["label"] not in notes:
            return match[0]
        cuts.add("footnote marker", match[0])
        return ""

    return PLAIN_MARK.sub(note, text)


def _without(text: str, pattern: re.Pattern[str], kind: str, cuts: Cuts) -> str:
    def note(match: re.Match[str]) -> str:
        cuts.add(kind, match[0].strip())
        return ""

    return pattern.sub(note, text)


def _without_notes(text: str, pattern: re.Pattern[str], marks: set[str], cuts: Cuts) -> str:
    """Return text without the paragraphs that begin with one of `marks`."""
    kept: list[str] = []
    done = 0
    for match in pattern.finditer(text):
        end = text.find("\n\n", match.end())
        end = len(text) if end < 0 else end
        if match.start() < done or match["label"] not in marks or heading_kind(text[match.start() : end].strip()) is not None:
            continue
        cuts.add("footnote", text[match.start() : end])
        kept.append(text[done : match.start()])
        done = end
    return "".join([*kept, text[done:]]) if kept else text
