"""README.md and docs/ are written in short sentences; README.md fits on a page or two and opens with the two commands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MOST_WORDS = 30


def prose(text):
    """Yield each run of prose as (line, text), without code, tables, headings, comments, pictures and lines that end a list's items."""
    fenced, run, start = False, [], 0
    for number, line in enumerate([*re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines(), ""], start=1):
        if line.startswith("```"):
            fenced = not fenced
        item = re.match(r"\s*(?:[-*]|\d+\.) +", line)
        breaks = fenced or not line.strip() or line.startswith(("```", "#", "|", "!", "<", "---")) or (line.startswith("    ") and not run)
        if (breaks or item) and run:
            yield start, " ".join(run)
            run = []
        if breaks:
            continue
        start = start if run else number
        run.append(line[item.end() :] if item else line.strip())


def sentences(text):
    """Return the sentences of a run of prose; code in backticks is one word, and a link is its text."""
    text = re.sub(r"`[^`]*`", "code", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text))
    text = re.sub(r"\b(?:e\.g|i\.e|al|vol|Mr|Mrs|St|No)\.", "abbreviation", text)
    return re.split(r"(?<=[.!?])[\"')*”]*\s+(?=\S)", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_sentence_is_longer_than_thirty_words(page):
    long = [
        f"{page.relative_to(ROOT)}:{line}: {len(sentence.split())} words: {sentence}"
        for line, run in prose(page.read_text(encoding="utf-8"))
        for sentence in sentences(run)
        if len(sentence.split()) > MOST_WORDS
    ]
    assert not long, "\n" + "\n".join(long)


def test_long_sentences_are_found():
    words, code = "word " * 40, "code " * 40
    text = f"# {words}\n\n- {'one ' * 31}end.\n- Short.\n\n```\n{code}\n```\n\n    {code}\n\n| {words} |\n\nA `b c d`. E."
    found = [[len(one.split()) for one in sentences(run)] for _, run in prose(text)]
    assert found == [[32], [1], [2, 1]]


def test_the_readme_is_short_and_opens_with_the_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    first = "\n".join(lines[:20])
    assert "make demo" in first
    assert "make test" in first
