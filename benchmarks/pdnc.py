"""Novels annotated with who says what, in the format of the Project Dialogism Novel Corpus; and the baseline they are scored beside."""

import ast
import csv
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from persona_exp.corpus.cast.character import Character
from persona_exp.corpus.quotation.quotes import Quote, join_spans
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph, find_paragraphs
from persona_exp.errors import UserError

GENDERS = {"M": "male", "F": "female"}
KINDS = ("explicit", "anaphoric", "implicit")
WORD = re.compile(r"\w+")
TITLES = frozenset(("mr", "mrs", "miss", "dr", "sir", "lady", "the", "m", "madame"))
SAYS = r"\b(?:said|asked|cried|replied|answered|exclaimed|returned|observed|continued|added|remarked|inquired|repeated|thought)\b"
FILES = ("novel_text.txt", "quotation_info.csv", "character_info.csv")
# Rows that name nobody in particular.
NOBODY = ("_group", "_unknowable", "_unknown", "_narr")


@dataclass(frozen=True)
class Novel:
    """One novel. `gold` (main names) and `kinds` (of KINDS, else "") go with `quotes`; `owners` maps a name, case-folded, to the main names
    it may mean: a main name means its character alone, an alias all who have it."""

    name: str
    text: str
    paragraphs: tuple[Paragraph, ...]
    quotes: tuple[Quote, ...]
    gold: tuple[str, ...]
    kinds: tuple[str, ...]
    cast: tuple[Character, ...]
    owners: dict[str, frozenset[str]]

    @property
    def words(self) -> int:
        """Words of the whole text."""
        return len(self.text.split())

    @property
    def names(self) -> frozenset[str]:
        """The main names of the cast."""
        return frozenset(character.name for character in self.cast)

    def same(self, speaker: str | None, gold: str) -> bool:
        """Return whether `speaker` is the character `gold`, by main name or alias."""
        return speaker is not None and (speaker == gold or gold in self.owners.get(speaker.casefold(), ()))

    def same_person(self, speaker: str | None, gold: str) -> bool:
        """Return as `same` does, for names of our own finding that the alias table may lack: all words of `speaker`, titles left out,
        are words of the names of `gold`."""
        if speaker is None or self.same(speaker, gold):
            return speaker is not None
        words = set(WORD.findall(speaker.casefold())) - TITLES
        own = {word for alias, names in self.owners.items() if gold in names for word in WORD.findall(alias)}
        return bool(words) and words <= own


def novels_in(folder: Path, names: Sequence[str]) -> list[Novel]:
    """Return the novels `names` in `folder`, else all. Raise UserError if one is missing, or has a file that is not as PDNC has it."""
    if not folder.is_dir():
        raise UserError(f"The folder {folder} does not exist; give --pdnc the folder with a folder a novel.")
    there = sorted(path.name for path in folder.iterdir() if all((path / file).is_file() for file in FILES))
    if not there:
        raise UserError(f"No folder in {folder} holds {', '.join(FILES)}; give --pdnc the folder with a folder a novel.")
    for name in names:
        if name not in there:
            raise UserError(f"{folder} has no novel {name} with {', '.join(FILES)}; choose from {', '.join(there)}.")
    return [read_novel(folder / name) for name in names or there]


def read_novel(folder: Path) -> Novel:
    """Return the novel in `folder`, without rows that lack spans or speaker. Raise UserError if a file cannot be read so."""
    try:
        text = (folder / FILES[0]).read_bytes().decode("utf-8")
        quotations = _rows(folder / FILES[1])
        people = _rows(folder / FILES[2])
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"The novel in {folder} cannot be read ({error}); correct or leave out that folder.") from None
    for file, rows, column in ((FILES[1], quotations, "quoteByteSpans"), (FILES[2], people, "Main Name")):
        if rows and column not in rows[0]:
            raise UserError(f"{folder / file} has no column {column}; give files in the format of PDNC.")
    if "\r" in text:
        # Offsets may have been counted with one character a line end.
        text = max(text, text.replace("\r\n", "\n").replace("\r", "\n"), key=lambda reading: _fitting(reading, quotations))
    cast, owners = _cast(people)
    paragraphs = tuple(find_paragraphs(text))
    starts = [paragraph.start for paragraph in paragraphs]
    read: list[tuple[Quote, str, str]] = []
    for row in quotations:
        spans = _spans(row.get("quoteByteSpans"), len(text))
        speaker = (row.get("speaker") or "").strip()
        if spans and speaker and starts:
            first, last = (max(0, bisect_right(starts, place) - 1) for place in (spans[0][0], spans[-1][0]))
            kind = (row.get("quoteType") or "").strip().lower()
            quote = Quote(0, spans, first, last, join_spans(text, spans))
            read.append((quote, _main(speaker, owners), kind if kind in KINDS else ""))
    read.sort(key=lambda one: (one[0].start, one[0].end))
    quotes, gold, kinds = tuple(one[0] for one in read), tuple(one[1] for one in read), tuple(one[2] for one in read)
    return Novel(folder.name, text, paragraphs, quotes, gold, kinds, cast, owners)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _literal(cell: str | None) -> object:
    try:
        return ast.literal_eval(cell or "[]")
    except (ValueError, SyntaxError):
        return []


