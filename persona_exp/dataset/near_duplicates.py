"""Near-duplicates: texts of which a stretch stands in another text too, word for word or with up to a fifth of its words changed.

Not MinHash, and for a reason. With a fifth of its words changed a text keeps about a third of its three-word shingles, and a sentence
quoted in a page has next to none of the page's, so that one threshold on their share either misses copies or drowns in chance. Here
candidates come from shared three-word shingles directly: a text of n words with e edits keeps n - 2 - 3e of them or more (Ukkonen 1992,
"Approximate string matching with q-grams and maximal matches"), which for e = n/5 is never below two, so that no copy slips through;
each candidate is then decided by its true edit distance in words (Myers 1999, "A fast bit-vector algorithm").
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Words that may differ: one in so many of the longer text, so of a text that lost a fifth of its words one in four.
CHANGED = 5
CHANGED_OF_SHORTER = CHANGED - 1
# A longer text is compared in windows of so many words, each half over the one before: of a copied stretch of 1.5 windows one is whole.
WINDOW = 25
# Of passages more: a sentence that an author quotes again does not make the passages around it the same.
PASSAGE_WINDOW = 40
# Shorter texts are everybody's: "I do not know what you mean."
SHORTEST = 8
SHINGLE = 3
# Long texts are compared in pieces, each beginning so many words before the end of the one before it: in a whole book every shingle stands.
PIECE = 400
OVERLAP = 100
# A shingle with more pairs of places than this is refrain or rubbish; counting its pairs would never end.
MOST_PAIRS = 20_000_000
# Pairs of equal shingles compared in one go; 8 bytes each, several times over.
HITS_AT_ONCE = 2_000_000

WORD = re.compile(r"[^\W_]+")
# Editions differ in them, and some have lost theirs.
APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")

Keys = NDArray[np.uint64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Copy:
    """`left` and `right` are places in the lists compared; of a stretch of `words` words of the shorter text, `changed` differ."""

    left: int
    right: int
    words: int
    changed: int


@dataclass(frozen=True)
class Words:
    """Texts as numbers: `keys` holds a 64-bit number for each word of all of them, `starts` where each text begins, and the end."""

    keys: Keys
    starts: Places

    def __len__(self) -> int:
        return len(self.starts) - 1

    def text(self, index: int) -> list[int]:
        """Return the words of one text."""
        numbers: list[int] = self.keys[self.starts[index] : self.starts[index + 1]].tolist()
        return numbers


def words(text: str) -> list[str]:
    """Return the words of `text` without case, punctuation and markup; accents composed one way."""
    joined = APOSTROPHE.sub("", unicodedata.normalize("NFKC", text).casefold())
    return WORD.findall(joined)


def numbered(texts: Sequence[str]) -> Words:
    """Return `texts` as numbers: equal words have equal ones in every run and on every machine."""
    known: dict[str, int] = {}
    numbers: list[int] = []
    starts = [0]
    for text in texts:
        for word in words(text):
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
            numbers.append(known[word])
        starts.append(len(numbers))
    return Words(np.array(numbers, dtype=np.uint64), np.array(starts, dtype=np.int64))


def shingles(of: Words, size: int) -> tuple[Keys, Places]:
    """Return the key of every run of `size` words that lies in one text, and that text's place, in order."""
    count = len(of.keys) - size + 1
    if count <= 0:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    keys = np.zeros(count, dtype=np.uint64)
    for offset in range(size):
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + of.keys[offset : offset + count]
        keys ^= keys >> np.uint64(29)
    owner = np.repeat(np.arange(len(of), dtype=np.int64), np.diff(of.starts))
    inside = owner[:count] == owner[size - 1 :]
    return keys[inside], owner[:count][inside]


