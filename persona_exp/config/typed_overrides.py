"""Overrides as people type them, made into what Hydra's grammar reads.

An accent, an apostrophe, a bracket or `~` is quoted where Hydra would stop at it. What can be read in two ways is refused, in a sentence
with the words to paste.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from persona_exp.config.close_name import close_name, did_you_mean
from persona_exp.config.schema import Config
from persona_exp.config.schema.composition import Composition
from persona_exp.config.setting_names import group_names, setting_names, setting_type
from persona_exp.errors import UserError

SWEEP = ("-m", "--multirun")
# Flags of Hydra's, and of those that take a word the words there are; () for any.
FLAGS = ("-h", "--help", "--hydra-help", "--version", "-r", "--run", *SWEEP, "-sc", "--shell-completion", "--resolve")
TAKE_A_WORD: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("-c", "--cfg"), ("job", "hydra", "all")),
    **dict.fromkeys(("-i", "--info"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")),
    **dict.fromkeys(("-p", "--package", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir"), ()),
    **dict.fromkeys(("-er", "--experimental-rerun"), ()),
}
# Hydra's functions, each as it is written.
FUNCTIONS = {
    "choice": "choice(8,16)",
    "range": "range(1,9)",
    "interval": "interval(1e-5,1e-3)",
    "glob": "glob(*)",
    "tag": "tag(log,interval(1e-5,1e-3))",
    "shuffle": "shuffle(range(1,9))",
    "sort": "sort(8,4)",
    "int": "int(8.0)",
    "float": "float(8)",
    "str": "str(8)",
    "bool": "bool(1)",
}
# Settings of Hydra's that change nothing here.
IDLE = {
    "hydra.run.dir": "results lie under runs/, and runs=DIR names another folder",
    "hydra.sweep.dir": "results lie under runs/, and runs=DIR names another folder",
    "hydra.sweep.subdir": "trials are named by what they are",
    "hydra.output_subdir": "a trial keeps its config by itself",
    "hydra.job.chdir": "a trial runs where the command is given",
    "hydra.mode": "-m sweeps",
}
# What the config holds, and of that the groups that no trial is without.
TOP = (*(one.name for one in fields(Composition)), "hydra", "experiment", "sweeps")
NEEDED = tuple(one.name for one in fields(Config) if one.name not in ("others", "seed", "runs"))
# What a sweep is called, and what tells its end, is one text, whatever commas and brackets are in it.
ONE_TEXT = ("sweep.name", "sweep.note", "notify")
PAIRS = {"[": "]", "{": "}", "(": ")"}
_PATH = re.compile(r"~?/|~$|\.\.?/|~[\w-]+/")


def as_typed(words: Sequence[str]) -> list[str]:
    """Return a command's words, overrides and flags, as Hydra reads them. Raise UserError for what it cannot read, or reads in two ways."""
    if {"-sc", "--shell-completion"} & set(words):
        # What stands behind it is for the shell.
        return list(words)
    sweep = any(word in SWEEP for word in words)
    flags: list[str] = []
    read: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        if word.startswith("-"):
            taken = _flag(words, place)
            flags += words[place : place + taken]
            place += taken
            continue
        following = _without_equals(words[place + 1 :])
        if "=" not in word[1:] and not word.startswith("~"):
            raise UserError(_stray(word, words[place + 1 :]))
        read.append(_readable(word, following, sweep=sweep))
        place += 1
    _refuse_two_values(read)
    # A main config of one's own has what it has.
    if not {"-cn", "--config-name"} & {one.partition("=")[0] for one in flags}:
        _refuse_unknown(read)
    # Hydra knows no override on both sides of a flag.
    return [*flags, *read]


def _flag(words: Sequence[str], place: int) -> int:
    """Return how many words a flag takes. Raise UserError for one that there is not."""
    flag, equals, value = words[place].partition("=")
    if flag in FLAGS and not equals:
        return 1
    if flag in TAKE_A_WORD:
        rest = words[place + 1 :]
        taken = 1 if equals or not rest or (flag in ("-i", "--info") and ("=" in rest[0] or rest[0].startswith("-"))) else 2
        given = value if equals else rest[0] if taken == 2 else None
        known = TAKE_A_WORD[flag]
        if given is None and flag not in ("-i", "--info"):
            raise UserError(f"{flag} needs a word behind it{': ' + ', '.join(known) if known else ''}.")
        if given is not None and known and given not in known:
            raise UserError(f"{flag} {given} does not exist: choose one of {', '.join(known)}{did_you_mean(given, known)}")
        return taken
    name = flag.lstrip("-")
    if equals or name in setting_names() or name in group_names():
        after = words[place + 1] if place + 1 < len(words) and "=" not in words[place + 1] else "VALUE"
        raise UserError(f"{words[place]} is no flag: settings have no dashes, write {_paste(f'{name}={value if equals else after}')}.")
    flags = [one for one in (*FLAGS, *TAKE_A_WORD, "--dry-run", "--detach") if one.startswith("--")]
    raise UserError(f"There is no flag {flag}: settings are KEY=VALUE without dashes{did_you_mean(flag, flags)}")


