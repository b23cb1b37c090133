"""Narration parsed: its sentences, whom they mention, who acts in them and which verbs of saying they have."""

from dataclasses import dataclass, field

from persona_exp.corpus.cast.name_forms import NameForms
from persona_exp.corpus.cast.name_tokens import TOKEN, token_key
from persona_exp.corpus.word_lists.function_words import ADVERBS, AUXILIARIES, CONJUNCTIONS, DETERMINERS, IRREGULAR_PASTS, PREPOSITIONS
from persona_exp.corpus.word_lists.name_titles import FEMALE_TITLES, MALE_TITLES, TITLES
from persona_exp.corpus.word_lists.non_names import NON_NAME_TOKENS
from persona_exp.corpus.word_lists.person_nouns import FEMALE_NOUNS, MALE_NOUNS, PEOPLE_NOUNS
from persona_exp.corpus.word_lists.speech_verbs import PARTICIPLES, SAYING

NAME, PRONOUN, NARRATOR_I, MANY, DESCRIPTION, OUTSIDER = range(6)
PRONOUNS = {
    "he": ("male", True), "she": ("female", True), "him": ("male", False), "himself": ("male", False), "herself": ("female", False),
    "his": ("male", False), "her": ("female", False), "hers": ("female", False),
}  # fmt: skip
ENDEARMENTS = frozenset(("old", "poor", "young", "little", "dear", "good"))
OWNERS = {"his": "male", "her": "female"}
MARKS = frozenset("\"“”‘’'()[]*_")
SENTENCE_ENDS = frozenset(".!?")
# A sentence of more tokens is cut, so that work stays linear in a text without full stops.
LONGEST = 300
SUBJECT_PRONOUNS = frozenset(("he", "she", "i", "they", "we"))


@dataclass(slots=True)
class Mention:
    """A person in narration: tokens `first` to `last` (exclusive) of the sentence. `people` are indices into the cast. `owner`,
    `owned` and `owner_gender` are about "her mother", "Emma's mother"."""

    kind: int
    first: int
    last: int
    people: tuple[int, ...] = ()
    gender: str | None = None
    words: str = ""
    subject: bool = False
    possessive: bool = False
    spoken_to: bool = False
    owner: tuple[int, ...] = ()
    owned: bool = False
    owner_gender: str | None = None

    @property
    def head(self) -> str:
        """The noun of a description."""
        return self.words.rsplit(" ", 1)[-1]


@dataclass(slots=True)
class Sentence:
    """`start` is the character offset of its first token; `ending` its last mark, "" where it breaks off."""

    start: int
    words: list[str]
    lows: list[str]
    mentions: list[Mention] = field(default_factory=list)
    verbs: list[int] = field(default_factory=list)
    ending: str = ""

    @property
    def subject(self) -> Mention | None:
        """Who acts in it first."""
        return next((mention for mention in self.mentions if mention.subject), None)


def parse_narration(text: str, start: int, end: int, forms: NameForms) -> list[Sentence]:
    """Return the sentences of `text[start:end]`."""
    sentences: list[Sentence] = []
    words: list[str] = []
    begin = start
    for match in TOKEN.finditer(text, start, end):
        word = match[0]
        if word in MARKS:
            continue
        if not words:
            if not word[0].isalnum():
                continue
            begin = match.start()
        words.append(word)
        if word in SENTENCE_ENDS or len(words) == LONGEST:
            if len(words) > 1:
                sentences.append(_sentence(begin, words, forms))
            words = []
    if words:
        sentences.append(_sentence(begin, words, forms))
    return sentences


def _sentence(start: int, words: list[str], forms: NameForms) -> Sentence:
    lows = [word.lower() if word[-1] != "." else token_key(word) or word for word in words]
    ending = words[-1] if not words[-1][0].isalnum() else ""
    sentence = Sentence(start, words, lows, ending=ending)
    place, count = 0, len(words)
    while place < count:
        low = lows[place]
        mention = None
        if low in forms.by_first:
            mention = _listed(words, lows, place, forms)
        if mention is None and low in DETERMINERS and place + 1 < count:
            mention = _behind_determiner(words, lows, place, forms)
        if mention is None:
            mention = _other(words, lows, place, forms)
            if mention is None and low in DETERMINERS and place and lows[place - 1] in SAYING and place <= 4:
                mention = _unlisted(lows, place)
        if mention is None:
            if low in SAYING or low in PARTICIPLES:
                sentence.verbs.append(place)
            place += 1
            continue
        mention = _owned(mention, words, lows) or mention
        _set_subject(mention, sentence)
        sentence.mentions.append(mention)
        place = mention.last
    return sentence


def _listed(words: list[str], lows: list[str], place: int, forms: NameForms) -> Mention | None:
    """Return the mention by a form of the cast that begins at `place`."""
    if lows[place] not in forms.by_first:
        return None
    form = forms.at(lows, words, place)
    if form is None:
        return None
    return Mention(DESCRIPTION if form.common else NAME, place, place + len(form.tokens), form.people, words=" ".join(form.tokens))


def _behind_determiner(words: list[str], lows: list[str], place: int, forms: NameForms) -> Mention | None:
    """Return a form of the cast behind an article and at most one adjective: "the King", "poor little Nan", "said the sleepy Noah"."""
    mention = _listed(words, lows, place + 1, forms)
    if mention is None and place + 2 < len(lows) and lows[place + 1] not in PREPOSITIONS and lows[place + 1][0].isalpha():
        mention = _listed(words, lows, place + 2, forms)
        said = place > 0 and lows[place - 1] in SAYING and lows[place + 1] not in PEOPLE_NOUNS and words[place + 1][0].islower()
        if mention is not None and mention.kind == NAME and not said and words[place + 1] not in ENDEARMENTS:
            return None
    if mention is not None:
        mention.first = place
    return mention


