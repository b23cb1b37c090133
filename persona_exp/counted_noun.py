"""A number with its noun: `1 trial`, `2 trials`."""


def counted(number: int, noun: str, verb: str = "", plural_verb: str = "") -> str:
    """Return `number`, with commas between thousands, and the singular `noun` in the form that goes with it; behind it the verb's."""
    return f"{number:,} {noun if number == 1 else plural(noun)} {verb if number == 1 else plural_verb}".rstrip()


def plural(noun: str) -> str:
    """Return the plural of a noun that takes an s: `reply` gives `replies`."""
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"


def of_number(number: float, unit: str) -> str:
    """Return a unit that is a plural, `replies`, in the form that goes with `number`."""
    if number != 1 or not unit.endswith("s"):
        return unit
    return f"{unit[:-3]}y" if unit.endswith("ies") else unit[:-1]
