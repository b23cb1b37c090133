"""Persons that a spaCy model finds in a text, where one is installed."""

from collections import Counter
from collections.abc import Sequence
from importlib import import_module

from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.errors import UserError

MODELS = ("en_core_web_trf", "en_core_web_lg", "en_core_web_md", "en_core_web_sm")
# A name that the model sees less often than this is its mistake as likely as not.
FEWEST = 2


def find_person_names(text: str, paragraphs: Sequence[Paragraph]) -> list[str]:
    """Return what the best installed spaCy model takes for persons, most often seen first. Raise UserError if none is installed."""
    try:
        spacy = import_module("spacy")
    except ImportError:
        raise UserError(
            "Finding names with a model needs spaCy; pip install spacy and a model such as en_core_web_sm, or leave it off."
        ) from None
    model = next((name for name in MODELS if spacy.util.is_package(name)), None)
    if model is None:
        raise UserError(f"spaCy has no English model; install one of {', '.join(MODELS)}, or leave it off.")
    seen: Counter[str] = Counter()
    pieces = (" ".join(text[paragraph.start : paragraph.end].split()) for paragraph in paragraphs)
    for document in spacy.load(model, exclude=["lemmatizer"]).pipe(pieces):
        seen.update(entity.text.strip() for entity in document.ents if entity.label_ == "PERSON")
    return [name for name, count in sorted(seen.items(), key=lambda item: (-item[1], item[0])) if count >= FEWEST]
