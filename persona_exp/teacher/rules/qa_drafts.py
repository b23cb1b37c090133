"""Questions to the persona about a passage, each answered by one sentence of its account."""

import re

from persona_exp.teacher.rules import word_classes as words
from persona_exp.teacher.rules.clause_parser import is_plain, parse, to_you
from persona_exp.teacher.rules.first_person_account import AccountSentence, first_person_account
from persona_exp.teacher.rules.grammar_tokens import Names
from persona_exp.teacher.rules.narrative_drafts import CONNECTIVE, LEANING, dangling
from persona_exp.teacher.rules.phrase_templates import number, pick
from persona_exp.teacher.rules.question_formation import happened, questions
from persona_exp.teacher.rules.reported_statements import NOTHING, loose_it, statements, thing
from persona_exp.teacher.teacher_interface import Draft, Request

MIN_WORDS, MAX_WORDS = 4, 60
# The best kinds first: what a "did you" asks, its answer only repeats.
KINDS = ("where", "what", "with", "whom", "who", "said", "did", "standing", "happened", "then", "why", "when", "whether")
OURS = re.compile(r"\b(?:I|me|my|mine|myself|[Ww]e|us|[Oo]ur)\b")
# A "did you …?" is worth asking only when the answer says more than the question.
MORE_WORDS = 6
# Where another clause of the persona's own begins: "The bell rang, and I went down".
PARTS = re.compile(r"(?:;|—|,(?=\s(?:and|but)\s))\s?(?:and\s|but\s)?(?=I\b)")
SPEECH_QUESTIONS = (
    "What did you say about {topic}?",
    "What did you say of {topic}?",
    "What was it that you said about {topic}?",
    "What had you to say of {topic}?",
)


def qa_drafts(request: Request) -> tuple[Draft, ...]:
    """Return at most `count` pairs in the order of the passage, one a sentence before any sentence gives two."""
    account, names = first_person_account(request)
    persons = names.others | set((names.narrator or "").split())
    found: list[tuple[int, int, int, Draft]] = []
    for place, sentence in enumerate(account):
        if sentence is not None and sentence.speech:
            found += [(nth, KINDS.index("said"), place, draft) for nth, draft in enumerate(_about_speech(sentence.speech)[:2])]
            continue
        answer = _answer(sentence)
        if answer is None:
            continue
        asked = _asked(answer, persons, names)
        asked.sort(key=lambda pair: (KINDS.index(pair[0]), number(answer, pair[1])))
        found += [(nth, KINDS.index(kind), place, Draft(question, answer)) for nth, (kind, question) in enumerate(asked[:2])]
    chosen = sorted(found, key=lambda entry: entry[:3])[: max(0, request.count)]
    return tuple(draft for _, _, _, draft in sorted(chosen, key=lambda entry: (entry[2], entry[0])))


def _about_speech(speech: str) -> list[Draft]:
    """ "What did you say about the keg?" "I said that the keg was full of shingle." """
    drafts = []
    for reported in statements(speech):
        answer = f"I said {reported.text}."
        topic = reported.topic or thing(reported.text)
        if loose_it(reported.text) or not MIN_WORDS + 4 <= len(answer.split()) <= MAX_WORDS or not topic or topic.split()[-1] in NOTHING:
            continue
        if is_plain(topic):
            drafts.append(Draft(pick(SPEECH_QUESTIONS, answer).format(topic=to_you(topic[0].lower() + topic[1:])), answer))
    return drafts


def _answer(sentence: AccountSentence | None) -> str | None:
    """Return the sentence as an answer that can be understood by itself, None for another."""
    if sentence is None or sentence.spoken or not sentence.mentions:
        return None
    bare = CONNECTIVE.sub("", sentence.text)
    bare = bare[:1].upper() + bare[1:]
    if LEANING.match(bare) or dangling(bare) or loose_it(bare) or not OURS.search(bare):
        return None
    return bare if MIN_WORDS <= len(bare.split()) <= MAX_WORDS else None


def _asked(answer: str, persons: frozenset[str], names: Names) -> list[tuple[str, str]]:
    for nth, part in enumerate(PARTS.split(answer)):
        subject = re.search(r"\b(?:[A-Z][a-z]+ and I|I|[Ww]e)\b", part) if nth == 0 else re.match("I", part)
        clause = parse(part, subject[0]) if subject else None
        asked = questions(clause, "you", persons) if clause is not None else []
        if clause is None or not asked:
            continue
        longer = len(answer.split()) - len(clause.tail.split()) - 2 >= MORE_WORDS
        asked = [(kind, question) for kind, question in asked if kind != "whether" or longer]
        if asked:
            return asked
    after = happened(answer)
    return [("happened", after)] if after else _who(answer, persons)


def _who(answer: str, persons: frozenset[str]) -> list[tuple[str, str]]:
    """ "Who brought you the almanack?" of a sentence that begins with a person's name."""
    match = re.match(r"(?:(?:Mr|Mrs|Dr)\.\s|Miss\s|Inspector\s|Sir\s|Lady\s)?[A-Z][a-z]+(?:\s[A-Z][a-z]+)*(?=\s[a-z])", answer)
    if match is None or not set(match[0].split()) & persons:
        return []
    clause = parse(answer, match[0])
    if clause is None or clause.lead or clause.base in ("have", "do") or not re.search(r"\b(?:me|my)\b", clause.asked):
        return []
    asked = to_you(clause.asked)
    if not is_plain(asked) or len(asked.split()) < 3:
        return []
    verb = " ".join(part for part in (clause.helper, clause.adverb if clause.adverb not in words.ADVERBS else "", clause.verb) if part)
    return [("who", f"Who {verb} {asked}?")]