def _without_equals(words: Sequence[str]) -> list[str]:
    """Return the words up to the next override or flag: what a shell took off a value with spaces."""
    found: list[str] = []
    for word in words:
        if "=" in word.lstrip("=") or word.startswith("-") or re.match(r"~[A-Za-z_]", word):
            break
        found.append(word)
    return found


def _stray(word: str, rest: Sequence[str]) -> str:
    """Return what is wrong with a word that sets nothing."""
    if word.startswith("="):
        return f"{word} has no setting in front of its =: write KEY=VALUE."
    following = _without_equals(rest)
    setting, colon, value = word.partition(":")
    if colon and _is_known(setting):
        return f"{word} has no =: write {_paste(f'{setting}={value}')}."
    value = "".join(following).lstrip("=") if following and following[0].startswith("=") else " ".join(following)
    if _is_known(word):
        return f"{word} has no value: write {_paste(f'{word}={_for_key(word, value)}' if value else f'{word}=VALUE')}."
    if following and following[0].startswith("="):
        return f"{word} {following[0]} stands apart: write {_paste(f'{word}={value}')}."
    return f"{word} sets nothing: settings are KEY=VALUE, and flags begin with -{did_you_mean(word, (*setting_names(), *group_names()))}"


def _readable(word: str, following: Sequence[str], *, sweep: bool) -> str:
    """Return an override as Hydra reads it; `following` are the words behind it that set nothing."""
    key, equals, value = word.partition("=")
    name = key.strip().lstrip("+~")
    kind = setting_type(name)
    if word.startswith("~") and name in NEEDED:
        raise UserError(f"{word} takes out what every trial needs: choose an option, {name}=OPTION.")
    if word.startswith("~") and not equals:
        return word
    if not name:
        raise UserError(f"{word} has no setting in front of its =: write KEY=VALUE.")
    if name in IDLE:
        raise UserError(f"{name} does nothing here: {IDLE[name]}; leave it out.")
    if name == "sweeps" and not key.startswith("+"):
        raise UserError(f"sweeps stands beside the config: write -m +sweeps={value}.")
    if name == "sweep":
        raise UserError(
            f"{word} sets nothing: -m +sweeps={value} runs a sweep of sweeps/, sweep.name={value} names one; did you mean sweeps?"
        )
    if following:
        raise UserError(_split_by_the_shell(word, following, kind))
    if not value.strip() and kind is not str:
        raise UserError(f"{word} has no value: write {key}=VALUE.")
    if key != key.strip() or (value.startswith("=") and kind is not str):
        bare = value.lstrip("= ")
        raise UserError(f"{word} cannot be read: write {_paste(f'{key.strip()}={bare}')}.")
    if not _parses(f"{key}=1"):
        raise UserError(f"There is no setting {name}: names are of letters, digits, _ and dots{did_you_mean(name, setting_names())}")
    parts = _parts(value)
    found = _parsed(word)
    if name in ONE_TEXT:
        # Words, null, and what is in quotation marks already.
        other = found is None or found.is_sweep_override() or isinstance(found.value(), bool | int | float | list | dict)
        return f"{key}={_quotes(value)}" if other else word
    if name in group_names() and found is not None and isinstance(found.value(), int | float):
        settings = [one for one in setting_names() if one.startswith(f"{name}.")]
        raise UserError(f"{word} chooses no option: {name}=OPTION does, and {', '.join(settings) or 'nothing'} are its settings.")
    if kind is not str:
        _refuse_unclosed(key, value)
        if len(parts) > 1 and not all(part.strip() for part in parts):
            raise UserError(f"{word} has an empty value beside a comma: write {_paste(f'{key}={_joined(parts)}')}.")
    if kind is str:
        return _text(key, value, parts, found, sweep=sweep)
    if found is not None:
        return word
    _refuse_function(key, value, kind)
    return f"{key}={','.join(map(_quoted, parts))}"