def _spans(cell: str | None, length: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of one quotation; empty ones and those outside the text are left out."""
    pairs = _literal(cell)
    found = []
    for pair in pairs if isinstance(pairs, list | tuple) else []:
        if isinstance(pair, list | tuple) and len(pair) == 2:
            start, end = pair
            if not (isinstance(start, int) and isinstance(end, int)):
                continue
            if 0 <= start < end <= length:
                found.append((start, end))
    return tuple(sorted(found))


def _fitting(text: str, quotations: Sequence[dict[str, str]]) -> int:
    """Return how many quotations stand in `text` where their spans say."""
    fitting = 0
    for row in quotations:
        spans = _spans(row.get("quoteByteSpans"), len(text))
        fitting += bool(spans) and " ".join(text[slice(*spans[0])].split()) in " ".join((row.get("quoteText") or "").split())
    return fitting


def _cast(people: Sequence[dict[str, str]]) -> tuple[tuple[Character, ...], dict[str, frozenset[str]]]:
    cast = []
    owners: dict[str, frozenset[str]] = {}
    people = [row for row in people if (row["Main Name"] or "").strip()]
    for row in people:
        name = row["Main Name"].strip()
        listed = _literal(row.get("Aliases"))
        aliases = sorted(str(alias).strip() for alias in listed if str(alias).strip()) if isinstance(listed, set | list | tuple) else []
        for alias in aliases:
            owners[alias.casefold()] = owners.get(alias.casefold(), frozenset()) | {name}
        if name.casefold() not in NOBODY:
            narrator = any(alias.casefold() in ("narr", "narrator", "the narrator") for alias in aliases)
            others = tuple(alias for alias in aliases if alias != name and alias.casefold() != "narr")
            cast.append(Character(name, others, narrator, GENDERS.get((row.get("Gender") or "").strip())))
    for row in people:
        owners[row["Main Name"].strip().casefold()] = frozenset((row["Main Name"].strip(),))
    return tuple(cast), owners


def _main(speaker: str, owners: dict[str, frozenset[str]]) -> str:
    """Return the main name of a speaker cell, which may hold an alias."""
    names = owners.get(speaker.casefold(), frozenset())
    return min(names) if names else speaker


def nearest_cue(novel: Novel) -> list[str | None]:
    """Return the baseline's speakers. A name beside a verb of saying in the quotation's paragraph speaks; beside "he" or "she" it is the
    name of that gender nearest before; else, where no narration stands between, the speaker before the last one; else the name nearest
    before."""
    names = {alias.casefold(): character for character in novel.cast for alias in (character.name, *character.aliases)}
    forms = [re.escape(alias) for alias in sorted(names, key=lambda alias: (-len(alias), alias))]
    anybody = re.compile(
        rf"(?<!\w)(?:{'|'.join('[Tt]he' + form[3:] if form.startswith('the') else _capitals(form) for form in forms)})(?!\w)"
    )
    who = rf"(?P<{{}}>{anybody.pattern}|he\b|she\b|He\b|She\b)"
    beside = re.compile(rf"{SAYS}\s+{who.format('behind')}|{who.format('ahead')}\s+(?:\w+ly\s+)?{SAYS}")
    inside = bytearray(len(novel.text))
    for quote in novel.quotes:
        for start, end in quote.spans:
            inside[start:end] = b"\1" * (end - start)
    mentions = [(match.start(), names[match[0].casefold()]) for match in anybody.finditer(novel.text) if not inside[match.start()]]
    places = [place for place, _ in mentions]

    def nearest(place: int, gender: str | None) -> str | None:
        for _, character in reversed(mentions[max(0, bisect_right(places, place) - 30) : bisect_right(places, place)]):
            if gender is None or character.gender == gender:
                return character.name
        return None

    speakers: list[str | None] = []
    for number, quote in enumerate(novel.quotes):
        first, last = novel.paragraphs[quote.first], novel.paragraphs[quote.last]
        stretch = range(min(first.start, quote.start), max(last.end, quote.end))
        narration = "".join("\n" if inside[place] else novel.text[place] for place in stretch)
        cue = beside.search(narration)
        said = (cue["behind"] or cue["ahead"]).casefold() if cue else ""
        follows = number > 1 and quote.first - novel.quotes[number - 1].last == 1
        if said in names:
            speakers.append(names[said].name)
        elif said:
            speakers.append(nearest(quote.start, "male" if said == "he" else "female"))
        else:
            speakers.append(speakers[-2] if follows and speakers[-2] != speakers[-1] else nearest(quote.start, None))
    return speakers


def _capitals(form: str) -> str:
    """Return a case-folded name as a pattern that asks for capitals where names have them."""
    return re.sub(
        r"(?<![a-zà-ÿ’'\\])[a-zà-ÿ]", lambda letter: f"[{letter[0]}{letter[0].upper()}]" if letter.start() else letter[0].upper(), form
    )
