"""The name that was meant by one that is not there."""

import difflib
from collections.abc import Iterable

# What two spellings must share to be taken for one another, as difflib counts it.
ALIKE = 0.65


def close_name(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` is most like, whatever the case; of a dotted name the end is enough. None without one."""
    by_lower = {one.lower(): one for one in names}
    asked = name.lower()
    if asked in by_lower:
        return by_lower[asked]
    same_end = [one for lower, one in by_lower.items() if lower.rpartition(".")[2] == asked.rpartition(".")[2]]
    found = difflib.get_close_matches(asked, [one.lower() for one in same_end] or by_lower, 1, 0.0 if same_end else ALIKE)
    return by_lower[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return `; did you mean NAME?` for the end of a sentence, or a full stop where nothing is like it."""
    found = close_name(name, names)
    return f"; did you mean {found}?" if found else "."
