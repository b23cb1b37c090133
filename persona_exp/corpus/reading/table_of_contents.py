"""The table of contents before a book's first chapter, found and removed."""

from persona_exp.corpus.reading.chapters import Chapter, HeadedChapter
from persona_exp.corpus.reading.headings import Block, blocks, heading_kind
from persona_exp.corpus.reading.removed_text import Cuts

# A preface among the contents is not a line of them.
CONTENTS_WORDS = 40


def remove_table_of_contents(text: str, found: list[HeadedChapter], cuts: Cuts) -> tuple[str, list[HeadedChapter]]:
    """Return text without the list of contents before its first chapter."""
    if not found:
        return text, found
    front = list(blocks(text, 0, found[0].heading))
    start = next((place for place, block in enumerate(front) if _opens_contents(block.text)), None)
    if start is None:
        return text, found
    last = _last_part(front)
    stop = start + 1
    while stop < len(front) and stop != last and not _is_prose(front[stop].text):
        stop += 1
    begin, end = front[start].start, front[stop].start if stop < len(front) else found[0].heading
    cuts.add("contents list", text[begin:end].strip())
    removed = end - begin
    moved = [
        HeadedChapter(
            one.heading - removed, Chapter(one.chapter.title, one.chapter.start - removed, one.chapter.end - removed, one.chapter.part)
        )
        for one in found
    ]
    return text[:begin] + text[end:], moved


def _opens_contents(block: str) -> bool:
    """Return whether a list of contents begins here: its title, or a first chapter's heading (the real one has its chapter behind it)."""
    return heading_kind(block.split("\n")[0].strip()) == "contents" or heading_kind(block) in ("chapter", "numbered")


def _is_prose(block: str) -> bool:
    return len(block.split()) > CONTENTS_WORDS and "\n" in block and block.endswith((".", "!", "?", "”", '"'))


def _last_part(front: list[Block]) -> int | None:
    """Return where the heading of the part that the first chapter is in stands, or of the volume around it."""
    kinds = [heading_kind(block.text) for block in front]
    if "container" not in kinds:
        return None
    last = len(kinds) - 1 - kinds[::-1].index("container")
    while last > 0 and kinds[last - 1] == "container":
        last -= 1
    return last
