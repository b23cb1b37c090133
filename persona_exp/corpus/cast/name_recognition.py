"""Names in a text: every form in which a person is called, with what stands around it."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from persona_exp.corpus.cast.character_gender import HE, gender_of_given_name
from persona_exp.corpus.quotation.quotes import Span
from persona_exp.corpus.reading.paragraphs_and_scenes import Paragraph
from persona_exp.corpus.word_lists.name_titles import EPITHETS, PARTICLES, TITLE_KEYS
from persona_exp.corpus.word_lists.non_names import NON_NAMES, PLACE_NOUNS
from persona_exp.corpus.word_lists.speech_verbs import SAYS

CAPITAL = r"(?:St\.(?=\s+[A-Z])|[A-Z][\w]*[a-z]\w*(?:-\w+)*|[A-Z][’'][A-Z]\w+|(?!I\.)[A-Z]\.(?=\s+[A-Z]))"
SHORT = r"(?:Mr|Mrs|Ms|Dr|Capt|Col|Gen|Lieut|Lt|Sergt|Sgt|Prof|Maj|Rev|Mme|Mlle)"
TITLE = "|".join(sorted((title.capitalize() for title in TITLE_KEYS), key=lambda title: (-len(title), title)))
TITLED = r"(?:Mr|Mrs|Miss|Dr|Sir|Lady|Lord|Master)\b"
PARTICLE = r"(?:de\s+la|van\s+der|von\s+der|de|du|la|le|von|van|der|di|da|d[’'])"
NAME = re.compile(
    rf"(?<![\w’'])(?:(?:{SHORT}\.|(?:{TITLE})\b)\s{{1,2}}(?:{PARTICLE}\s)?)?{CAPITAL}(?:\s{{1,2}}(?!{TITLED})(?:{PARTICLE}\s)?{CAPITAL}){{0,4}}(?![\w])"
)
ORDINARY = re.compile(r"(?<![\w’'])[a-z][\w’']*")
PRONOUN = re.compile(r"\b(?:he|his|him|himself|she|her|hers|herself)\b", re.IGNORECASE)
SUBJECT = re.compile(
    r"\s+(?:\w+ly\s+)?(?:had|was|is|has|did|does|could|would|might|must|should|will|can|felt|knew|saw|made|took|came|went|sat|stood|rose|"
    r"ran|held|gave|left|kept|spoke|looked|turned|seemed|thought|\w{2,}ed)\b"
)
# These verbs of saying do as well for ships and tides.
WEAK = r"(?!(?:went|put|told|burst|broke|called|calling|returned|began|resumed)\b)"
SAYS_AFTER = re.compile(rf",?\s+(?:\w+ly\s+)?{WEAK}{SAYS}\b")
SAYS_BEFORE = re.compile(rf"\b{WEAK}{SAYS}\s+(?:\w+ly\s+)?(?:the\s+|poor\s+|old\s+|little\s+|young\s+)*$")
IN_A_PLACE = re.compile(r"\b(?:in|at|into|near|through|within|across|throughout|from|near)\s+$")
CALLED = re.compile(
    r"(?:[,—–-]|[,.!?]\s+(?:[Mm]y\s+)?(?:[Dd]ear(?:est)?|[Pp]oor|[Oo]ld|[Gg]ood)|\b[Mm]y\s+[Dd]ear(?:est)?|\b(?:Oh|Ah|O|Dear)|^)[,\s]*$"
)
# "Duncan Street, Saltmere": what is listed or described more closely is not addressed.
LISTED = re.compile(r"[\w,.]\s+[A-Z][\w’']*\.?,\s*$")
# A pronoun so near behind a name, in characters, means its bearer.
NEAR = 90

# A word so much oftener written small is a name only where it is often one.
COMMON = 10

# The title's key and the words of the name: ("mr", ("Sherlock", "Holmes")).
NameKey = tuple[str, tuple[str, ...]]


@dataclass
class NameCounts:
    """How often a person is called so: in all; in the middle of a sentence (`sure` to be a name); as who acts; as who says something in
    narration; in or at it, as in a place; behind "the"; addressed; and the pronouns that follow."""

    total: int = 0
    sure: int = 0
    narrated: int = 0
    acts: int = 0
    says: int = 0
    places: int = 0
    articles: int = 0
    addressed: int = 0
    men: int = 0
    women: int = 0

    def add(self, other: "NameCounts") -> None:
        """Count what `other` counts too."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass
class RecognisedNames:
    """All forms by key, how each is spelled, where in speech a person is addressed by it, and how often a word begins a place's name."""

    forms: dict[NameKey, NameCounts]
    spellings: dict[NameKey, Counter[str]]
    vocatives: list[tuple[int, NameKey]]
    located: Counter[str]


def name_key(name: str) -> NameKey:
    """Return title and words of a name as written; the words are empty for a title alone."""
    words = _without_epithets(name).split()
    title = ""
    while len(words) > 1 and words[0].rstrip(".").casefold() in TITLE_KEYS:
        title, words = TITLE_KEYS[words[0].rstrip(".").casefold()], words[1:]
    joined: list[str] = []
    for word in reversed(words):
        if joined and (word == "St." or (word.casefold() in PARTICLES and len(joined[-1]) > 1)):
            joined[-1] = f"{word} {joined[-1]}"
        else:
            joined.append(word)
    return title, tuple(joined[::-1])


def _without_epithets(name: str) -> str:
    words = name.split()
    while len(words) > 1 and words[0].casefold() in EPITHETS:
        words = words[1:]
    return " ".join(words)