def find_copies(left: Sequence[str], right: Sequence[str] | None = None, window: int = WINDOW) -> list[Copy]:
    """Find for each text of `left` one copy in `right`, if there is any, in the order of `left`; texts under `SHORTEST` words have none.

    A copy is the shorter of two texts, or a `window` (in words) of it, standing in the other with at most a fifth of its words changed,
    put in or left out; of longer texts a stretch of one and a half windows is found for sure. Without `right`: all pairs of copies within
    `left`, the earlier text first.
    """
    ours, our_texts = _pieces(numbered(left))
    theirs, their_texts = (ours, our_texts) if right is None else _pieces(numbered(right))
    found: dict[tuple[int, int], Copy] = {}
    copied = -1
    for one, other in _candidates(ours, our_texts, theirs, their_texts, window, within=right is None):
        pair = int(our_texts[one]), int(their_texts[other])
        if pair in found or (pair[0] == copied and right is not None):
            continue
        stretch = _compare(ours.text(one), theirs.text(other), window)
        if stretch:
            found[pair] = Copy(*pair, *stretch)
            copied = pair[0]
    return list(found.values())


def find_formulas(texts: Sequence[str], sources: Sequence[str], size: int, most: int) -> Keys:
    """Return the keys of `shingles` that stand in texts from more than `most` of the `sources`, one for each text."""
    keys, owners = shingles(numbered(texts), size)
    places: dict[str, int] = {}
    source = np.array([places.setdefault(name, len(places)) for name in sources], dtype=np.int64)[owners]
    ranked = np.lexsort((source, keys))
    keys, source = keys[ranked], source[ranked]
    fresh = np.append(True, (keys[1:] != keys[:-1]) | (source[1:] != source[:-1]))[: len(keys)]
    distinct, counts = np.unique(keys[fresh], return_counts=True)
    return distinct[counts > most]


def find_runs(left: Sequence[str], right: Sequence[str], size: int, ignored: Keys | None = None) -> list[tuple[int, int, int]]:
    """Find each text of `left` that shares `size` words in a row with a text of `right`: the places of both texts and of the run's first
    word in the left one, for its first such run. `ignored` are the keys of `shingles` that do not count."""
    keys, owners = shingles(numbered(left), size)
    their_keys, their_owners = shingles(numbered(right), size)
    order = np.argsort(their_keys, kind="stable")
    their_keys, their_owners = their_keys[order], their_owners[order]
    alike = np.isin(keys, their_keys)
    shared = np.flatnonzero(alike if ignored is None else alike & ~np.isin(keys, ignored))
    firsts, index = np.unique(owners[shared], return_index=True)
    partners = their_owners[np.searchsorted(their_keys, keys[shared[index]])]
    # A text's shingles stand one after the other, as its words do.
    offsets = shared[index] - np.searchsorted(owners, firsts)
    return list(zip(firsts.tolist(), partners.tolist(), offsets.tolist(), strict=True))


def edits_inside(pattern: Sequence[int], text: Sequence[int]) -> int:
    """Return the least number of words to change, put in or leave out so that `pattern` stands in `text` somewhere (Myers 1999)."""
    where: dict[int, int] = {}
    for place, word in enumerate(pattern):
        where[word] = where.get(word, 0) | 1 << place
    every, last = (1 << len(pattern)) - 1, 1 << (len(pattern) - 1)
    plus, minus = every, 0
    edits = fewest = len(pattern)
    for word in text:
        equal = where.get(word, 0)
        diagonal = (((equal & plus) + plus) ^ plus) | equal
        up, down = minus | (every & ~(diagonal | plus)), plus & diagonal
        if up & last:
            edits += 1
        elif down & last:
            edits -= 1
            fewest = min(fewest, edits)
        up, down, vertical = up << 1 & every, down << 1 & every, equal | minus
        plus, minus = down | (every & ~(vertical | up)), up & vertical
    return fewest


