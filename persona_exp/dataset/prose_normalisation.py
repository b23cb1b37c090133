"""Prose normalised for the model: one typography for all books, cut only between sentences."""

import re

from persona_exp.corpus.reading.paragraphs_and_scenes import on_one_line

# Editions differ in their quotation marks and dashes; a model must not have to learn which book it is in.
TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "–": "-"})
ABBREVIATION = re.compile(r"\b(?:Mr|Mrs|Ms|Messrs|Dr|St|Capt|Col|Lieut|Sergt|Rev|Prof|Hon|No|Esq|vol|[A-Z])\.[\"']?$")
SENTENCE = re.compile(r"\S.*?(?:[.!?]+[\"')\]]*(?=\s|$)|$)", re.DOTALL)


def normalise_prose(text: str) -> str:
    """Return `text` with straight quotation marks and apostrophes, "—" for each dash, one blank between words; paragraphs keep an empty
    line."""
    text = re.sub(r"\s*-{2,}\s*", "—", text.translate(TYPOGRAPHY))
    return "\n\n".join(on_one_line(paragraph) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip())


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`; "Mr. Pell" does not end one."""
    found: list[str] = []
    for match in SENTENCE.finditer(text):
        if found and ABBREVIATION.search(found[-1]):
            found[-1] += " " + match[0]
        else:
            found.append(match[0])
    return found


def last_sentences(text: str, max_words: int) -> tuple[str, bool]:
    """Return the end of `text`, whole sentences of at most `max_words` words in all, and whether something was cut.

    Of a last sentence that is longer itself, its last words.
    """
    if len(text.split()) <= max_words:
        return text, False
    kept: list[str] = []
    room = max_words
    for sentence in reversed(sentences(text)):
        room -= len(sentence.split())
        if room < 0:
            break
        kept.insert(0, sentence)
    return " ".join(kept) or " ".join(text.split()[-max_words:] if max_words else []), True
