"""Questions about one clause: where, what, whom, why, when; with do-support, in a few words of the clause itself."""

import re

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.clause_parser import NEGATIVE, PARTICLES, VAGUE, Clause, is_plain, to_you

PLACE = (
    r"(?P<prep>in|at|on|upon|under|beneath|behind|beside|between|near|over|above|below|against|before|inside|outside|within|round|along|across|"
    r"into|onto|through|from|by|beyond|towards)"
)
WHERE = re.compile(
    rf"^(?P<object>.*?)\s*\b{PLACE}\s(?P<place>(?:the|a|an|my|our|your)\s(?:[a-z-]+\s){{0,3}}?(?P<noun>[a-z-]+)(?:\sof\s(?:the|a|my|our)\s[a-z-]+)?)$"
)
PHRASE = re.compile(
    r"^(?P<object>(?:the|a|an|my|your|some)\s(?:[a-z-]+\s?){1,4}?(?:\sof\s(?:the|a|my)?\s?[a-z-]+)?|(?:(?:Mr|Mrs|Dr)\.\s|Miss\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)*)"
    r"\s(?P<phrase>(?:in|at|on|upon|under|into|from|to|behind|beside|over|through|against|near|out of|across|along|beneath|inside)\s.+)$"
)
# What can be found, put or opened, and asked for with "what".
CONCRETE = words.listed(
    """find put take lay place throw hang draw pull drop bring carry lift pick hide set thrust open light unlock read write see
    discover observe notice examine pour hold produce remove push catch toss fling stow fold burn tie lock bury raise lower hand
    show break cut drag clap spread stick fix fasten hoist haul roll load wrap pack pin nail strike strip tear close shut leave keep
    wear buy sell steal drink eat clean wash wipe measure weigh mend replace detect perceive inspect tap touch scrape rap"""
)
HANDLING = words.listed(
    """put lay place throw hang hide drop thrust give hand carry take bring send toss fling stow fold burn tie lock bury push set fix
    fasten close shut open remove wrap pack pin spread break cut tear wash wipe pour"""
)
MOTION = words.listed(
    """go come walk run ride drive return hurry climb hasten rush pass step stroll wander sail travel move proceed turn rise spring
    jump fall sink stand sit lie wait stay remain kneel look stare gaze glance live enter arrive start set point bend lean stoop
    stop pause sleep dine"""
)
POSTURE = words.listed("stand sit lie wait kneel crouch sleep stop lodge dine")
# Objects that belong to the verb: nobody asks "what did you take at the table?" for "I took my seat".
IDIOM = words.listed(
    """seat place leave care part notice hold way time eyes eye hand hands head shoulders glance look step steps breath turn pains
    trouble mind end attention face feet voice arms fingers legs lips back chair finger thumb foot pleasure effect course heart side
    thought thoughts liberty opportunity interest pace moment note idea place word words ground road path view distance position
    corner blow fit laugh sigh smile bow nod scene meal tea dinner supper breakfast"""
)
HUMAN = words.PERSON | words.PERSON_HIS | words.PERSON_HER | words.listed("men women people gentlemen ladies boys girls children")
# Verbs for which a "did you …?" says more than the state one is in.
STATE = words.listed(
    """have do be know think feel seem appear find believe suppose wish hope mean like love hate say tell ask make get let begin"""
)
TIME_LEAD = re.compile(
    r"^(?:When|As soon as|After|Before|At (?:noon|midnight|daybreak|dawn|dusk|sunset)|On|In the (?:morning|evening|afternoon))\b"
)
CLAUSE_LEAD = re.compile(r"^(?:When|While|Whilst|As soon as|As|After|Before|The moment|The instant)\s")
PLACE_LEAD = re.compile(r"^(?:At|In|On|Upon|From|Behind|Under|Beside|Outside|Beneath)\s(?:the|a|an|my)\s")
HAPPENED = re.compile(
    r"(?P<lead>(?:When|While|As|After|Before)\s(?!if|for|to|soon)(?:(?!\b(?:and|but|though|if|a|an)\b)[^,;:—()\"])+),"
    r"\s(?!who|which|whom|whose|or|and|with|however|as|when|[a-z]+ing\b)(?=\w)"
)
BECAUSE = re.compile(r"^,?\s*(?:because|for I|for my|for the|in order to|so that|that I might|so as to)\b")
# "away to hide a smile": an aim, where the verb asks for none ("stopped to look").
PURPOSE = re.compile(r"^(?P<act>[^,;:]{4,60}?)\sto\s(?P<verb>[a-z]+)\s(?P<more>[^,;:]+)$")


