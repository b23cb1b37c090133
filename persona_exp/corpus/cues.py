"""Cues: the words of narration beside a quotation that say who speaks ("said Holmes", "Mr. Pell asked", "said I")."""

import re
from dataclasses import dataclass

# Verbs of saying, as English fiction of the eighteenth to the early twentieth century uses them.
VERB = (
    r"(?:said|says|asked|cried|answered|replied|remarked|exclaimed|observed|returned|continued|murmured|muttered|whispered|shouted|growled|"
    r"repeated|added|inquired|enquired|demanded|ejaculated|interposed|interrupted|suggested|declared|protested|explained|announced|began|"
    r"resumed|called|roared|screamed|gasped|groaned|sighed|sobbed|laughed|chuckled|snarled|snapped|grumbled|retorted|rejoined|responded|"
    r"admitted|agreed|assented|confessed|insisted|persisted|proceeded|pursued|pleaded|begged|urged|ordered|commanded|ventured|faltered|"
    r"stammered|stuttered|hissed|bellowed|bawled|shrieked|yelled|wailed|moaned|whimpered|mumbled|drawled|echoed|hazarded|conceded|"
    r"acknowledged|affirmed|asserted|averred|stated|corrected|concluded|finished|objected|pronounced|quoted|read|thundered|croaked|"
    r"panted|quavered|breathed|soliloqui[sz]ed|apologi[sz]ed|reflected|mused|promised|warned|advised|coaxed|prompted|recited|sneered|"
    r"scoffed|smiled|grinned|barked|rasped|sniffed|volunteered)\b"
)
# These take an object as readily as speech: they count only behind a piece that a comma leaves open.
WEAK = re.compile(
    r"called|read|returned|finished|pursued|proceeded|laughed|smiled|grinned|sniffed|reflected|concluded|ordered|begged|promised"
)
TITLES = (
    r"(?:Mr|Mrs|Ms|Messrs|Dr|St|Capt|Col|Lieut|Lt|Sergt|Rev|Prof|Hon)\.?|Miss|Master|Madame|Madam|Mademoiselle|Monsieur|M\.|Doctor|"
    r"Sir|Lady|Lord|Captain|Colonel|Major|General|Lieutenant|Sergeant|Inspector|Constable|Professor|Reverend|Father|Mother|Brother|"
    r"Sister|Uncle|Aunt|Cousin|Squire|Judge|Count|Countess|Baron|Prince|Princess|Duke|Duchess|King|Queen|Old|Young|Little|Dame|Widow"
)
# Words that open a sentence with a capital and belong to no name.
OPENERS = (
    r"Then|But|And|So|Now|Here|There|Presently|Suddenly|Again|Once|Finally|Meanwhile|When|While|As|At|In|On|Upon|After|Before|With|For|"
    r"From|The|This|That|These|Those|It|My|Our|His|Her|Their|What|Who|Which|How|Why|No|Not|Yes|If|Although|Though|Only|Even|He|She|They|We|"
    r"You|An?|One|Another|Both|All|Some|Every|Each"
)
WORD = r"[A-Z][\w’'&-]*[\w]"
NAME = rf"(?!(?:{OPENERS})\b)(?:(?:{TITLES})\s+)*(?:{WORD}|[A-Z]\.)(?:\s+(?:of|de|du|la|le|von|van|der|St\.|[A-Z]\.|{WORD}))*"
PRONOUN = r"(?:he|she|they|we|it)\b"
DESCRIPTION = r"(?:the|my|our|his|her|a|an|this|that|one|another|both)\s+(?:[\w’'-]+\s+){0,3}?[\w’-]+"
ADVERB = r"(?:(?:[a-z]+ly|again|then|at last|at once|also|too|still|only|hastily|now)\s+)?"
SUBJECT = rf"(?P<subject>I\b|(?i:{PRONOUN})|{NAME}|(?i:{DESCRIPTION}))"
NAMED = rf"(?P<subject>I\b|{NAME})"
SENTENCE_STARTS = r"(?:^|[.!?;:,—”\"]\s*|\s(?:and|but|then|when|as|which)\s+)"
# What may still stand between a cue before a speech and its opening mark.
LEADS_IN = r"[^.!?;“”\"]{0,60}[,:—–-]+\s*$"

