"""Reported speech: direct speech in its speaker's words afterwards ("I said that …", "I asked whether …")."""

import re
from dataclasses import dataclass

from persona_exp.teacher.rules import verb_forms as verbs
from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.grammar_tokens import FUNCTION
from persona_exp.teacher.rules.phrase_templates import phrases
from persona_exp.teacher.rules.sentence_splitting import ABBREVIATION
from persona_exp.teacher.rules.tense_backshift import DEICTIC, Unsure, backshift, expand

COMMANDS = words.listed(
    """bring take give go come look tell get keep put hold sit stand wait listen write read open shut close fetch send show shew leave
    stop remember consider ask call dig lend try turn pull push throw lay pay speak watch follow find draw pass reach drop lower
    ring run walk wake lift help cut drive shut fill light search count weigh taste smell carry say mark note"""
)
INTERJECTION = re.compile(
    r"^(?:(?:Well|Why|Oh|Ah|Come|There|Indeed|Really|Certainly|Nay|Tut|Hum|Quite so|Of course|I say|Ay|Aye|"
    r"Look here|You see|I assure you),\s+|"
    r"(?:Well|Now|Then|And|But|So|Pray)\b,?\s+(?!(?:am|is|are|was|were|do|does|did|have|has|had|will|can|shall|would|could|should|much|many|far|long|that)\b))(?=\S)"
)
VOCATIVE = (
    r"(?:sir|ma'am|madam|miss|gentlemen|ladies|my (?:dear|good|poor|young|lord)(?: (?:sir|madam|fellow|lad|boy|man|friend|[A-Z][a-z]+))?|"
    r"my (?:lad|boy|man|friend|lass)|"
    r"Captain|Inspector|Doctor|Colonel|papa|mamma|mama|father|mother|aunt|uncle|lad|lass|boy|man|mate|(?:(?:Mr|Mrs|Dr|Miss|Captain|Inspector|Doctor|Sir|Lady)\.?\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)?)"
)
LEADING = re.compile(rf"^(?P<name>{VOCATIVE}),\s+(?=[A-Za-z])")
TRAILING = re.compile(rf",\s+(?P<name>{VOCATIVE})(?=[.!?]$)")
INNER = re.compile(
    r",\s+(?P<name>papa|mamma|mama|sir|ma'am|madam|gentlemen|my dear (?:sir|madam|fellow|[A-Z][a-z]+)|Watson|Doctor|Captain|Inspector),\s+"
)
WH = (
    r"(?P<wh>who|whom|what|which|where|when|why|how|at what hour|"
    r"how (?:many|much|long|far|old|often)(?: [a-z]+)?|what [a-z]+|which [a-z]+|whose [a-z]+)"
)
AUXILIARY = r"(?P<aux>am|is|are|was|were|has|have|had|do|does|did|will|shall|can|could|would|should|may|might|must)"
SUBJECT = (
    r"(?P<subject>(?:I|you|he|she|it|we|they|there)\b|(?:this|that)(?=\s(?:the|a|an|all|so|what|your|my|why|how)\b)|"
    r"(?:(?:Mr|Mrs|Dr)\.\s|Miss\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)*|(?:the|my|your|his|her|our|their)\s[a-z]+)"
)
ASKED = re.compile(rf"^(?:(?i:{WH})\s)?(?i:{AUXILIARY})\s{SUBJECT}(?:\s(?P<rest>[^?]*))?\?$")
WHO = re.compile(r"^(?P<wh>who|what|which [a-z]+)\s(?P<rest>[^?]+)\?$", re.IGNORECASE)
CLAUSE_OPENERS = frozenset(phrases("clause_openers"))
SPLIT = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Reported:
    """`act` is the verb of reporting; `text` what follows it ("that the keg was full"); `topic` the statement's subject, or ""."""

    act: str
    text: str
    topic: str = ""


def split_speech(speech: str) -> list[str]:
    """Return the sentences of a speech; "Mr. Pell" does not end one."""
    found: list[str] = []
    for piece in SPLIT.split(" ".join(speech.split())):
        if found and ABBREVIATION.search(found[-1][-8:]):
            found[-1] += " " + piece
        elif piece:
            found.append(piece)
    return found


