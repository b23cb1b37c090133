"""Backshift: the verbs, times and places of direct speech, as they are in a later report of it."""

import re
from itertools import pairwise

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words

CONTRACTIONS = {
    "i'm": "I am", "i've": "I have", "i'll": "I shall", "you're": "you are", "you've": "you have", "you'll": "you will", "we're": "we are",
    "we've": "we have", "we'll": "we shall", "they're": "they are", "they've": "they have", "they'll": "they will", "he'll": "he will",
    "she'll": "she will", "it'll": "it will", "don't": "do not", "doesn't": "does not", "didn't": "did not", "won't": "will not",
    "can't": "can not", "couldn't": "could not", "wouldn't": "would not", "shouldn't": "should not", "isn't": "is not", "aren't": "are not",
    "wasn't": "was not", "weren't": "were not", "haven't": "have not", "hasn't": "has not", "hadn't": "had not", "shan't": "shall not",
    "that'll": "that will", "cannot": "can not",
}  # fmt: skip
AUX = {"am": "was", "is": "was", "are": "were", "will": "would", "shall": "should", "can": "could", "may": "might"}
KEPT = words.listed("would should could might must ought had")
MODALS = KEPT - {"had"} | {"will", "shall", "can", "may", "to", "did", "do", "does", "let", "not", "never"}
DEICTIC = {
    "here": "there", "now": "then", "to-day": "that day", "today": "that day", "to-night": "that night", "tonight": "that night",
    "to-morrow": "the next day", "tomorrow": "the next day", "yesterday": "the day before",
    "ago": "before", "this": "that", "these": "those",
    "hither": "thither", "hence": "thence",
}  # fmt: skip
SINGULAR = words.listed("""he she it who which that there one nobody somebody everybody everyone nothing something everything what""")
PLURAL = words.listed("i you we they who which that these those both all what")
BOUNDARY = words.listed(
    """and but or when while because if that which who whom where as for since until till before after though although so what how why
    whether unless than"""
)
NEVER_BETWEEN = words.listed("there here now then very too quite rather almost even alone instead")
MODAL = words.listed("will would shall should can could may might must to")
NOMINATIVE = words.listed("i he she we they")
AUXILIARIES = verbs.AUXILIARY
NOT_VERB_AFTER = (
    words.DETERMINERS
    | words.PREPOSITIONS - {"that", "as", "for", "since", "until", "before", "after"}
    | words.listed("""to two three four five six seven eight nine ten great small good old little other own same many few more most such""")
)
UNSURE = re.compile(
    r"\b(?:need|dare|used|thou|thee|thy|let|ain't|'em|o'|d'|'tis|says|goes|day after|ma'am|madam)\b|"
    r"\byou (?:know|see)(?:,|$)|\w'd\b|[!?\"—()…]|\.\.|'\s|\s'"
)


class Unsure(Exception):
    """The sentence cannot be put into other words with certainty."""


def expand(text: str) -> str:
    """Return `text` without contractions. Raise Unsure for those that may stand for two things."""

    def open_up(match: re.Match[str]) -> str:
        whole = CONTRACTIONS.get(match[0].lower())
        if whole is None:
            raise Unsure
        return whole[0].upper() + whole[1:] if match[0][0].isupper() else whole

    text = re.sub(
        r"\b([Ii]t|[Tt]hat|[Tt]here|[Hh]e|[Ss]he|[Ww]hat|[Ww]ho|[Ww]here|[Hh]ow|[Hh]ere)'s\s(been|got|gone|come|had|done|made|taken)\b",
        r"\1 has \2",
        text,
    )
    text = re.sub(r"\b([Ii]t|[Tt]hat|[Tt]here|[Hh]e|[Ss]he|[Ww]hat|[Ww]ho|[Ww]here|[Hh]ow)'s\b", r"\1 is", text)
    return re.sub(r"\b[A-Za-z]+n't\b|\b[A-Za-z]+'(?:m|ve|ll|re)\b|\b[Cc]annot\b", open_up, text)