def _helped(clause: Clause, who: str, tail: str) -> str:
    """ "did you find the glove" or "had you found the glove"."""
    helper = clause.helper or "did"
    verb = clause.verb if clause.helper else clause.base
    return " ".join(part for part in (helper, who, verb, tail) if part)


def _said_to(text: str, who: str) -> str:
    return to_you(text) if who == "you" else text


def questions(clause: Clause, who: str, persons: frozenset[str]) -> list[tuple[str, str]]:
    """Return what can be asked about `clause`, as (kind, question), the best first. `who` is "you" or the name of its subject; `persons`
    are words of people's names."""
    if clause.helper == "were":
        return [] if who != "you" or NEGATIVE.search(clause.tail) else _by_place(clause, who, persons)
    if NEGATIVE.search(f"{clause.adverb} {clause.tail}") or clause.base in ("have", "do"):
        return []
    found = [
        *_by_lead(clause, who),
        *_by_place(clause, who, persons),
        *_by_object(clause, who, persons),
        *_by_sequel(clause, who),
        *_by_reason(clause, who),
        *_by_purpose(clause, who),
        *_by_act(clause, who),
    ]
    return [(kind, re.sub(r"\s+", " ", question)) for kind, question in found]


def _by_lead(clause: Clause, who: str) -> list[tuple[str, str]]:
    """ "What did you do when the bell rang?", "When did you light the lamp?" """
    lead = clause.lead or _trailing(clause.rest)
    if not lead or clause.base in STATE or not is_plain(lead) or clause.helper:
        return []
    opens = CLAUSE_LEAD.match(lead)
    has_verb = opens is not None and any(verbs.is_finite(word.lower()) for word in lead.split()[2:])
    found = []
    if has_verb or PLACE_LEAD.match(lead):
        found.append(("did", f"What did {who} do {_said_to(lead[0].lower() + lead[1:], who)}?"))
    if clause.lead and TIME_LEAD.match(lead) and is_plain(clause.asked):
        found.append(("when", f"When {_helped(clause, who, _said_to(clause.asked, who))}?"))
    return found


def _trailing(rest: str) -> str:
    """ "when the bell rang", behind the main clause and to the end of the sentence; "" where there is no such clause."""
    match = re.match(r",?\s*(?P<lead>(?:when|as|while|after|before)\s[^,;:—()]+)$", rest)
    if match is None or re.search(r"\b(?:and|but|if|as \w+ as|though)\b", match["lead"]):
        return ""
    return match["lead"][0].upper() + match["lead"][1:]


def happened(answer: str) -> str | None:
    """ "What happened when you awoke?" of a sentence that opens with "When I awoke, …"; None for another."""
    match = HAPPENED.match(answer)
    if match is None or answer.endswith("?"):
        return None
    lead = match["lead"]
    # Two verbs are two clauses, and a present tells no event: "As I turned I saw it", "As I have reason to believe".
    finite = [word for word in lead.lower().split()[2:] if verbs.base_of_past(word) or word in verbs.AUXILIARY - {"been", "be"}]
    if len(finite) != 1 + (finite[:1] == ["had"] and len(finite) > 1) or finite[0] in (
        "have",
        "has",
        "is",
        "am",
        "are",
        "do",
        "does",
        "can",
        "may",
    ):
        return None
    if not is_plain(lead) or not 4 <= len(lead.split()) <= 14:
        return None
    return f"What happened {to_you(lead[0].lower() + lead[1:])}?"


def _by_place(clause: Clause, who: str, persons: frozenset[str]) -> list[tuple[str, str]]:
    """ "Where did you find the glove?" """
    match = WHERE.match(clause.asked)
    own = (
        match is not None
        and match["place"].startswith("my ")
        and match["noun"] in ("head", "foot", "feet", "side", "knee", "lap", "back", "hand")
    )
    if match is None or match["noun"] not in words.PLACE_NOUNS or own:
        return []
    thing = match["object"].strip()
    if not thing and clause.base in POSTURE and match["prep"] != "from":
        return [("standing", f"Where {_helped(clause, who, '')}?")]
    if (
        not thing
        or clause.helper == "were"
        or clause.base in MOTION | STATE - {"find"}
        or not is_plain(thing)
        or _has_preposition(thing)
        or _idiomatic(thing)
    ):
        return []
    last = " from" if match["prep"] == "from" else ""
    return [("where", f"Where {_helped(clause, who, _said_to(thing, who))}{last}?")]


