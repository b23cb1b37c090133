"""A real reply in reported speech."""

import re

from persona_exp.teacher.rules.grammar_tokens import TITLES
from persona_exp.teacher.rules.phrase_templates import phrases, pick
from persona_exp.teacher.rules.reported_speech import Reported, report, second_person, split_speech
from persona_exp.teacher.rules.reported_statements import resume
from persona_exp.teacher.rules.tense_backshift import Unsure
from persona_exp.teacher.teacher_interface import Draft, Request

MOST_SENTENCES = 6
MIN_WORDS = 6
# A longer question is not quoted again.
MOST_QUOTED = 40
# What may be left out of a reply without losing what it says.
FILLER = re.compile(r"^(?:Well|Why|Oh|Ah|Indeed|Hum|Ha|Come, come|Tut|Quite so|Good|Very good|Really|Dear me|Come|There)[.!,]?$")
TITLED = frozenset(("Mr.", "Mrs.", "Dr.", "Miss", "Captain", "Inspector"))
PLAIN = {
    "Yes.": "said yes",
    "No.": "said no",
    "Certainly.": "said that certainly it was so",
    "Never.": "said never",
    "Certainly not.": "said that certainly it was not so",
}


def transformed_drafts(request: Request) -> tuple[Draft, ...]:
    """Return the reply in reported speech; nothing where one of its sentences is unsure."""
    speech = request.reply.strip()
    if '"' in speech or "\n" in speech:
        return ()
    sentences = [sentence for sentence in split_speech(resume(speech)) if not FILLER.match(sentence)]
    if not 1 <= len(sentences) <= MOST_SENTENCES:
        return ()
    try:
        reports = [PLAIN[sentence] if sentence in PLAIN else report(sentence) for sentence in sentences]
    except Unsure:
        return ()
    hearers = sorted({hearer for piece in reports if not isinstance(piece, str) for hearer in [piece[1]] if hearer})
    pieces = [piece if isinstance(piece, str) else piece[0] for piece in reports]
    to_you = second_person(text_of(pieces))
    known = {word for other in (*request.others, request.narrator or "") for word in other.split()}
    if len(hearers) > 1 or (to_you and (hearers or not _quotable(request.user))) or not set(" ".join(hearers).split()) <= known | TITLED:
        return ()
    for capital in re.findall(r",\s(?!I\b)([A-Z][a-z]+)", text_of(pieces)):
        if capital not in known and capital.lower() not in TITLES:
            return ()
    commands = any(isinstance(piece, Reported) and piece.act == "told" for piece in pieces)
    if commands and not to_you and not hearers and not _quotable(request.user):
        return ()
    to_you = to_you or (commands and not hearers)
    text = _compose(pieces, "you" if to_you else (hearers[0] if hearers else ""))
    if len(text.split()) < MIN_WORDS:
        return ()
    return (Draft(_ask(request.user, text, to_you), text),)


def text_of(pieces: list[str | Reported]) -> str:
    """Return all text of the pieces."""
    return " ".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


def _quotable(user: str) -> bool:
    return 0 < len(user.split()) <= MOST_QUOTED and '"' not in user and "\n" not in user and user.rstrip()[-1] in ".!?"


def _compose(pieces: list[str | Reported], hearer: str) -> str:
    """Join the pieces: "I said that …, and that …. I asked …." """
    sentences: list[str] = []
    last = ""
    for piece in pieces:
        if isinstance(piece, str):
            sentences.append(f"I {piece}")
            last = ""
            continue
        if piece.act == "said" and last == "said" and sentences[-1].count(" and that ") == 0:
            sentences[-1] += f", and {piece.text}"
            continue
        sentences.append(_opening(piece, hearer, bool(sentences)) + " " + piece.text)
        last = piece.act
    return " ".join(sentence + "." for sentence in sentences)


def _opening(piece: Reported, hearer: str, later: bool) -> str:
    if piece.act == "said":
        if later:
            return "I added"
        return f"I told {hearer}" if hearer else "I said"
    if piece.act == "asked":
        return f"I asked {hearer}".strip() if hearer else "I asked"
    if piece.act == "told":
        return f"I told {hearer}"
    return "I proposed"


def _ask(user: str, text: str, to_you: bool) -> str:
    if to_you:
        return pick(phrases("transformed_you"), user, text).replace("{said}", user.strip())
    if _quotable(user) and not re.search(r"\{|\}", user):
        return pick(phrases("transformed_quoted"), user, text).replace("{said}", user.strip())
    return pick(phrases("transformed"), user, text)