def backshift(text: str) -> str:
    """Return `text`, a statement without its full stop, one step further in the past. Raise Unsure where a verb may be a noun."""
    if UNSURE.search(text):
        raise Unsure
    text = re.sub(r"\b[Tt]o-?morrow (morning|evening|night|afternoon)\b", r"the next \1", text)
    text = re.sub(r"\b[Yy]esterday (morning|evening|night|afternoon)\b", r"the \1 before", text)
    pieces = re.findall(r"[A-Za-z'-]+|[^A-Za-z'-]+", expand(text))
    clauses: list[list[int]] = [[]]
    for place, piece in enumerate(pieces):
        if not piece[0].isalpha():
            if re.search(r"[,;:]", piece):
                clauses.append([])
            continue
        if piece.lower() in BOUNDARY and clauses[-1]:
            clauses.append([])
        clauses[-1].append(place)
    main = 0
    modal = False
    perfect = False
    for clause in clauses:
        lows = [pieces[place].lower() for place in clause]
        # "The man I know", "all else fails me I have": two subjects in one clause.
        if any(low in NOMINATIVE and lows[place - 1] not in AUXILIARIES | BOUNDARY and place > 0 for place, low in enumerate(lows)):
            raise Unsure
        if len([low for low in lows if low in AUX or low in ("was", "were", "has")]) > 1:
            raise Unsure
        follows = pairwise(lows[1:])
        if (
            any(low in ("it", "you") and verbs.base_of_third(after) and not verbs.base_of_past(after) for low, after in follows)
            and lows[0] not in BOUNDARY
        ):
            raise Unsure
        if clause is not clauses[0] and not modal and _continues(lows):
            raise Unsure
        modal = bool(MODAL & set(lows)) or (modal and not set(lows) & verbs.AUXILIARY)
        shifted = _shift_clause(pieces, clause, perfect)
        main += shifted > 0 and not (lows and lows[0] in BOUNDARY - {"and", "but", "or", "so", "for", "that"})
        perfect = shifted == 2 or (perfect and shifted == 0)
        if clause is clauses[0] and not shifted:
            raise Unsure
    if not main:
        raise Unsure
    return "".join(DEICTIC.get(piece.lower(), piece) if piece.lower() in DEICTIC else piece for piece in pieces)


def _shift_clause(pieces: list[str], clause: list[int], perfect: bool) -> int:
    """Shift the finite verb of one clause in place; 0 where it has none, 2 where it became a past perfect."""
    lows = [pieces[place].lower() for place in clause]
    start = 1 if lows and lows[0] in BOUNDARY and len(lows) > 1 else 0
    helper = next((index for index, low in enumerate(lows) if low in AUX or low in KEPT or low in ("was", "were")), 0)
    if _two_verbs(lows[start:helper]):
        raise Unsure
    for index, low in enumerate(lows):
        before = lows[index - 1] if index else ""
        if low in KEPT:
            return 1
        if low in AUX:
            if low in ("will", "can", "may") and before in words.DETERMINERS:
                continue
            pieces[clause[index]] = AUX[low]
            return 1
        if low in ("was", "were"):
            # "When I was a boy" stays: only the main clause goes back another step.
            if start == 0 and lows[0] not in BOUNDARY:
                pieces[clause[index]] = "had"
                while index + 1 < len(lows) and _between(lows[index + 1]):
                    index += 1
                pieces[clause[index]] += " been"
                return 2
            return 1
        if low in ("have", "has", "do", "does", "did") and before not in MODALS:
            if index == start and low in ("have", "do"):
                # "could, upon the whole, have": an infinitive, or a command.
                raise Unsure
            return _shift_helper(pieces, clause, lows, index)
    return _shift_lexical(pieces, clause, lows, start, perfect)


def _two_verbs(before: list[str]) -> bool:
    """Return whether what stands before a helping verb has a verb already, and a "that" is left out: "I see it" before "was"."""
    if len(before) < 3 or before[0] not in NOMINATIVE | {"you"}:
        return False
    place = 1
    while place < len(before) and _between(before[place]):
        place += 1
    return place < len(before) - 1 and (verbs.is_base(before[place]) or verbs.base_of_past(before[place]) is not None)


def _between(low: str) -> bool:
    """Return whether a word may stand between "had" and "been"."""
    return low == "not" or low.endswith("ly") or low in words.ADVERBS - NEVER_BETWEEN


