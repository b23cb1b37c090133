"""Pronoun resolution: only what is certain. A pronoun that may mean another person makes its sentence unusable."""

from collections import deque
from dataclasses import dataclass, field

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.grammar_tokens import TITLES, Names, Token
from persona_exp.teacher.rules.grammatical_role import next_verb, role_of_name

# How many sentences back another person may still be meant by a pronoun.
MEMORY = 2
OF_ME = words.listed("front ahead because sight thinking side rid")
TOUCHES = words.listed("take seize catch grasp touch grip press kiss pat hold clasp pull")
TOUCHES_ON = TOUCHES | words.listed("lay clap tap slap strike thump put place bend lean whisper rest speak")
CLOSE = words.listed("about around round behind")


@dataclass
class Scene:
    """What the sentences so far have said: `holder` = the pronoun means the persona; `recent` = another person was named, per sentence;
    `topic` = the persona was the last sentence's subject, and this paragraph has named nobody else."""

    holder: bool = False
    topic: bool = False
    recent: deque[bool] = field(default_factory=lambda: deque(maxlen=MEMORY))

    @property
    def rivals(self) -> bool:
        """Whether another person was named lately."""
        return any(self.recent)

    def paragraph(self) -> None:
        """Begin a new paragraph: the persona must be named again."""
        self.holder = False
        self.topic = False

    def lost(self) -> None:
        """Pass a sentence that could not be read: anybody may have been named in it."""
        self.holder = False
        self.topic = False
        self.recent.append(True)


def gender_of(token: Token, names: Names) -> str:
    """Return "he", "she" or "" (unknown) by title and first name."""
    parts = token.low.replace(".", " ").split()
    if parts[0] in TITLES:
        return "he" if parts[0] in words.TITLES_HIS else "she"
    if parts[0] in words.HIS_NAMES:
        return "he"
    return "she" if parts[0] in words.HER_NAMES else ""


def is_rival(tokens: list[Token], index: int, names: Names, pronoun: str) -> bool:
    """Return whether `pronoun` could mean the person that this token names."""
    token = tokens[index]
    before = tokens[index - 1].low if index else ""
    if token.kind == "word":
        own = words.PERSON_HIS if pronoun == "he" else words.PERSON_HER
        if token.low == "other" and before != "the":
            return False
        agent = before in words.DETERMINERS and token.low not in words.NO_AGENT and verbs.is_agent(token.low)
        man = pronoun == "he" and token.low.endswith("man") and token.low != "woman"
        return (
            agent
            or man
            or token.low in words.PERSON
            or token.low in own
            or (pronoun == "they" and token.low in words.PERSON_HIS | words.PERSON_HER)
        )
    if token.kind != "name":
        return False
    parts = [part.strip(".") for part in token.text.split()]
    low = [part.lower() for part in parts]
    if (names.narrator and set(parts) <= set(names.narrator.split())) or all(part in words.NO_PERSON or len(part) < 2 for part in low):
        return False
    unknown = not (set(parts) & names.others or low[0] in TITLES)
    if unknown and (low[-1] in words.PLACE_NAMES or before in words.PLACE_PREPOSITIONS):
        return False
    return gender_of(token, names) in ("", pronoun)


def resolve(tokens: list[Token], scene: Scene, names: Names, pronoun: str) -> dict[int, str] | None:
    """Return the grammatical role of each mention of the persona, by token index; None where one is unsure. Move `scene` on.

    Roles: subject, object, possessive, mine, reflexive.
    """
    forms = words.PRONOUNS.get(pronoun, words.PRONOUNS["they"])
    roles: dict[int, str] = {}
    before = scene.rivals
    holder = scene.holder or (not before and _named_behind_opening(tokens))
    subject: int | None = None  # the token index of the current clause's subject, -1 for the persona, None for others
    rivals: list[int] = []
    since: list[int] = []  # rivals since the persona was last a subject
    acted = acting = False
    for index, token in enumerate(tokens):
        if token.kind in ("persona", "pair"):
            role = role_of_name(tokens, index)
            if role is None:
                return None
            roles[index] = role
            if role == "subject":
                subject, holder, since, acting = -1, True, [], True
            elif not rivals and not before:
                holder = True
            if token.kind == "pair":
                rivals, since = [*rivals, index], [*since, index]
        elif token.kind == "word" and token.low in forms:
            form = forms[token.low]
            doubt = before or bool(rivals)
            if form == "her":
                form = _her(tokens, index)
            leads = index == 0 or (index == 1 and tokens[0].low in ("then", "presently", "here", "suddenly", "and", "but"))
            # "Holmes took it, and he laughed": the same subject again.
            again = acting and not rivals and index > 0 and not _may_turn(tokens, index)
            if form == "subject" and ((holder and not doubt) or (scene.topic and leads) or again):
                subject, holder, since = -1, True, []
            elif not (acting and not rivals and form in ("possessive", "mine") and subject is None) and not _certain(
                form, tokens, index, subject, holder, doubt, rivals, since, before
            ):
                return None
            if index + 1 < len(tokens) and tokens[index + 1].kind == "clitic":
                return None
            roles[index] = _of_his(tokens, index) if form == "possessive" else form
        elif is_rival(tokens, index, names, pronoun):
            rivals.append(index)
            since.append(index)
            if next_verb(tokens, index) is not None:
                subject, acted = index, True
        elif token.text in ";:—" or token.low in ("it", "they", "there", "i", "we", "you") or _subordinates(tokens, index):
            subject = None
    scene.holder = holder and not acted and not (rivals and subject != -1)
    scene.topic = "subject" in roles.values() and not rivals
    scene.recent.append(bool(rivals))
    return roles


