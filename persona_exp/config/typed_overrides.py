"""Overrides as people type them, made into what Hydra's grammar reads.

An accent, an apostrophe, a bracket or `~` is quoted where Hydra would stop at it. What can be read in two ways is refused, in a sentence
with the words to paste.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from persona_exp.config.close_name import did_you_mean
from persona_exp.config.override_grammar import (
    FUNCTIONS,
    from_home,
    in_quotes,
    missing_end,
    parsed_override,
    parts_of,
    quoted,
    to_paste,
    with_commas,
)
from persona_exp.config.refused_overrides import (
    refuse_function,
    refuse_two_values,
    refuse_unclosed,
    refuse_unknown,
    split_by_the_shell,
    stray_word,
    words_behind,
)
from persona_exp.config.schema import Config
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


# Settings of Hydra's that change nothing here.
IDLE = {
    "hydra.run.dir": "results lie under runs/, and runs=DIR names another folder",
    "hydra.sweep.dir": "results lie under runs/, and runs=DIR names another folder",
    "hydra.sweep.subdir": "trials are named by what they are",
    "hydra.output_subdir": "a trial keeps its config by itself",
    "hydra.job.chdir": "a trial runs where the command is given",
    "hydra.mode": "-m sweeps",
}
# Groups that no trial is without.
NEEDED = tuple(one.name for one in fields(Config) if one.name not in ("others", "seed", "runs"))


# What a sweep is called, and what tells its end, is one text, whatever commas and brackets are in it.
ONE_TEXT = ("sweep.name", "sweep.note", "notify")


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
        following = words_behind(words[place + 1 :])
        if "=" not in word[1:] and not word.startswith("~"):
            raise UserError(stray_word(word, words[place + 1 :]))
        read.append(_readable(word, following, sweep=sweep))
        place += 1
    refuse_two_values(read)
    # A main config of one's own has what it has.
    if not {"-cn", "--config-name"} & {one.partition("=")[0] for one in flags}:
        refuse_unknown(read)
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
        raise UserError(f"{words[place]} is no flag: settings have no dashes, write {to_paste(f'{name}={value if equals else after}')}.")
    flags = [one for one in (*FLAGS, *TAKE_A_WORD, "--dry-run", "--detach") if one.startswith("--")]
    raise UserError(f"There is no flag {flag}: settings are KEY=VALUE without dashes{did_you_mean(flag, flags)}")


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
        raise UserError(split_by_the_shell(word, following, kind))
    if not value.strip() and kind is not str:
        raise UserError(f"{word} has no value: write {key}=VALUE.")
    if key != key.strip() or (value.startswith("=") and kind is not str):
        bare = value.lstrip("= ")
        raise UserError(f"{word} cannot be read: write {to_paste(f'{key.strip()}={bare}')}.")
    if parsed_override(f"{key}=1") is None:
        raise UserError(f"There is no setting {name}: names are of letters, digits, _ and dots{did_you_mean(name, setting_names())}")
    parts = parts_of(value)
    found = parsed_override(word)
    if name in ONE_TEXT:
        # Words, null, and what is in quotation marks already.
        other = found is None or found.is_sweep_override() or isinstance(found.value(), bool | int | float | list | dict)
        return f"{key}={in_quotes(value)}" if other else word
    if name in group_names() and found is not None and isinstance(found.value(), int | float):
        settings = [one for one in setting_names() if one.startswith(f"{name}.")]
        raise UserError(f"{word} chooses no option: {name}=OPTION does, and {', '.join(settings) or 'nothing'} are its settings.")
    if kind is not str:
        refuse_unclosed(key, value)
        if len(parts) > 1 and not all(part.strip() for part in parts):
            raise UserError(f"{word} has an empty value beside a comma: write {to_paste(f'{key}={with_commas(parts)}')}.")
    if kind is str:
        return _text(key, value, parts, found, sweep=sweep)
    if found is not None:
        return word
    refuse_function(key, value, kind)
    return f"{key}={','.join(map(quoted, parts))}"


def _text(key: str, value: str, parts: Sequence[str], found: Any, *, sweep: bool) -> str:
    """Return an override of a setting that takes a text."""
    one_text = to_paste(f"{key}={in_quotes(value)}")
    spaced = all(part.startswith(" ") for part in parts[1:])
    several = to_paste(f"{key}={','.join(quoted(part.strip()) for part in parts)}")
    if found is not None and not found.is_sweep_override():
        plain = found.value()
        if isinstance(plain, list | dict):
            raise UserError(f"{key}={value} is a {'list' if isinstance(plain, list) else 'mapping'}: write {one_text} for one text.")
        # As it was typed: 1e3 is no 1000.0 in a name.
        return f"{key}={in_quotes(value.strip())}" if isinstance(plain, int | float) else f"{key}={value}"
    if found is not None:
        if len(parts) > 1 and not sweep:
            raise UserError(f"{key}={value} gives several values: write {one_text} for one text, or -m {several} for a sweep.")
        if len(parts) > 1 and spaced:
            raise UserError(f"{key}={value} is one text or {len(parts)}: write {one_text} for one, {several} for {len(parts)}.")
        return f"{key}={value}"
    call = re.fullmatch(r"(\w+)\((.*)\)", value.strip())
    if call and call[1] in ("choice", "shuffle", "sort"):
        return f"{key}={call[1]}({','.join(map(quoted, parts_of(call[2])))})"
    if call and call[1] in FUNCTIONS:
        refuse_function(key, value, str)
    if value.startswith('"') or (value.startswith("[") and missing_end(value)):
        refuse_unclosed(key, value)
    paths = [bool(_PATH.match(part.strip())) for part in parts]
    if len(parts) == 1 or (paths[0] and spaced and not any(paths[1:])) or (spaced and not sweep):
        return f"{key}={in_quotes(from_home(value))}"
    if not sweep:
        raise UserError(f"{key}={value} gives several values: write {one_text} for one text, or -m {several} for a sweep.")
    if spaced and not all(paths):
        raise UserError(f"{key}={value} is one text or {len(parts)}: write {one_text} for one, {several} for {len(parts)}.")
    return f"{key}={','.join(quoted(part.strip()) for part in parts)}"