def _by_object(clause: Clause, who: str, persons: frozenset[str]) -> list[tuple[str, str]]:
    """ "What did you find under the settle?", "What did you do with the glove?", "Whom did you follow into the shop?" """
    tail, particle = clause.asked, ""
    first = tail.split(" ", 1)
    if first[0] in PARTICLES and len(first) == 2 and re.match(r"(?:the|a|an|my)\s", first[1]) and first[0] not in ("in", "on", "over"):
        particle, tail = first
    match = PHRASE.match(tail)
    if match is None or not is_plain(match["phrase"]):
        return []
    thing, phrase = match["object"].strip(), _said_to(match["phrase"], who)
    if _idiomatic(thing) or _has_preposition(thing.replace(" of ", " ")) or re.search(r"\b(?:to|of)$", phrase):
        return []
    if re.match(r"(?:Mr|Mrs|Dr|Miss|[A-Z])", thing):
        if clause.base in ("follow", "meet", "see", "find", "send", "accompany", "lead") and set(thing.split()) & persons:
            return [("whom", f"Whom {_helped(clause, who, f'{particle} {phrase}'.strip())}?")]
        return []
    if thing.split()[-1] in HUMAN or phrase.split()[1] in HUMAN or clause.base not in CONCRETE | HANDLING:
        return []
    found = []
    if not phrase.startswith("to ") and thing.split()[0] != "my":
        found.append(("what", f"What {_helped(clause, who, f'{particle} {phrase}'.strip())}?"))
    if clause.base in HANDLING and not clause.helper and thing.split()[0] in ("the", "my"):
        found.append(("with", f"What did {who} do with {_said_to(thing, who)}?"))
    return found


def _by_sequel(clause: Clause, who: str) -> list[tuple[str, str]]:
    """ "What did you do when you had closed the locket?" of "I closed the locket and handed it back"."""
    match = re.match(r",?\s*(?:and|then|and then)\s(?:[a-z]+ly\s)?(?P<verb>[a-z]+)\b", clause.rest)
    base = verbs.base_of_past(match["verb"]) if match else None
    if base is None or base in STATE or clause.base in STATE or clause.helper or not is_plain(clause.asked) or clause.lead:
        return []
    if clause.base in (
        "stand",
        "sit",
        "lie",
        "wait",
        "remain",
        "stay",
        "smile",
        "laugh",
        "walk",
        "look",
        "gaze",
        "watch",
        "listen",
        "keep",
        "hold",
    ):
        return []
    done = _said_to(f"{verbs.participle_of(clause.base)} {clause.asked}", who)
    return [("then", f"What did you do when you had {done}?")] if who == "you" else []


def _by_reason(clause: Clause, who: str) -> list[tuple[str, str]]:
    if BECAUSE.match(clause.rest) and is_plain(clause.asked) and clause.base not in STATE:
        return [("why", f"Why {_helped(clause, who, _said_to(clause.asked, who))}?")]
    return []


def _by_purpose(clause: Clause, who: str) -> list[tuple[str, str]]:
    """ "Why did you turn away?" of "I turned away to hide a smile"."""
    match = PURPOSE.match(clause.tail)
    if match is None or clause.base not in MOTION | HANDLING or clause.helper or not verbs.is_base(match["verb"]):
        return []
    act = match["act"]
    if act not in ("away", "back", "aside") and not is_plain(act):
        return []
    if act.split()[-1] in IDIOM | words.PREPOSITIONS or VAGUE & set(match["more"].split()) - {"it"}:
        return []
    return [("why", f"Why {_helped(clause, who, _said_to(act, who))}?")]


def _by_act(clause: Clause, who: str) -> list[tuple[str, str]]:
    """ "Did you close the locket?": the last resort."""
    if clause.base in STATE or not is_plain(clause.asked) or not 2 <= len(clause.asked.split()) <= 10:
        return []
    question = _helped(clause, who, _said_to(clause.asked, who))
    return [("whether", question[0].upper() + question[1:] + "?")]


def _has_preposition(text: str) -> bool:
    return any(word in words.PREPOSITIONS for word in text.split())


def _idiomatic(thing: str) -> bool:
    heads = thing.split(" of ")[0].split()
    return bool(heads) and heads[-1] in IDIOM
