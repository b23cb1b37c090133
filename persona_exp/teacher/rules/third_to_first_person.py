"""From the third person to the first: a sentence about the persona in the persona's own words."""

import re
from dataclasses import dataclass

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.grammar_tokens import Names, Token, tokenize
from persona_exp.teacher.rules.grammatical_role import next_verb
from persona_exp.teacher.rules.pronoun_resolution import Scene, gender_of, is_rival, resolve
from persona_exp.teacher.rules.sentence_splitting import Sentence

FORMS = {"subject": "I", "object": "me", "possessive": "my", "mine": "mine", "reflexive": "myself"}
NEGATED = {"isn't": "am not", "hasn't": "haven't", "doesn't": "don't"}
# Words that address the reader or hide who is meant.
NOT_NARRATION = words.listed("you your yours yourself reader thou thy thee")
GAZE_DIRECTIONS = words.PREPOSITIONS | words.ADVERBS | words.listed("back away straight")
PLURAL = re.compile(r"[^sui]s$")
WE = words.listed("we us our ours ourselves")


@dataclass(frozen=True)
class Rewritten:
    """`text` in the persona's words; `mentions`: the persona is in it; `tokens` of the sentence as it was."""

    text: str
    mentions: bool
    tokens: tuple[Token, ...]
    roles: dict[int, str]


def rewrite(sentence: Sentence, scene: Scene, names: Names, pronoun: str) -> Rewritten | None:
    """Return `sentence` as the persona says it, None where a reference or a grammatical case is unsure. Move `scene` on either way."""
    tokens = tokenize(sentence.masked, names)
    near = scene.holder or scene.topic
    roles = resolve(tokens, scene, names, pronoun)
    if roles is None:
        scene.lost()
        return None
    changes = _persona(tokens, roles)
    narrator = _narrator(tokens, roles, names, near) if changes is not None else None
    if changes is None or narrator is None or any(token.low in NOT_NARRATION for token in tokens) or _together(tokens, roles):
        scene.topic = False
        return None
    text = _apply(sentence.text, {**changes, **narrator})
    return Rewritten(text, bool(roles), tuple(tokens), roles)


def _together(tokens: list[Token], roles: dict[int, str]) -> bool:
    """Return whether the persona may be among those whom a plural means ("they sat down", "the sisters"), or be "the young man"."""
    plural = people = set(roles.values()) == {"object"}
    paired = any(token.kind == "pair" for token in tokens)
    for index, token in enumerate(tokens):
        previous = tokens[index - 1].low if index else ""
        if token.low in words.GROUP and previous in ("the", "two", "three", "both", "of", ""):
            return True
        if token.low in words.DISGUISED and (previous in words.YOUNG or (previous == "the" and token.low in words.SMALL)):
            return True
        if token.low in ("they", "themselves") and not people:
            return True
        if token.low in ("them", "their") and (not plural or previous in ("between", "of", "with", "among", "against", "round", "for")):
            return True
        if token.low in ("together", "both") or (token.low == "other" and previous == "each"):
            return index > 0 and not paired
        if token.kind == "word":
            people = people or token.low in words.PEOPLE
            plural = plural or people or (token.low not in ("his", "its", "was", "has", "as") and PLURAL.search(token.low) is not None)
    return False


def _apply(text: str, changes: dict[tuple[int, int], str]) -> str:
    pieces: list[str] = []
    place = 0
    for (start, end), new in sorted(changes.items()):
        pieces += [text[place:start], new[:1].upper() + new[1:] if start == 0 else new]
        place = end
    return "".join(pieces) + text[place:]


def _persona(tokens: list[Token], roles: dict[int, str]) -> dict[tuple[int, int], str] | None:
    """Return what stands for each mention of the persona and for the verb that agrees with it, by place in the text."""
    changes: dict[tuple[int, int], str] = {}
    for index, role in roles.items():
        token = tokens[index]
        end = token.end
        if token.kind == "pair":
            changes[token.start, end] = f"{token.low} and {'I' if role == 'subject' else 'me'}"
            continue
        if role == "possessive" and _outward(tokens, index):
            return None
        if token.kind == "persona" and role == "possessive":
            end = tokens[index + 1].end
        verb = tokens[index - 1] if index else None
        if verb is not None and role == "subject" and verb.low in words.SAYS - {"said"} and index > 1 and tokens[index - 2].kind == "quote":
            changes[verb.start, end] = f"I {verb.low}"
            continue
        changes[token.start, end] = FORMS[role]
        if role == "subject":
            agreed = _agree(tokens, index)
            if agreed is None:
                return None
            changes.update(agreed)
    return changes