def _may_turn(tokens: list[Token], index: int) -> bool:
    """Return whether a clause that begins with this "he" may tell of another person: "Holmes waited until he came"."""
    previous = tokens[index - 1].low
    if previous == "that":
        return not any(token.low in ("so", "such") for token in tokens[:index])
    return previous in words.SUBORDINATORS - {"which", "what", "than", "though", "although", "where", "who"} or previous in (
        "said",
        "thought",
    )


def _subordinates(tokens: list[Token], index: int) -> bool:
    """Return whether a clause begins here: "for" and its like are as often prepositions."""
    if tokens[index].low not in words.SUBORDINATORS:
        return False
    if tokens[index].low not in words.EITHER:
        return True
    for token in tokens[index + 1 : index + 9]:
        if token.kind == "mark":
            return False
        if token.kind == "word" and (verbs.base_of_past(token.low) or token.low in verbs.AUXILIARY):
            return True
    return False


def _certain(
    form: str,
    tokens: list[Token],
    index: int,
    subject: int | None,
    holder: bool,
    doubt: bool,
    rivals: list[int],
    since: list[int],
    before: bool,
) -> bool:
    """Return whether a pronoun that is no subject means the persona."""
    previous = tokens[index - 1].low if index else ""
    if form in ("possessive", "mine"):
        following = tokens[index + 1].low if index + 1 < len(tokens) else ""
        if following in words.BODY and previous in ("on", "upon", "to", "round", "into"):
            # "laid a hand upon his shoulder" is another person's shoulder.
            bases = {verbs.base_of_past(token.low) or verbs.base_of_gerund(token.low) for token in tokens[:index]}
            if bases & TOUCHES_ON:
                return False
        if subject == -1:
            touched = following in words.BODY and (verbs.base_of_past(previous) or verbs.base_of_gerund(previous)) in TOUCHES
            touched = touched or (following in ("hand", "hands") and verbs.base_of_past(previous) == "shake")
            return not since and not touched
        return holder and not doubt
    if form == "reflexive":
        return (subject == -1 and not since) or (holder and not doubt)
    if form == "object":
        if previous == "of" and not (index > 1 and tokens[index - 2].low in OF_ME):
            return False
        if subject == -1:
            return not since and (previous in CLOSE or (previous in words.AROUND and not doubt))
        return holder and not before and not [rival for rival in rivals if rival != subject]
    return False


def _named_behind_opening(tokens: list[Token]) -> bool:
    """Return whether the pronoun comes before the name: "Rubbing his hands, Holmes rose"."""
    if not tokens or not (tokens[0].low in ("with", "in", "on", "having", "as", "when") or verbs.base_of_gerund(tokens[0].low)):
        return False
    for index, token in enumerate(tokens):
        if token.text == ",":
            return index + 1 < len(tokens) and tokens[index + 1].kind == "persona" and role_of_name(tokens, index + 1) == "subject"
    return False


def _her(tokens: list[Token], index: int) -> str:
    """Return "possessive" or "object" for "her"; "unsure" where it may be either."""
    previous = tokens[index - 1].low if index else ""
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is not None and following.low in words.COMPARES:
        # "Grieved for her more and more", but "her more serious thoughts".
        return "unsure"
    closed = following is None or following.kind in ("mark", "quote", "name", "persona")
    if following is not None and following.kind == "word":
        low = following.low
        shut = words.PREPOSITIONS | words.DETERMINERS | words.CONJUNCTIONS | words.SUBORDINATORS | words.ADVERBS | verbs.AUXILIARY
        closed = (low in shut and low not in ("own", "very", "first", "next", "last", "past", "inside")) or low.endswith("ly")
    if closed:
        return "object" if following is None or following.kind not in ("name", "persona") else "unsure"
    return "unsure" if previous in words.TAKES_HER else "possessive"


def _of_his(tokens: list[Token], index: int) -> str:
    """Return "mine" for "a friend of his", "possessive" for "the tip of his cane"."""
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    if following is None or following.kind in ("mark", "quote"):
        return "mine"
    if following.kind == "word" and following.low in words.PREPOSITIONS | words.CONJUNCTIONS | (verbs.AUXILIARY - {"will", "might"}):
        return "mine" if following.low not in ("past", "inside", "outside", "opposite") else "possessive"
    return "possessive"
