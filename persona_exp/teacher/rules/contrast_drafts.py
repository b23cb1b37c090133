"""Questions that the persona cannot answer, and how it says so."""

import re

from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.clause_parser import NEGATIVE, Clause, is_plain, parse
from persona_exp.teacher.rules.grammar_tokens import TITLES, find_names, tokenize
from persona_exp.teacher.rules.phrase_templates import number, phrases, pick
from persona_exp.teacher.rules.question_formation import questions
from persona_exp.teacher.rules.reported_statements import thing
from persona_exp.teacher.rules.sentence_splitting import Sentence, split_passage
from persona_exp.teacher.rules.verb_forms import AUXILIARY, base_of_participle
from persona_exp.teacher.teacher_interface import Draft, Request

FIRST = re.compile(r"\b(?:I|me|my|mine|myself)\b")
# Below this an own evasion takes a second sentence.
SHORT = 9
# Templates that treat what they name as one thing.
SINGULAR = re.compile(r"\bIs \{x\}|\{x\} has\b|\{x\} as if it\b")
VERB = r"\b(?:said|cried|asked|replied|answered|remarked|exclaimed|observed)"
PERSON = r"(?:(?:Mr|Mrs|Dr|Capt|Col)\.\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)*"
SPEECH_QUESTIONS = (
    "What did {name} say about {topic}?",
    "What was it that {name} said about {topic}?",
    "What did {name} say of {topic}?",
    "Can you tell me what {name} said of {topic}?",
    "What had {name} to say about {topic}?",
)
KINDS = ("where", "what", "whom", "with", "did", "why", "when", "whether")
# "His" behind the doer's name reads as the doer's own; "her" only before what can be a noun.
OWN = re.compile(r"\b(?:his|her)\b(?=\s[a-z])")
NO_NOUN = words.DETERMINERS | words.PREPOSITIONS | words.CONJUNCTIONS | words.SUBORDINATORS | words.ADVERBS | words.COMPARES | AUXILIARY
# What nobody sees another do, and what asks for nothing.
UNSEEN = words.INNER | words.listed("have do be know think feel seem appear believe suppose wish hope mean like love hate become")
PASSIVE = re.compile(
    r"(?P<verb>[a-z]+)\s(?P<tail>(?:to|into|from|in|on|upon|by|at|down|out of|back to|through|under)\s[^,;:—()]+?)(?:[.!]$|,\sand\b)"
)
MOST_WORDS = 12
# Where a clause with a subject of its own begins: ", and Fagin went out".
CLAUSES = re.compile(r";\s(?:and\s|but\s)?|,\s(?:and|but|while)\s(?=[A-Z])")


def contrast_drafts(request: Request) -> tuple[Draft, ...]:
    """Return at most `count` questions with evasions; none where the passage has no clear deed of another person."""
    if request.about not in ("absent", "other"):
        return _later(request)
    found: list[Draft] = []
    for question in _questions(request):
        if len(found) >= max(1, request.count):
            break
        found.append(Draft(question, _evade(request, question)))
    return tuple(found)


def _questions(request: Request) -> list[str]:
    """Return the best question of each sentence about another person, the best kinds first."""
    own = {word for name in (request.voice.name, *request.voice.aliases) for word in name.split()}
    sentences = split_passage(request.passage)
    names = find_names((request.voice.name, *request.voice.aliases), request.others, request.narrator, sentences)
    persons = names.others | {word for word in (request.narrator or "").split() if word[0].isupper()}
    ranked: list[tuple[int, int, str]] = []
    for place, sentence in enumerate(sentences):
        if sentence.quoted or not sentence.whole or own & set(re.findall(r"\w+", sentence.text)):
            continue
        if {token.low for token in tokenize(sentence.masked, names)} & words.FIRST:
            continue
        asked = [
            pair
            for nth, clause in enumerate(CLAUSES.split(sentence.text))
            # Behind the first clause "his" may be another man's.
            if nth == 0 or not OWN.search(clause)
            for pair in _about_deed(clause, _subject(clause, persons), persons)
        ]
        asked.sort(key=lambda pair: (KINDS.index(pair[0]), number(sentence.text, pair[1])))
        ranked += [(KINDS.index(kind), place, question) for kind, question in asked[:1]]
    ranked += [(KINDS.index("when"), place, question) for place, question in enumerate(_spoken(request, sentences, persons, own))]
    return [question for _, _, question in sorted(ranked)]