def report(sentence: str) -> tuple[Reported, str]:
    """Return one sentence of speech in the words of its speaker afterwards, and the hearer whom it names ("" for nobody).

    Raise Unsure where that would not be certain.
    """
    body, hearer = _bare(sentence)
    if (
        not body
        or body[-1] not in ".!?"
        or re.search(r",\s[A-Z][a-z]+(?=[,.?!])", body)
        or re.match(r"(?:That|As|Than|Or|Nor|Which|For|So|Neither)\s(?!(?:is|was|will|has|the|a|it)\b)", body)
    ):
        raise Unsure
    if body[-1] == "?":
        return _question(body), hearer
    first = re.match(r"(?:[Dd]o not|[Dd]on't|[Nn]ever|[Pp]lease)?\s*([A-Za-z]+)", body)
    if first and first[1].lower() in COMMANDS and not body.startswith("I "):
        return _command(body), hearer
    if re.match(r"let us\s", body, re.IGNORECASE):
        return Reported("proposed", "that we should " + _inner(body[7:-1])), hearer
    start = re.split(r"[^a-z']", body.lower(), maxsplit=1)[0]
    if (
        body[-1] == "!"
        or verbs.is_base(start)
        or start in verbs.AUXILIARY
        or start == "an"
        or re.match(r"(?:You see|The (?:minute|moment|instant|day))\b", body)
    ):
        raise Unsure
    if ":" in body:
        raise Unsure
    # "…, I should not care": a comma where the narration stood between two sentences.
    opened = start in CLAUSE_OPENERS or start in words.PREPOSITIONS
    if not opened and re.search(r",\s(?:I|we|you|he|she|it|they)\s(?!(?:think|believe|suppose|fancy|am sure|know)[,.])", body):
        raise Unsure
    stripped = body[:-1]
    topic = re.match(
        r"(?:The|A|An|My|No|Your|Our)\s(?:[a-z-]+\s){1,3}?(?=(?:is|was|has|had|will|would|can|could|may|must|are|were|does|did)\b)",
        stripped,
    )
    return Reported("said", "that " + _lowered(backshift(stripped)), topic[0].strip() if topic else ""), hearer


def _bare(sentence: str) -> tuple[str, str]:
    """Return the sentence without interjections and without the name of its hearer, and that name."""
    body, hearer = sentence.strip(), ""
    for _ in range(2):
        cut = INTERJECTION.sub("", body)
        match = LEADING.match(cut)
        if match and match["name"].split()[0].lower() not in FUNCTION - {"my"}:
            hearer = match["name"]
            cut = cut[match.end() :]
        if cut == body:
            break
        body = cut[:1].upper() + cut[1:]
    match = TRAILING.search(body)
    if match:
        hearer = match["name"]
        body = body[: match.start()] + body[match.end() :]
    if re.match(r"(?:Yes|No)\b,?\s", body):
        raise Unsure
    inner = INNER.search(body)
    if inner:
        hearer = hearer or inner["name"]
        body = body[: inner.start()] + " " + body[inner.end() :]
    named = re.fullmatch(r"(?:(?:Mr|Mrs|Dr|Miss|Captain|Inspector)\.?\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)?", hearer)
    return body, hearer if named and hearer not in ("Captain", "Inspector", "Doctor", "Colonel") else ""


def _lowered(text: str) -> str:
    first = text.split(" ", 1)[0].rstrip(",")
    if first == "I" or first.startswith("I'"):
        return text
    if first.lower() in FUNCTION or first.lower() in (
        "one",
        "two",
        "three",
        "most",
        "many",
        "nothing",
        "something",
        "nobody",
        "somebody",
        "everybody",
        "had",
        "those",
    ):
        return text[0].lower() + text[1:]
    raise Unsure