def _unlisted(lows: list[str], place: int) -> Mention | None:
    """Return who stands behind a verb of saying, whatever the noun: "said the turnkey"."""
    last = place + 1
    while last < len(lows) and last < place + 4 and lows[last][0].isalpha() and lows[last] not in PREPOSITIONS | CONJUNCTIONS | AUXILIARIES:
        if lows[last].endswith("ly"):
            break
        last += 1
    return _description(lows, place, last) if last > place + 1 else None


def _other(words: list[str], lows: list[str], place: int, forms: NameForms) -> Mention | None:
    """Return a mention that the cast's names do not make: pronouns, descriptions, people outside the cast."""
    low = lows[place]
    if low in PRONOUNS:
        if low in ("his", "her"):
            noun = _noun(lows, place)
            if noun:
                return _description(lows, place, noun)
        return Mention(PRONOUN, place, place + 1, gender=PRONOUNS[low][0], words=low)
    if words[place] == "I":
        return Mention(NARRATOR_I, place, place + 1, words="i")
    if low in ("they", "we"):
        return Mention(MANY, place, place + 1, words=low)
    if low in DETERMINERS:
        noun = _noun(lows, place)
        return _description(lows, place, noun) if noun else None
    if (words[place][0].isupper() and low not in NON_NAME_TOKENS) or (low in TITLES and words[place][0].isupper()):
        return _outsider(words, lows, place, forms)
    return None


def _noun(lows: list[str], place: int) -> int:
    """Return the place behind the noun for a person of the phrase whose determiner is at `place`; 0 where it is about something else."""
    found = 0
    for ahead in range(place + 1, min(place + 6, len(lows))):
        low = lows[ahead]
        if low in PEOPLE_NOUNS:
            found = ahead + 1
        elif found or not low[0].isalnum() or low in PREPOSITIONS or low in AUXILIARIES or low in CONJUNCTIONS or low in PRONOUNS:
            break
    return found


def _description(lows: list[str], place: int, after: int) -> Mention:
    head = lows[after - 1]
    gender = "male" if head in MALE_NOUNS else "female" if head in FEMALE_NOUNS else None
    owned = lows[place] in ("his", "her", "my") or lows[place] in ("'s", "’s", "s")
    return Mention(
        DESCRIPTION, place, after, gender=gender, words=" ".join(lows[place + 1 : after]), owned=owned, owner_gender=OWNERS.get(lows[place])
    )


def _outsider(words: list[str], lows: list[str], place: int, forms: NameForms) -> Mention | None:
    last = place
    titled = False
    while (
        last < len(words) and words[last][0].isupper() and (lows[last] not in NON_NAME_TOKENS or lows[last] in TITLES) and lows[last] != "i"
    ):
        titled = titled or lows[last] in TITLES
        last += 1
    if last == place or (last - place == 1 and titled):
        return None
    if place == 0 and last == 1 and not (len(lows) > 1 and lows[1] in SAYING):
        return None
    title = lows[place]
    people = forms.namesake(lows[place:last])
    if people:
        return Mention(NAME, place, last, people, words=" ".join(lows[place:last]))
    gender = "male" if title in MALE_TITLES else "female" if title in FEMALE_TITLES else None
    return Mention(OUTSIDER, place, last, gender=gender, words=" ".join(words[place:last]))


def _owned(mention: Mention, words: list[str], lows: list[str]) -> Mention | None:
    """Return a name with a possessive mark: the person named by the noun behind it ("Emma's father"), else the name as a mere owner."""
    if mention.kind not in (NAME, DESCRIPTION, OUTSIDER) or mention.last >= len(words):
        return None
    if lows[mention.last] not in ("'s", "’s", "s"):
        return None
    noun = _noun(lows, mention.last)
    if noun and noun <= mention.last + 4:
        found = _description(lows, mention.last, noun)
        found.first = mention.first
        found.owner = mention.people
        return found
    mention.possessive = True
    mention.last += 1
    return None


def _set_subject(mention: Mention, sentence: Sentence) -> None:
    """Decide whether `mention` acts: it opens the sentence or a clause, or a finite verb follows."""
    lows = sentence.lows
    if mention.possessive or (mention.kind == PRONOUN and mention.words not in SUBJECT_PRONOUNS):
        return
    before = lows[mention.first - 1] if mention.first else ""
    if mention.kind == PRONOUN or mention.kind in (NARRATOR_I, MANY):
        mention.subject = True
        return
    if before in PREPOSITIONS and before != "as":
        mention.spoken_to = before == "to"
        return
    if before in SAYING and mention.first - 1 in sentence.verbs:
        mention.subject = True
        return
    after = mention.last
    while after < len(lows) and (lows[after] in ADVERBS or (lows[after].endswith("ly") and len(lows[after]) > 4)):
        after += 1
    following = lows[after] if after < len(lows) else ""
    verb = (
        following in SAYING or following in AUXILIARIES or following in IRREGULAR_PASTS or (following.endswith("ed") and len(following) > 3)
    )
    opens = mention.first <= 1 and not (before and before[0].isalnum() and before not in DETERMINERS and before not in CONJUNCTIONS)
    mention.subject = verb or (opens and following in (",", "who", "--", "—"))
