"""Speech that a dash opens and no mark closes, as French and some Irish books set it."""

import re

from persona_exp.corpus.word_lists.speech_verbs import CUE

DASH = re.compile(r"(?:[—–―]|--)[^\S\n]*(?=\S)")
# ", said he," ends in the speaker's going on, or in a full stop.
INTERRUPTION = re.compile(rf"(?<=[,.!?;…—–-])\s+(?:[—–-]+\s*)?(?P<cue>{CUE}[^,.;:!?—–]{{0,80}})(?P<stop>[,.;:!?]|\s*[—–]|$)")
TURNS_TO_NARRATION = re.compile(
    r"\s+(?:He|She|They|His|Her|Their|The|Mr\.?|Mrs\.?|Miss|[A-Z]\w+\s+(?:\w+ed|was|had|sat|stood|went|took|turned))\b"
)
LED_UP_TO = re.compile(r":\s*(?:[—–―]|--)\s*(?=[A-Z‘’'])")


def dash_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return what is said in a paragraph: from its first dash, or the one behind a colon, to its end, without the narration between."""
    opening = DASH.match(text, start, end) or LED_UP_TO.search(text, start, end)
    if opening is None:
        return []
    spans: list[tuple[int, int]] = []
    begin = opening.end()
    while begin < end:
        match = INTERRUPTION.search(text, begin, end)
        if match is None:
            spans.append((begin, end))
            break
        spans.append((begin, match.start()))
        begin = match.end()
        if match["stop"] in (".", "!", "?", "") and TURNS_TO_NARRATION.match(text, begin, end):
            break
        begin += len(text[begin:end]) - len(text[begin:end].lstrip(" \t\n—–-"))
    return [(first, last) for first, last in spans if text[first:last].strip()]
