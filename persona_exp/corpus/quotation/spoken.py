"""Whether words in marks are speech, and where speech ends that lost its closing mark."""

import re

# Verbs of saying and thinking that stand beside speech, in its tenses.
SAYS = (
    r"(?:said|says|saying|say|saith|quoth|sez|asked|asks|asking|cried|cries|crying|answered|answering|replied|replying|remarked|exclaimed|"
    r"exclaiming|observed|observing|returned|continued|murmured|murmuring|muttered|muttering|whispered|whispering|shouted|shouting|growled|"
    r"repeated|repeating|added|adding|inquired|enquired|demanded|ejaculated|interposed|interrupted|suggested|declared|declaring|protested|"
    r"explained|announced|began|resumed|called|calling|roared|screamed|gasped|groaned|sighed|sobbed|laughed|snarled|snapped|grumbled|"
    r"retorted|rejoined|responded|admitted|agreed|assented|confessed|insisted|persisted|proceeded|pursued|pleaded|urged|ventured|faltered|"
    r"stammered|stuttered|hissed|bellowed|shrieked|yelled|wailed|moaned|mumbled|drawled|echoed|concluded|objected|thought|wrote|mused|"
    r"reflected|reiterated|breathed|burst|broke|went|put|told|bawled|smiled|nodded|wondered|subjoined|commented)"
)
SOMEBODY = r"(?:I|he|she|they|we|you|it|one|somebody|someone|everybody|[Tt]he|[Aa]n?|[Mm]y|[Hh]is|[Hh]er|[Tt]heir|[Oo]ur|Mr|Mrs|[A-Z]\w+)\b"
ADVERB = r"(?:(?:\w+ly|again|then|now|once|had|at\s+last|at\s+length|at\s+once|also|only|poor)\s+)?"
NAMED = r"(?:I|[Hh]e|[Ss]he|[Tt]hey|[Ww]e|(?:Mr|Mrs|Dr|Miss)\.?\s+\w+|[A-Z]\w+(?:\s+[A-Z]\w+)?|[Tt]he(?:\s+[\w-]+){1,3})"
CUE = rf"(?:{ADVERB}{SAYS}\s+{ADVERB}{SOMEBODY}|{NAMED}\s+{ADVERB}{SAYS}\b)"
CUE_AFTER = re.compile(rf"[\s,;:.—–-]*(?:\(|and\s+|so\s+)?{CUE}")
CUE_WITHIN = re.compile(rf"[,.!?;…—–-](?P<gap>\s+)(?P<cue>{CUE})")
CUE_AT_END = re.compile(
    rf"[,!?;…—–-](?P<gap>\s+)(?P<cue>(?:{SAYS}\s+{SOMEBODY}|(?:I|he|she|they|[A-Z]\w+)\s+{SAYS}\b)[^,.!?;:]{{0,60}}[.:;]?)$"
)
SAYS_BEFORE = re.compile(
    rf"\b(?:{SAYS}|say|cry|of|with|or|and|with\s+an?|in\s+a\s+\w+\s+voice)(?:\s+(?:out|to|at|him|her|me|them|us))*\s*$"
)
TERMINAL = re.compile(r"(?:[.,!?;:…—–-])[’'”\"»)\]_*]*$")
TITLE_WORDS = re.compile(r"(?:of|the|and|in|a|an|to|for|on|at|de|la)\b")
WORDS = re.compile(r"[\w’'-]+")
# Before a mark of opening, these go on into speech; a word without one of them goes on into a word held up.
PUNCTUATION_BEFORE = frozenset(",:;.!?—–-…)”\"'’_")
LONG = 6


def is_speech(text: str, start: int, end: int, paragraph: tuple[int, int], mark: int, after: int, later: bool) -> bool:
    """Whether `text[start:end]` is said, not a name or a word held up.

    `mark` is where its opening mark begins, `after` where its closing mark ends, `paragraph` what it stands in, and `later` says that
    there was speech in that paragraph before it.
    """
    said = text[start : min(end, start + 400)].strip()
    words = len(WORDS.findall(said))
    if not words:
        return end > start and re.search(r"[.!?…—-]", said) is not None and mark == paragraph[0]
    terminal = TERMINAL.search(text[max(start, end - 6) : end].rstrip()) is not None
    follows = text[after : min(after + 120, paragraph[1])]
    cue = CUE_AFTER.match(follows) is not None and not (follows[:1] in ".;" and not terminal)
    if mark <= paragraph[0]:
        return terminal or words > 3 or cue or not follows.strip() or follows.lstrip()[:1] in "—–-("
    if cue and (terminal or later or words > 3 or follows[:1] in ",—-"):
        return True
    before = text[max(paragraph[0], mark - 60) : mark].rstrip()
    if before[-1:] in PUNCTUATION_BEFORE or (later and before[-1:] == "("):
        if terminal:
            return later or not said.lstrip("‘'—-._ ")[:1].islower() or (before[-1:] in ",:" and words > 2)
        return words > 3 and (later or before[-1:] in ",:")
    return _is_said_midway(said, words, terminal, before)


def _is_said_midway(said: str, words: int, terminal: bool, before: str) -> bool:
    """Speech that no mark of punctuation leads up to: long, or behind a verb of saying, or called out; not a title."""
    first = said.lstrip("‘'—-._ ")[:1]
    if not terminal or first.islower():
        return words > 2 * LONG and terminal
    called = re.search(r"[!?][’'_]*$", said) is not None
    titled = [word for word in WORDS.findall(said) if not TITLE_WORDS.match(word)]
    if not called and words <= LONG and all(word[0].isupper() for word in titled):
        return bool(SAYS_BEFORE.search(before)) and len(titled) < 2
    return called or words >= LONG or bool(SAYS_BEFORE.search(before))


def lost_end(text: str, start: int, end: int) -> int | None:
    """Where speech that begins at `start` and never closes stops: before the first "said he" in `text[start:end]`."""
    match = CUE_WITHIN.search(text, start, end)
    return match.start("gap") if match else None


def trailing_cue(text: str, start: int, end: int) -> int | None:
    """Where speech stops whose paragraph ends on a cue ("…, said he."): its closing mark was lost."""
    match = CUE_AT_END.search(text, max(start, end - 120), end)
    return match.start("gap") if match else None


def lost_start(text: str, start: int, end: int, first: bool) -> int:
    """Where speech that closes at `end` without having opened begins: behind the cue that `text[start:end]` begins with, else at `start`,
    which is that of the paragraph where it is the `first` speech in it."""
    cue = None if first else CUE_AFTER.match(text, start, end)
    if cue is None:
        return start
    stop = re.compile(r"[,.;:]\s+").search(text, cue.end(), min(end, cue.end() + 120))
    return stop.end() if stop else start