VERB_SUBJECT = re.compile(rf"[\s,;—–-]*(?:and\s+)?(?:so\s+)?{ADVERB}(?P<verb>{VERB})\s+{ADVERB}{SUBJECT}")
SUBJECT_VERB = re.compile(rf"[\s,;—–-]*(?:and\s+)?{SUBJECT}\s+(?:had\s+)?{ADVERB}(?P<verb>{VERB})")
INTRODUCED = re.compile(rf"{SENTENCE_STARTS}{SUBJECT}\s+(?:had\s+)?{ADVERB}(?P<verb>{VERB}){LEADS_IN}")
INVERTED = re.compile(rf"{SENTENCE_STARTS}(?P<verb>[Ss]aid|[Cc]ried|[Aa]sked)\s+{NAMED}{LEADS_IN}")
THEN_SAID = re.compile(
    rf"(?:^|[.!?”\"]\s*)(?:(?:{OPENERS})\b(?:\s+[a-z]+)?,?\s+)?{NAMED}\s+(?P<rest>[^.!?;“”\"]{{0,120}}?(?:,|\band|\bthen)\s+{ADVERB}(?P<verb>{VERB})){LEADS_IN}"
)
NO_SPEECH = re.compile(
    r"\s+(?:nothing|no\s+more|not\b|no\s+word|little\s+more|him\b|her\b|me\b|us\b|them\b|by\b|for\b|at\b|the\s|his\s|its\s|my\s)"
)
JOINED = re.compile(r"\s+and\s+(?:I\b|[A-Z])")
CAPITALISED = re.compile(rf"(?<![.!?”\"]\s)(?<!^){NAME}|\bI\b")


@dataclass(frozen=True)
class Cue:
    """`subject` as written ("Sherlock Holmes", "I", "the inspector"); `rule` tells where the cue stood."""

    subject: str
    rule: str


def cue_after(narration: str, piece: str) -> Cue | None:
    """The cue at the start of the `narration` that follows a quoted `piece`."""
    open_end = re.search(r"(?:[,!?…—;-]|\.\.\.)[’']?$", piece.rstrip()) is not None
    match = VERB_SUBJECT.match(narration)
    if match and (open_end or not WEAK.fullmatch(match["verb"])):
        return _checked(narration, match, "verb-subject")
    match = SUBJECT_VERB.match(narration)
    if not match or not open_end:
        return None
    asks_or_calls = piece.rstrip().rstrip("’'")[-1] in "!?"
    if NO_SPEECH.match(narration, match.end()) or (asks_or_calls and WEAK.fullmatch(match["verb"])):
        return None
    return _checked(narration, match, "subject-verb")


def cue_before(narration: str) -> Cue | None:
    """The cue at the end of the `narration` that leads up to a quoted piece ("Holmes turned to me and said: ")."""
    match = INTRODUCED.search(narration) or INVERTED.search(narration)
    if match:
        return _checked(narration, match, "introduced")
    match = THEN_SAID.search(narration)
    # Nobody else may come between the sentence's subject and its verb of saying.
    if match and not CAPITALISED.search(" " + match["rest"]) and not re.search(r"\b(?:he|she|they|we|who)\b", match["rest"]):
        return _checked(narration, match, "introduced")
    return None


def _checked(narration: str, match: re.Match[str], rule: str) -> Cue | None:
    """None for "said Holmes’s brother" and "said Holmes and Watson": neither is one person whom the name tells."""
    subject = re.sub(r"\s+", " ", match["subject"])
    if re.search(r"[’']s?$", subject) or (match.end("subject") == match.end() and JOINED.match(narration, match.end())):
        return None
    return Cue(subject, rule)