def _text(key: str, value: str, parts: Sequence[str], found: Any, *, sweep: bool) -> str:
    """Return an override of a setting that takes a text."""
    one_text = _paste(f"{key}={_quotes(value)}")
    spaced = all(part.startswith(" ") for part in parts[1:])
    several = _paste(f"{key}={','.join(_quoted(part.strip()) for part in parts)}")
    if found is not None and not found.is_sweep_override():
        plain = found.value()
        if isinstance(plain, list | dict):
            raise UserError(f"{key}={value} is a {'list' if isinstance(plain, list) else 'mapping'}: write {one_text} for one text.")
        # As it was typed: 1e3 is no 1000.0 in a name.
        return f"{key}={_quotes(value.strip())}" if isinstance(plain, int | float) else f"{key}={value}"
    if found is not None:
        if len(parts) > 1 and not sweep:
            raise UserError(f"{key}={value} gives several values: write {one_text} for one text, or -m {several} for a sweep.")
        if len(parts) > 1 and spaced:
            raise UserError(f"{key}={value} is one text or {len(parts)}: write {one_text} for one, {several} for {len(parts)}.")
        return f"{key}={value}"
    call = re.fullmatch(r"(\w+)\((.*)\)", value.strip())
    if call and call[1] in ("choice", "shuffle", "sort"):
        return f"{key}={call[1]}({','.join(map(_quoted, _parts(call[2])))})"
    if call and call[1] in FUNCTIONS:
        _refuse_function(key, value, str)
    if value.startswith('"') or (value.startswith("[") and _closing(value)):
        _refuse_unclosed(key, value)
    paths = [bool(_PATH.match(part.strip())) for part in parts]
    if len(parts) == 1 or (paths[0] and spaced and not any(paths[1:])) or (spaced and not sweep):
        return f"{key}={_quotes(_from_home(value))}"
    if not sweep:
        raise UserError(f"{key}={value} gives several values: write {one_text} for one text, or -m {several} for a sweep.")
    if spaced and not all(paths):
        raise UserError(f"{key}={value} is one text or {len(parts)}: write {one_text} for one, {several} for {len(parts)}.")
    return f"{key}={','.join(_quoted(part.strip()) for part in parts)}"


def _split_by_the_shell(word: str, following: Sequence[str], kind: type | None) -> str:
    """Return what to write instead of an override whose value a shell took apart."""
    key, _, value = word.partition("=")
    behind = " ".join(following)
    whole = f"{value} {behind}".strip()
    if kind in (int, float, bool) or (kind is None and "[" not in value):
        joined = _joined(re.split(r"[\s,]+", whole))
        why = "has no value" if not value else "stands apart from its values"
        return f"{word} {why}: write {key}={joined}, without spaces{' and with -m for a sweep' if ',' in joined else ''}."
    if kind is list and not value.startswith("["):
        listed = _joined(re.split(r"[\s,]+", whole))
        return f"{behind} sets nothing: write {_paste(f'{key}=[{listed}]')} for a list."
    return f"{behind} sets nothing: write {_paste(f'{key}={whole}')}, in quotes, if it belongs to {name_of(key)}."


def name_of(key: str) -> str:
    """Return an override's key without the signs that add and delete."""
    return key.lstrip("+~")


def _refuse_unclosed(key: str, value: str) -> None:
    """Raise UserError where a bracket or a quotation mark of `value` is left open, or closes nothing."""
    missing = _closing(value)
    if not missing:
        return
    closed = value + missing
    fix = (
        f"close it, as in {_paste(f'{key}={closed}')}" if not _closing(closed) else f"write {_paste(f'{key}={_quotes(value)}')} for a text"
    )
    raise UserError(f"{key}={value} has a bracket or quotation mark without its other half: {fix}, all in single quotes for the shell.")


def _refuse_function(key: str, value: str, kind: type | None) -> None:
    """Raise UserError where `value` calls a function that Hydra has not, or calls one wrongly."""
    call = re.match(r"([A-Za-z_]\w*)\(", value.strip())
    if not call:
        return
    meant = call[1] if call[1] in FUNCTIONS else close_name(call[1], FUNCTIONS)
    if meant:
        raise UserError(f"{key}={value} cannot be read: {meant} is written as in {key}={FUNCTIONS[meant]}.")
    if kind is not None:
        raise UserError(f"{key}={value} cannot be read: there is no {call[1]}(…), but {', '.join(FUNCTIONS)}.")