def find_names(text: str, paragraphs: Sequence[Paragraph], said: Sequence[Span]) -> RecognisedNames:
    """Return the names in `paragraphs`; `said` are the spans of speech in them, in order.

    A word that begins a sentence is a name where it stands with a capital inside sentences too, or never without one.
    """
    names = RecognisedNames({}, {}, [], Counter())
    if not paragraphs:
        return names
    ordinary = Counter(ORDINARY.findall(text, paragraphs[0].start, paragraphs[-1].end))
    matches = [(match, initial) for paragraph in paragraphs for match, initial in _matches(text, paragraph)]
    inside = Counter(match[0].split()[0] for match, initial in matches if not initial)
    speech = 0
    for place, (match, initial) in enumerate(matches):
        while speech < len(said) and said[speech][1] <= match.start():
            speech += 1
        spoken = said[speech] if speech < len(said) and said[speech][0] <= match.start() else None
        found = _name(match, initial, ordinary, inside)
        if found is None:
            continue
        start, name = found
        name = _without_epithets(name)
        key = name_key(name)
        if not key[1] or key[1][-1] in NON_NAMES:
            continue
        if key[1][-1] in PLACE_NOUNS and key[0] not in ("mr", "mrs", "miss", "dr"):
            names.located[key[1][0]] += 1
            continue
        form = names.forms.setdefault(key, NameCounts())
        names.spellings.setdefault(key, Counter())[" ".join(name.split())] += 1
        following = matches[place + 1][0].start() if place + 1 < len(matches) else len(text)
        bounds = (spoken[0] if spoken else 0, min(following, spoken[1]) if spoken else following)
        form.sure += start > match.start() or not initial or bool(key[0])
        _count(form, text, start, match.end(), bounds, spoken)
        if spoken and _is_called(text, start, match.end(), spoken):
            form.addressed += 1
            names.vocatives.append((start, key))
    return names


def _matches(text: str, paragraph: Paragraph) -> list[tuple[re.Match[str], bool]]:
    """Return the runs of capitalised words of a paragraph, and whether each begins a sentence."""
    found = []
    for match in NAME.finditer(text, paragraph.start, paragraph.end):
        before = text[max(paragraph.start, match.start() - 4) : match.start()].rstrip(" \n\t")
        found.append((match, not before or before[-1] in ".!?:“”\"‘'(—–-*_…«»`’["))
    return found


def _name(match: re.Match[str], initial: bool, ordinary: Counter[str], inside: Counter[str]) -> tuple[int, str] | None:
    """Return where the name begins in a run of capitalised words, and the name; None where it holds none."""
    name, start = match[0].rstrip("_"), match.start()
    words = name.split()
    first = words[0]
    if initial and first.rstrip(".").casefold() not in TITLE_KEYS and ordinary[first.casefold()] > 2 * inside[first]:
        words = words[1:]
    elif (
        initial
        and len(words) > 1
        and not inside[first]
        and inside[words[1]]
        and gender_of_given_name(first) is None
        and first.rstrip(".").casefold() not in TITLE_KEYS
    ):
        # A sentence that begins with a rare word: "Resisting Pell …".
        words = words[1:]
    articled = match.string[max(0, start - 4) : start].casefold().split() == ["the"]
    while words and words[0] in NON_NAMES and words[0].rstrip(".").casefold() not in TITLE_KEYS and not (articled and len(words) == 2):
        words = words[1:]
    if len(words) > 1 and words[0].casefold() in ("the", "and", "but", "then"):
        words = words[1:]
    while len(words) > 1 and words[-1] in NON_NAMES:
        words = words[:-1]
    if len(words) == 1 and inside[words[0]] < COMMON and ordinary[words[0].casefold()] > COMMON * inside[words[0]]:
        return None
    if not words or words[0].casefold() in PARTICLES or (len(words) == 1 and words[0].endswith(".")):
        return None
    if words == name.split():
        return start, name
    kept = name[name.index(words[0], len(first)) :] if words[0] is not first and first != words[0] else name
    return start + len(name) - len(kept), " ".join(words)


def _count(form: NameCounts, text: str, start: int, end: int, bounds: Span, spoken: Span | None) -> None:
    """Count one place where a person is called so; pronouns that may mean another person stand outside `bounds`."""
    before = text[max(bounds[0], start - 40) : start]
    form.total += 1
    form.articles += before.endswith(("the ", "The ", "the\n", "The\n"))
    form.places += IN_A_PLACE.search(before) is not None
    form.acts += SUBJECT.match(text, end, min(len(text), end + 40)) is not None
    if spoken:
        return
    form.narrated += 1
    form.says += SAYS_AFTER.match(text, end, min(len(text), end + 40)) is not None or SAYS_BEFORE.search(before) is not None
    pronoun = PRONOUN.search(text, end, max(end, min(end + NEAR, bounds[1])))
    if pronoun:
        man = HE.fullmatch(pronoun[0]) is not None
        form.men += man
        form.women += not man


def _is_called(text: str, start: int, end: int, spoken: Span) -> bool:
    """Return whether the name is what a person is addressed by: "Come, Pell." "My dear Pell, …" """
    after = text[end : min(end + 2, spoken[1])].strip()
    if after and after[0] not in ",.!?;:—–-…":
        return False
    before = text[max(spoken[0], start - 30) : start]
    return CALLED.search(before) is not None and LISTED.search(before) is None
