"""Replies that repeat themselves over and over, which greedy decoding of small models often ends in."""

# So many characters in a row that each repeat the one a fixed distance before: eight words or so.
REPEATED = 40


def loops(text: str) -> bool:
    """Return whether a stretch of `text` is repeated at once: twice in full at least, and for `REPEATED` characters beyond the first time.

    Characters are letters, digits and signs; case and blanks do not count. So "Aye, aye, aye" with eleven of them loops, and so does a
    sentence of 40 characters that is said twice in a row, whatever the script; "No, no, no!" does not, nor does a refrain that other words
    come between. Stricter than Holtzman et al. 2020 (arXiv:1904.09751), who take any phrase of two tokens or more that stands three times
    at the end.
    """
    import numpy as np

    characters = np.array([ord(one) for one in "".join(text.lower().split())])
    for distance in range(1, len(characters) // 2 + 1):
        least = max(REPEATED, distance)
        if len(characters) - distance < least:
            break
        repeated = np.concatenate(([0], characters[distance:] == characters[:-distance], [0]))
        edges = np.flatnonzero(np.diff(repeated))
        if len(edges) and int((edges[1::2] - edges[::2]).max()) >= least:
            return True
    return False