def _refuse_two_values(read: Sequence[str]) -> None:
    """Raise UserError for a setting that is set in two ways, of which Hydra would take the last."""
    first: dict[str, str] = {}
    for word in read:
        key, equals, _ = word.partition("=")
        if word.startswith(("-", "~")) or not equals:
            continue
        before = first.setdefault(name_of(key), word)
        if before != word:
            raise UserError(f"{name_of(key)} is set twice: leave out {_paste(before)} or {_paste(word)}.")


def _refuse_unknown(read: Sequence[str]) -> None:
    """Raise UserError for a setting that is in no group of the config; of a group, the config as it is composed knows its settings."""
    for name in (word.partition("=")[0] for word in read if not word.startswith(("+", "~"))):
        if re.split(r"[./@:]", name)[0] not in TOP:
            hint = did_you_mean(name, (*group_names(), *setting_names()))
            raise UserError(f"There is no setting {name}: the config has {', '.join(TOP)}{hint}")


def _is_known(name: str) -> bool:
    return name_of(name) in setting_names() or name_of(name) in group_names() or bool(re.fullmatch(r"[a-z_]+(\.\w+)+", name))


def _for_key(key: str, value: str) -> str:
    return _joined(re.split(r"[\s,]+", value)) if setting_type(name_of(key)) in (int, float) else value


def _joined(parts: Sequence[str]) -> str:
    return ",".join(part.strip() for part in parts if part.strip())


def _paste(override: str) -> str:
    """Return an override as it is typed in a shell."""
    return shlex.quote(override) if not re.fullmatch(r"[\w.,=/@+:%-]+", override) else override


def _quotes(text: str) -> str:
    """Return a text in Hydra's quotes."""
    mark = "'" if '"' in text and "'" not in text else '"'
    # A backslash counts in front of a quotation mark alone.
    return mark + re.sub(rf"(\\*)({mark}|$)", lambda found: found[1] * 2 + (f"\\{mark}" if found[2] else ""), text) + mark


def _quoted(value: str) -> str:
    """Return a value as Hydra reads it, what is in lists and mappings too."""
    value = value.strip()
    if _parsed(f"a={value}") is not None:
        return value
    if value.startswith("[") and value.endswith("]"):
        return f"[{','.join(map(_quoted, _parts(value[1:-1])))}]"
    if value.startswith("{") and value.endswith("}"):
        entries = [part.partition(":") for part in _parts(value[1:-1])]
        return "{" + ",".join(f"{_quoted(key)}{colon}{_quoted(inner)}" for key, colon, inner in entries) + "}"
    return _quotes(_from_home(value))


def _from_home(text: str) -> str:
    """Return a text that begins with ~/ from the home folder on, as a shell would have it."""
    return str(Path(text).expanduser()) if text == "~" or text.startswith("~/") else text


def _parts(value: str) -> list[str]:
    """Return what stands between the commas that are in no brackets and no quotation marks."""
    return _scanned(value)[0]


def _closing(value: str) -> str:
    """Return the brackets or the quotation mark that are missing at a value's end, or the bracket in it that closes nothing."""
    return _scanned(value)[1]


def _scanned(value: str) -> tuple[list[str], str]:
    parts, inside, quote, astray = [""], list[str](), "", ""
    for place, letter in enumerate(value):
        begins = value[:place].rstrip()[-1:] in ("", *",[{(:")
        if quote:
            quote = "" if letter == quote and value[place - 1] != "\\" else quote
        # An apostrophe that nothing closes is one of a word.
        elif begins and (letter == '"' or (letter == "'" and "'" in value[place + 1 :])):
            quote = letter
        elif letter in PAIRS:
            inside.append(PAIRS[letter])
        elif inside and letter == inside[-1]:
            inside.pop()
        elif letter in PAIRS.values():
            astray = astray or letter
        elif letter == "," and not inside:
            parts.append("")
            continue
        parts[-1] += letter
    return parts, astray or quote + "".join(reversed(inside))


def _parses(word: str) -> bool:
    return _parsed(word) is not None


@cache
def _parsed(word: str) -> Any:
    """Return an override as Hydra parses it; None where it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None