def _least_hits(window: int) -> Places:
    """Return by the length of the shorter text, up to a window, how many shingles the two share at least if one is the other's copy."""
    kept = [length - SHINGLE + 1 - SHINGLE * (length // CHANGED) for length in range(2 * window)]
    # The shorter text may be what is left of a longer one.
    least = [min(kept[length : length + length // CHANGED_OF_SHORTER + 1]) for length in range(window + 1)]
    return np.maximum(1, np.array(least, dtype=np.int64))


def _pieces(of: Words) -> tuple[Words, Places]:
    """Return `of` with long texts cut into pieces that overlap, and the text of each piece."""
    spans: list[tuple[int, int, int]] = []
    for text, (start, end) in enumerate(pairwise(of.starts.tolist())):
        begins = range(start, max(start + 1, end - OVERLAP), PIECE - OVERLAP)
        spans += [(text, begin, min(begin + PIECE, end)) for begin in begins]
    keys = [of.keys[begin:end] for _, begin, end in spans]
    starts = np.cumsum([0, *(end - begin for _, begin, end in spans)])
    joined = np.concatenate(keys) if keys else of.keys
    return Words(joined, starts.astype(np.int64)), np.array([text for text, _, _ in spans], dtype=np.int64)


def _candidates(ours: Words, our_texts: Places, theirs: Words, their_texts: Places, window: int, within: bool) -> Iterator[tuple[int, int]]:
    """Yield pairs of pieces that share enough shingles, in order of our texts, and for each the most promising first."""
    keys, owners = shingles(ours, SHINGLE)
    their_keys, their_owners = shingles(theirs, SHINGLE)
    order = np.argsort(their_keys, kind="stable")
    their_keys, their_owners = their_keys[order], their_owners[order]
    first = np.searchsorted(their_keys, keys, side="left")
    counts = np.searchsorted(their_keys, keys, side="right") - first
    _, key, alike = np.unique(keys, return_inverse=True, return_counts=True)
    counts[counts * alike[key] > MOST_PAIRS] = 0
    lengths, their_lengths = np.diff(ours.starts), np.diff(theirs.starts)
    least = _least_hits(window)
    for begin, end in _slices(our_texts[owners], counts):
        each = counts[begin:end]
        total = int(each.sum())
        # The places of all hits: for every shingle the run of equal ones among theirs.
        inner = np.arange(total) - np.repeat(np.cumsum(each) - each, each)
        others = their_owners[np.repeat(first[begin:end], each) + inner]
        ones = np.repeat(owners[begin:end], each)
        if within:
            later = our_texts[ones] < our_texts[others]
            ones, others = ones[later], others[later]
        pairs, hits = np.unique(ones * len(theirs) + others, return_counts=True)
        ones, others = pairs // max(1, len(theirs)), pairs % max(1, len(theirs))
        shorter = np.minimum(np.minimum(lengths[ones], their_lengths[others]), window)
        enough = (shorter >= SHORTEST) & (hits >= least[shorter])
        ones, others, hits = ones[enough], others[enough], hits[enough]
        ranked = np.lexsort((others, ones, -hits, our_texts[ones]))
        yield from zip(ones[ranked].tolist(), others[ranked].tolist(), strict=True)


def _slices(texts: Places, counts: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield ranges of shingles of whole texts with about `HITS_AT_ONCE` hits in each."""
    if not len(texts):
        return
    sums = np.cumsum(counts)
    ends = np.flatnonzero(np.append(texts[1:] != texts[:-1], True)) + 1
    begin, done = 0, 0
    for end in ends.tolist():
        if sums[end - 1] - done >= HITS_AT_ONCE or end == len(texts):
            yield begin, end
            begin, done = end, int(sums[end - 1])


def _compare(left: list[int], right: list[int], window: int) -> tuple[int, int] | None:
    """Return the words of a copied stretch and how many of them are changed, if there is one."""
    shorter, longer = (left, right) if len(left) <= len(right) else (right, left)
    changed = edits_inside(shorter, longer)
    if changed <= len(shorter) // CHANGED_OF_SHORTER:
        return len(shorter), changed
    if len(shorter) <= window:
        return None
    starts = sorted({*range(0, len(shorter) - window, window // 2), len(shorter) - window})
    changed = min(edits_inside(shorter[start : start + window], longer) for start in starts)
    return (window, changed) if changed <= window // CHANGED_OF_SHORTER else None