def _continues(lows: list[str]) -> bool:
    """Return whether a clause goes on with a bare verb: "and most sincerely wish them happy"."""
    place = 0
    while place < len(lows) and (lows[place] in ("and", "but", "or", "most", "as", "such") or _between(lows[place])):
        place += 1
    if place >= len(lows) or not (verbs.is_base(lows[place]) or lows[place] == "be"):
        return False
    after = lows[place + 1] if place + 1 < len(lows) else ""
    return lows[place] == "be" or after in words.DETERMINERS | {"him", "them", "it", "me", "us", "you", "to"}


def _shift_helper(pieces: list[str], clause: list[int], lows: list[str], index: int) -> int:
    low = lows[index]
    if low in ("have", "has"):
        pieces[clause[index]] = "had"
        return 1
    rest = [place for place in range(index + 1, len(lows)) if lows[place] not in words.ADVERBS - {"not"} and lows[place] != "not"]
    negated = "not" in lows[index + 1 : index + 3]
    base = lows[rest[0]] if rest else ""
    if low == "did":
        if rest and verbs.is_base(base):
            pieces[clause[index]] = "had"
            pieces[clause[rest[0]]] = verbs.participle_of(base)
        elif negated:
            raise Unsure
        else:
            pieces[clause[index]] = "had done"
        return 2
    pieces[clause[index]] = "did"
    return 1


def _shift_lexical(pieces: list[str], clause: list[int], lows: list[str], start: int, perfect: bool) -> int:
    """Shift a verb without a helper: behind a pronoun, or the only word of the clause that can be one."""
    if not lows:
        return 0
    subject = lows[start] if start < len(lows) else ""
    relative = lows[0] in ("who", "which", "that", "what") and start == 1
    if relative and subject not in PLURAL | SINGULAR:
        start, subject = 0, lows[0]
    if subject in SINGULAR | PLURAL:
        index = start + 1
        while index < len(lows) and (lows[index] in words.ADVERBS or lows[index].endswith("ly")):
            index += 1
        if index < len(lows):
            either = subject in SINGULAR and subject in PLURAL
            return _shift_word(pieces, clause[index], lows[index], subject in PLURAL, lows[0] in BOUNDARY and not relative, either)
        return 0
    candidates = [
        index
        for index in range(start, len(lows))
        if (verbs.base_of_third(lows[index]) or verbs.base_of_past(lows[index]))
        and (index == start or lows[index - 1] not in NOT_VERB_AFTER)
    ]
    if not candidates:
        if start < len(lows) and verbs.is_base(lows[start]) and lows[0] in ("and", "but", "or"):
            raise Unsure
        return 0
    if len(candidates) > 1:
        raise Unsure
    index = candidates[0]
    if index == start:
        # "… and brought it home": the subject is the clause's before.
        base = verbs.base_of_past(lows[index])
        if base is None or lows[0] not in ("and", "but", "or"):
            raise Unsure
        pieces[clause[index]] = verbs.participle_of(base) if perfect else lows[index]
        return 0
    if subject not in words.DETERMINERS and (clause[start] == 0 or not pieces[clause[start]][0].isupper()):
        return 0
    return _shift_word(pieces, clause[index], lows[index], False, lows[0] in BOUNDARY)


def _shift_word(pieces: list[str], place: int, low: str, plural: bool, inner: bool, either: bool = False) -> int:
    past, third = verbs.base_of_past(low), verbs.base_of_third(low)
    if plural and third is not None and past is None and not verbs.is_base(low) and not either:
        raise Unsure
    if either and past is None and third is None:
        # "that test", "men that go": a noun or a plural verb.
        raise Unsure
    if past is not None and not (plural and verbs.is_base(low)):
        if inner:
            return 1
        pieces[place] = "had " + verbs.participle_of(past)
        before = place - 2
        if before >= 0 and (pieces[before].lower() in words.ADVERBS or pieces[before].lower() == "never"):
            pieces[before], pieces[place] = "had " + pieces[before], verbs.participle_of(past)
        return 2
    base = low if plural and verbs.is_base(low) else third
    if base is None:
        raise Unsure
    if past is not None and base == low:
        # "put", "lay": present and past look alike.
        raise Unsure
    pieces[place] = verbs.past_of(base)
    return 1