def _about_deed(text: str, subject: str, persons: frozenset[str]) -> list[tuple[str, str]]:
    """Return what can be asked about the clause of `subject` in `text`, as (kind, question)."""
    if not subject:
        return []
    head, behind = text[: text.find(subject) + len(subject)], text[text.find(subject) + len(subject) :]
    # The rules of questions know "my" as the doer's own: it stands for "his" while they work.
    own = OWN.search(behind)
    noun = behind[own.end() :].split()[0].strip(".,;:!?").lower() if own else ""
    if own is not None and noun not in NO_NOUN and not noun.endswith("ly"):
        behind = re.sub(rf"\b{own[0]}\b(?=\s[a-z])", "my", behind)
    clause = parse(head + behind, subject)
    found = _passive(text, subject) if clause is None else [*questions(clause, subject, persons), *_who(clause, persons)]
    # "The scheme of things in": the clause went on where it was cut.
    whole = [(kind, question) for kind, question in found if not re.search(r"\s\S+\s\S+\s(?:in|on|over)\?$", question)]
    return [(kind, re.sub(r"\bmy\b", own[0] if own else "my", question)) for kind, question in whole if kind in KINDS]


def _who(clause: Clause, persons: frozenset[str]) -> list[tuple[str, str]]:
    """ "Who drove to the farm of Crane?": only where a person is named, since anybody may have crept into a hall."""
    tail = clause.asked
    if clause.base in UNSEEN or clause.helper == "were" or not is_plain(tail) or NEGATIVE.search(f"{clause.adverb} {tail}"):
        return []
    if "my" in tail.split() or not 2 <= len(tail.split()) <= MOST_WORDS or not set(re.findall(r"\w+", tail)) & persons:
        return []
    return [("whether", " ".join(part for part in ("Who", clause.helper, clause.verb, tail) if part) + "?")]


def _passive(text: str, subject: str) -> list[tuple[str, str]]:
    """ "Was Hope taken into custody?" of a clause that says so."""
    match = re.match(rf"(?:(?:[^,;:—()]{{1,40}}?,?\s)?){re.escape(subject)}\s(?P<helper>was|had been)\s{PASSIVE.pattern}", text)
    if match is None or base_of_participle(match["verb"]) is None or NEGATIVE.search(match["tail"]):
        return []
    low = set(re.findall(r"[a-z]+", match["tail"].lower()))
    if not is_plain(match["tail"]) or low & (words.SUBORDINATORS | {"and", "but"}) or len(match["tail"].split()) > MOST_WORDS:
        return []
    helper, _, more = match["helper"].partition(" ")
    return [("whether", " ".join(part for part in (helper.capitalize(), subject, more, match["verb"], match["tail"]) if part) + "?")]


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
            question = pick(SPEECH_QUESTIONS, sentence.text).format(name=name, topic=topic)
            if question not in found:
                found.append(question)
    return found


def _subject(text: str, persons: frozenset[str]) -> str:
    """Return the name that a deed in `text` belongs to, "" where there is none."""
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
    """Return one of the persona's own evasions where it has any, with a reason where it is short or not in the first person."""
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


def _is_plural(name: str) -> bool:
    """ "Zoom video calls", which no "is" or "it" may follow; "Pac-Man" and "Microsoft Windows" are one thing."""
    last = name.split()[-1]
    bare = name.split()[0].lower() not in ("the", "a", "an")
    return bare and last.islower() and last.endswith("s") and not last.endswith(("ss", "us", "is"))


def _later(request: Request) -> tuple[Draft, ...]:
    """Return questions about a later invention: `about` is its name, with its article: only its list knows whether a thing ("the
    telephone") or a matter ("stainless steel") is meant."""
    thing = name = " ".join(request.about.split())
    if not name:
        return ()
    asks, evasions = phrases("ask_later"), phrases("evasions_later")
    if _is_plural(name):
        asks, evasions = (tuple(one for one in kind if not SINGULAR.search(one)) for kind in (asks, evasions))
    start = number(request.voice.name, name)
    drafts = []
    for nth in range(min(max(1, request.count), len(asks))):
        question = asks[(start + nth * 5) % len(asks)].replace("{x}", thing)
        answer = _answer(request, evasions, question).replace("{x}", thing)
        drafts.append(Draft(question, answer))
    return tuple(drafts)