def _question(body: str) -> Reported:
    body = expand(body)
    if re.search(r"[\"—;:!]|\bdo you (?:mean|say)\b", body):
        raise Unsure
    match = ASKED.match(body)
    if match:
        wh = (match["wh"] or "whether").lower()
        aux, subject, rest = match["aux"].lower(), match["subject"], (match["rest"] or "").strip()
        if subject[0].isupper() and subject != "I" and subject.lower() in FUNCTION:
            raise Unsure
        if " " in subject and subject[0].islower() and aux not in ("do", "does", "did") and not _follows_noun(rest):
            raise Unsure
        if aux in ("do", "does", "did"):
            verb, _, more = rest.partition(" ")
            if not verbs.is_base(verb) and verb != "have":
                raise Unsure
            past = "had " + verbs.participle_of(verb) if aux == "did" else verbs.past_of(verb)
            return Reported("asked", f"{wh} {subject} {'had' if verb == 'have' else past} {_inner(more)}".strip())
        reported = _shifted_aux(aux, subject)
        rest = _inner(rest)
        first, _, more = rest.partition(" ")
        if reported == "had been" and first in words.ADVERBS | {"not"}:
            reported, rest = f"had {first} been", more
        return Reported("asked", f"{wh} {subject} {reported} {rest}".strip())
    match = WHO.match(body)
    if match is None:
        raise Unsure
    if match["wh"].lower() == "what" and not verbs.is_finite(match["rest"].split()[0].lower()):
        raise Unsure
    second = [*match["rest"].split(), ""][1].lower()
    if (
        second in FUNCTION - words.PREPOSITIONS - words.ADVERBS - {"been", "be", "not"}
        and match["rest"].split()[0].lower() in verbs.AUXILIARY
    ):
        raise Unsure
    reported = backshift("it " + match["rest"])
    return Reported("asked", f"{match['wh'].lower()} {reported[3:]}")


def _follows_noun(rest: str) -> bool:
    """Return whether what follows "was the store" cannot still be the noun: "searched", "upon Friday", nothing."""
    word = rest.split(" ", 1)[0].lower()
    known = (
        verbs.base_of_participle(word)
        or verbs.base_of_gerund(word)
        or word in (words.PREPOSITIONS - {"of"}) | words.ADVERBS | words.DETERMINERS
    )
    return not word or bool(known) or word in ("been", "be", "not") or word.endswith("ly")


def _shifted_aux(aux: str, subject: str) -> str:
    if aux in ("was", "were"):
        return "had been"
    if aux == "shall" and subject != "I":
        return "should"
    return {
        "am": "was",
        "is": "was",
        "are": "were",
        "has": "had",
        "have": "had",
        "will": "would",
        "shall": "should",
        "can": "could",
        "may": "might",
    }.get(aux, aux)


def _command(body: str) -> Reported:
    text = re.sub(r"^[Pp]lease,?\s", "", body[:-1])
    negated = re.match(r"(?:[Dd]o not|[Dd]on't)\s+", text)
    never = re.match(r"[Nn]ever\s+", text)
    lead = "not to " if negated else "never to " if never else "to "
    cut = negated or never
    text = text[cut.end() :] if cut else text
    if re.search(r"\b(?:will|shall|or I|and (?:I|you|we|it|he|she|they|the|that|there))\b|[;:—\"!?]", text) or ", " in text:
        raise Unsure
    return Reported("told", lead + _inner(text[0].lower() + text[1:]))


def _inner(text: str) -> str:
    """Return what hangs on the verb: clauses in it shift by themselves, the rest keeps its words."""
    if not text:
        return ""
    marked = re.split(r"\s(?=(?:that|which|who|what|where|when|if|how|why|whether|because|until|as|while|before|after)\s)", text)
    head = marked[0]
    if re.search(
        r"\b(?:is|are|am|has|will|shall|can|may|do|does|did|was|were|I|he|she|they|we|you (?:mean|want|know|think|see|like|say|wish))\b",
        head,
    ) or re.search(r"[\"—()]", text):
        raise Unsure
    tail = [_clause(piece) for piece in marked[1:]]
    kept = " ".join(DEICTIC.get(word.lower(), word) if word.lower() in DEICTIC else word for word in head.split())
    return " ".join([kept, *tail])


def _clause(piece: str) -> str:
    first, _, rest = piece.partition(" ")
    if first in ("before", "after", "as", "until") and not re.search(r"\b(?:I|you|he|she|it|we|they|is|are|was|has|have|will|can)\b", rest):
        return piece
    if first in ("who", "which", "that", "what") and not re.match(r"(?:I|you|he|she|it|we|they|the|a|my|your|his|her)\b", rest):
        return f"{first} {backshift('it ' + rest)[3:]}"
    return f"{first} {backshift(rest)}"


def second_person(text: str) -> bool:
    """Return whether `text` has a "you": such a report must go to the same person."""
    return re.search(r"\b(?:you|your|yours|yourself)\b", text, re.IGNORECASE) is not None


def leans(text: str) -> bool:
    """Return whether a "he", "she" or "they" in it needs what was said before."""
    low = set(re.findall(r"[a-z']+", text.lower()))
    return bool(low & {"he", "she", "they", "him", "them", "his", "their", "hers", "theirs", "her"}) or bool(low & words.SAYS)
