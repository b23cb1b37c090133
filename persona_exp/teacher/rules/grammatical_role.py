"""The grammatical role of a name: subject or object, by the words on either side of it."""

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.grammar_tokens import Token

INVERTING = words.listed("had did could would should might must can may will shall do does has")
BEFORE_NAME_NO = words.DETERMINERS | words.listed(
    """poor dear old young little good great honest worthy mr mrs miss dr friend brother sister"""
)


def next_verb(tokens: list[Token], index: int) -> int | None:
    """Return the index of the finite verb right behind the subject at `index`, adverbs and "himself" skipped; None where there is none."""
    place = index + 1
    while place < len(tokens) and tokens[place].kind == "word" and _skipped(tokens[place].low):
        place += 1
    if place < len(tokens) and tokens[place].kind == "word" and verbs.is_finite(tokens[place].low):
        return place
    return None


def _skipped(low: str) -> bool:
    return low in words.ADVERBS or low.endswith("ly") or low in ("himself", "herself", "both", "each")


def role_of_name(tokens: list[Token], index: int) -> str | None:
    """Return "subject", "object" or "possessive" for the persona's name at `index`; None where the words around leave it open."""
    previous = tokens[index - 1] if index else None
    if previous is not None and previous.kind == "word" and previous.low in BEFORE_NAME_NO:
        return None
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is not None and following.kind == "clitic":
        return _possessive(tokens, index)
    verb = next_verb(tokens, index)
    if previous is None or (previous.kind == "mark" and previous.text in ",;:—("):
        return "subject" if verb is not None or _resumed(tokens, index) else None
    if previous.kind == "quote":
        return "subject" if verb is not None and tokens[verb].low in words.SAYS else None
    low = previous.low
    if low in words.SAYS and _behind_quote(tokens, index - 1):
        return "subject"
    if low in INVERTING and following is not None and following.kind == "word":
        inverted = verbs.is_base(following.low) or verbs.base_of_participle(following.low) or following.low in words.ADVERBS | {"been"}
        return "subject" if inverted else None
    if low in ("was", "is") and index > 1 and tokens[index - 2].low == "it":
        return "subject"
    if low == "for" and index > 1 and tokens[index - 2].kind not in ("mark", "quote"):
        # "Nothing but concern for Emma could bring him": only behind a mark does "for" begin a clause.
        return None if verb is not None else "object"
    if low in words.CONJUNCTIONS | words.EITHER and verb is not None:
        return "subject"
    if low in words.OPENERS and index == 1:
        return "subject" if verb is not None or (low not in words.PREPOSITIONS and _resumed(tokens, index)) else None
    if verb is not None and low not in words.PREPOSITIONS and _only_opening(tokens, index):
        return "subject"
    if low in words.PREPOSITIONS:
        return None if low == "of" or low in words.EITHER - {"after", "before", "for"} else "object"
    return _behind_verb(tokens, index, verb)


def _only_opening(tokens: list[Token], index: int) -> bool:
    """ "On the Monday morning Holmes went": nothing but an opening phrase before the name."""
    opening = [token.low for token in tokens[:index]]
    if not opening or len(opening) > 8 or opening[0] not in words.PREPOSITIONS | words.OPENERS | {"just", "one", "two", "a", "that"}:
        return False
    return not any(verbs.is_finite(low) or verbs.base_of_gerund(low) or low in words.CONJUNCTIONS - {"as"} for low in opening)


def _behind_verb(tokens: list[Token], index: int, verb: int | None) -> str | None:
    """Return the role behind a verb: its object, or the subject of a clause without "that"."""
    low = tokens[index - 1].low
    if low == "thought" and (index == 1 or tokens[index - 2].kind in ("mark", "quote")):
        # "A good man! thought Emma."
        return None
    if not (verbs.base_of_past(low) or verbs.base_of_gerund(low) or verbs.base_of_participle(low)) or low in verbs.AUXILIARY:
        return None
    if verb is not None:
        return "subject" if tokens[verb].low in verbs.AUXILIARY else None
    return "object"


def _possessive(tokens: list[Token], index: int) -> str | None:
    behind = tokens[index + 2] if index + 2 < len(tokens) else None
    if behind is None or behind.kind in ("mark", "quote") or behind.low in words.PREPOSITIONS | words.CONJUNCTIONS | verbs.AUXILIARY:
        return None
    return "possessive"


def _behind_quote(tokens: list[Token], index: int) -> bool:
    """Return whether the verb at `index` follows a quotation, as in '"No," said Holmes'."""
    while index and tokens[index - 1].kind == "word" and (tokens[index - 1].low.endswith("ly") or tokens[index - 1].low in ("and", "then")):
        index -= 1
    return index > 0 and tokens[index - 1].kind == "quote"


def _resumed(tokens: list[Token], index: int) -> bool:
    """ "Holmes, who had risen, went out": the verb follows behind what commas enclose."""
    if index + 2 >= len(tokens) or tokens[index + 1].text != ",":
        return False
    opened = tokens[index + 2]
    if opened.kind != "word":
        return False
    started = (
        opened.low in ("who", "whose", "with", "in", "on", "at", "however", "too", "like", "without", "still", "for")
        or opened.low.endswith("ly")
        or verbs.base_of_gerund(opened.low) is not None
        or verbs.base_of_participle(opened.low) is not None
    )
    if not started:
        return False
    for place in range(index + 3, len(tokens)):
        if tokens[place].text == ",":
            return next_verb(tokens, place) is not None
        if tokens[place].text in ";:—":
            return False
    return False
