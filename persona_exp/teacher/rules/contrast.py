"""Questions that the persona cannot answer, and how it says so."""

import re

from persona_exp.teacher.request import Draft, Request
from persona_exp.teacher.rules import words
from persona_exp.teacher.rules.clause import parse
from persona_exp.teacher.rules.pick import number, phrases, pick
from persona_exp.teacher.rules.questions import questions
from persona_exp.teacher.rules.said import thing
from persona_exp.teacher.rules.sentences import Sentence, read
from persona_exp.teacher.rules.tokens import TITLES, find_names, tokenize

FIRST = re.compile(r"\b(?:I|me|my|mine|myself)\b")
# Below this an own evasion takes a second sentence.
SHORT = 9
# Names of inventions that take no article.
MASS = words.listed(
    """television radio radar penicillin plastic nylon software email e-mail jazz cinema insulin aspirin polythene cellophane uranium
    electronics aviation broadcasting plutonium antibiotics photography blogging wifi wi-fi bluetooth virtual reality celluloid
    aluminium petrol gasoline rayon teflon velcro margarine streaming intelligence energy power music media mail shopping banking
    teletext neon helium dna cryptocurrency bitcoin"""
)
CAPITALISED_THE = words.listed("Internet Web World Blitz")
VERB = r"\b(?:said|cried|asked|replied|answered|remarked|exclaimed|observed)"
PERSON = r"(?:(?:Mr|Mrs|Dr|Capt|Col)\.\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)*"
SAID = (
    "What did {name} say about {topic}?",
    "What was it that {name} said about {topic}?",
    "What did {name} say of {topic}?",
    "Can you tell me what {name} said of {topic}?",
    "What had {name} to say about {topic}?",
)
KINDS = ("where", "what", "whom", "with", "did", "why", "when", "whether")


def contrasts(request: Request) -> tuple[Draft, ...]:
    """At most `count` questions with evasions; none where the passage has no clear deed of somebody else."""
    if request.about not in ("absent", "other"):
        return _later(request)
    found: list[Draft] = []
    for question in _questions(request):
        if len(found) >= max(1, request.count):
            break
        found.append(Draft(question, _evade(request, question)))
    return tuple(found)


def _questions(request: Request) -> list[str]:
    """The best question of each sentence about somebody else, the best kinds first."""
    own = {word for name in (request.voice.name, *request.voice.aliases) for word in name.split()}
    sentences = read(request.passage)
    names = find_names((request.voice.name, *request.voice.aliases), request.others, request.narrator, sentences)
    persons = names.others | set((request.narrator or "").split())
    ranked: list[tuple[int, int, str]] = []
    for place, sentence in enumerate(sentences):
        if sentence.quoted or not sentence.whole or own & set(re.findall(r"\w+", sentence.text)):
            continue
        if {token.low for token in tokenize(sentence.masked, names)} & words.FIRST:
            continue
        subject = _subject(sentence.text, persons)
        clause = parse(sentence.text, subject) if subject else None
        if clause is None or not subject:
            continue
        asked = [pair for pair in questions(clause, subject, persons) if pair[0] in KINDS]
        asked.sort(key=lambda pair: (KINDS.index(pair[0]), number(sentence.text, pair[1])))
        ranked += [(KINDS.index(kind), place, question) for kind, question in asked[:1]]
    ranked += [(KINDS.index("when"), place, question) for place, question in enumerate(_spoken(request, sentences, persons, own))]
    return [question for _, _, question in sorted(ranked)]


def _spoken(request: Request, sentences: list[Sentence], persons: frozenset[str], own: set[str]) -> list[str]:
    """ "What did Mrs. Hallam say about the pump?", of speech that names its speaker."""
    narrator = [] if request.narrator is None else [(rf"{VERB}\sI\b|\bI\s{VERB}", request.narrator)]
    found: list[str] = []
    for sentence in sentences:
        if not sentence.quotes or not sentence.whole:
            continue
        match = re.search(rf"{VERB}\s(?P<after>{PERSON})|(?P<before>{PERSON})\s{VERB}", sentence.masked)
        name = (match["after"] or match["before"]) if match else next((who for cue, who in narrator if re.search(cue, sentence.masked)), "")
        topic = thing(sentence.quotes[0])
        parts = set(name.replace(".", "").split())
        noun = topic.split()[-1] if topic else ""
        concrete = noun in words.PLACE_NOUNS or len(re.findall(rf"\b{noun}\b", request.passage)) > 1
        if name and concrete and topic.startswith("the ") and parts & (persons | {"Mr", "Mrs", "Miss"}) and not parts & own:
            question = pick(SAID, sentence.text).format(name=name, topic=topic)
            if question not in found:
                found.append(question)
    return found


def _subject(text: str, persons: frozenset[str]) -> str:
    """The name that a deed in `text` belongs to, "" where there is none."""
    for match in re.finditer(r"(?<![\w-])(?:(?:Mr|Mrs|Dr|Capt|Col)\.\s)?(?:[A-Z][\w-]+\s)*[A-Z][\w-]+(?=\s[a-z])", text[:160]):
        parts = match[0].replace(".", "").split()
        while parts and parts[0].lower() in words.OPENERS | words.PREPOSITIONS | words.DETERMINERS:
            parts = parts[1:]
        if parts and (set(parts) & persons or parts[0].lower() in TITLES):
            start = match[0].find(parts[0])
            return match[0][start:]
        if match.start() and parts:
            return ""
    return ""


def _evade(request: Request, question: str) -> str:
    kind = "evasions_absent" if request.about == "absent" else "evasions_other"
    return _answer(request, phrases(kind), question)


def _answer(request: Request, generic: tuple[str, ...], question: str) -> str:
    """One of the persona's own evasions where it has any, with a reason where it is short or not in the first person."""
    own = tuple(evasion.strip() for evasion in request.voice.evasions if evasion.strip())
    reason = pick(tuple(phrase for phrase in generic if FIRST.search(phrase)), request.voice.name, question)
    if not own:
        return reason
    evasion = pick(own, question, request.voice.name)
    if evasion[-1] not in ".!?\"'":
        evasion += "."
    if not FIRST.search(evasion) or (len(evasion.split()) < SHORT and number(question, "reason") % 2):
        return f"{evasion} {reason}"
    return evasion


def with_article(name: str) -> str:
    """ "television" → "television", "telephone" → "the telephone", "Internet" → "the Internet", "motor-cars" → "motor-cars"."""
    parts = name.split()
    if parts[0].lower() in ("the", "a", "an"):
        return name
    if parts[0][0].isupper():
        return f"the {name}" if parts[0] in CAPITALISED_THE else name
    last = parts[-1].lower()
    plural = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return name if last in MASS or plural else f"the {name}"


def _later(request: Request) -> tuple[Draft, ...]:
    """`about` is the name of something that came after the persona's time."""
    name = " ".join(request.about.split())
    if not name:
        return ()
    thing = with_article(name)
    asks, evasions = phrases("ask_later"), phrases("evasions_later")
    start = number(request.voice.name, name)
    drafts = []
    for nth in range(min(max(1, request.count), len(asks))):
        question = asks[(start + nth * 5) % len(asks)].replace("{x}", thing)
        answer = _answer(request, evasions, question).replace("{x}", thing)
        drafts.append(Draft(question, answer))
    return tuple(drafts)