def _outward(tokens: list[Token], index: int) -> bool:
    """Return whether only another can say so: "His face clouded over", "his eyes twinkled"."""
    near = [token.low for token in tokens[index + 1 : index + 7]]
    return bool(words.APPEARANCE & set(near[:4])) or ("eyes" in near and bool(words.SHINING & set(near)))


def _agree(tokens: list[Token], index: int) -> dict[tuple[int, int], str] | None:
    """Return the verb that goes with "I"; None where nobody speaks of himself like this, or where a second verb would have to change."""
    if index and tokens[index - 1].low in verbs.PRESENT_OF_HE:
        before = tokens[index - 1]
        return {(before.start, before.end): verbs.PRESENT_OF_HE[before.low]}
    if any(token.low in words.SEEMING for token in tokens):
        return None
    for place, token in enumerate(tokens[:-1]):
        appearance = (
            token.low in ("looked", "looking") and tokens[place + 1].kind == "word" and tokens[place + 1].low not in GAZE_DIRECTIONS
        )
        if appearance and not tokens[place + 1].low.endswith("ly"):
            return None
    verb = next_verb(tokens, index)
    if verb is None:
        return {}
    word = tokens[verb]
    if word.low.endswith("n't"):
        return {(word.start, word.end): NEGATED[word.low]} if word.low in NEGATED else {}
    third = None if verbs.base_of_past(word.low) or word.low in verbs.AUXILIARY else verbs.base_of_third(word.low)
    new = verbs.PRESENT_OF_HE.get(word.low, third)
    if new is None:
        return {}
    for place in range(verb + 1, len(tokens)):
        joined = tokens[place - 1].low in ("and", "or", "but", ",", "then")
        if (
            joined
            and tokens[place].low not in ("was", "his")
            and (verbs.base_of_third(tokens[place].low) or tokens[place].low in ("is", "has"))
        ):
            return None
    return {(word.start, word.end): new}


def _narrator(tokens: list[Token], roles: dict[int, str], names: Names, near: bool) -> dict[tuple[int, int], str] | None:
    """Return what stands for the narrator's "I" and "we"; None where the persona could not say it, or where there is no narrator."""
    places = [
        index
        for index, token in enumerate(tokens)
        if token.kind == "word" and ((token.low in words.FIRST and token.low != "i") or token.text == "I")
    ]
    if not places:
        return {}
    if names.narrator is None:
        return None
    gender = gender_of(Token(names.narrator, 0, 0, "name", names.narrator.lower()), names)
    crowded = not gender or any(is_rival(tokens, index, names, gender) for index in range(len(tokens)))
    changes: dict[tuple[int, int], str] = {}
    named = False
    for index in places:
        token = tokens[index]
        if token.low in WE:
            # "We followed him": the narrator and another person.
            joined = token.low == "we" and index and tokens[index - 1].low in ("as", "while") and max(roles, default=0) < index
            apart = token.low != "our" and not joined and any(tokens[place].kind != "pair" for place in roles)
            if not (roles or near) or apart or (token.low == "our" and "object" in roles.values()):
                return None
            continue
        # "Gave me my hat": two names in a row would be two people.
        pronouns = bool(gender) and named and (not crowded or tokens[index - 1].low in ("me", "i"))
        if token.low == "i":
            if not _outer(tokens, index):
                return None
            new = gender if pronouns else names.short
        elif token.low == "me":
            new = {"he": "him", "she": "her"}[gender] if pronouns else names.short
        elif token.low == "my":
            if index + 1 < len(tokens) and (
                tokens[index + 1].low in words.INNER or tokens[index + 1].low in ("own", "dear", "old", "poor")
            ):
                return None
            new = {"he": "his", "she": "her"}[gender] if pronouns else f"{names.short}'s"
        elif token.low == "myself" and named and gender:
            new = {"he": "himself", "she": "herself"}[gender]
        else:
            return None
        named = True
        changes[token.start, token.end] = new
    return changes


def _outer(tokens: list[Token], index: int) -> bool:
    """Return whether what the narrator says of himself could be seen or heard by the persona."""
    if any(token.low in words.INNER for token in tokens):
        return False
    verb = next_verb(tokens, index)
    if verb is None:
        return index > 0 and tokens[index - 1].low in words.SAYS
    low = tokens[verb].low
    if low in ("was", "had"):
        behind = tokens[verb + 1].low if verb + 1 < len(tokens) else ""
        base = verbs.base_of_gerund(behind) if low == "was" else verbs.base_of_participle(behind)
        return base in words.OUTER or (low == "was" and behind in ("in", "at", "on", "upon", "by", "still", "already"))
    return verbs.base_of_past(low) in words.OUTER
