"""Words of a command that are refused, each in a sentence with the words to paste."""

import re
from collections.abc import Sequence
from dataclasses import fields

from persona_exp.config.close_name import close_name, did_you_mean
from persona_exp.config.override_grammar import FUNCTIONS, in_quotes, missing_end, name_of, to_paste, with_commas
from persona_exp.config.schema.composition import Composition
from persona_exp.config.setting_names import group_names, setting_names, setting_type
from persona_exp.errors import UserError

# What the config holds.
TOP = (*(one.name for one in fields(Composition)), "hydra", "experiment", "sweeps")


def words_behind(words: Sequence[str]) -> list[str]:
    """Return the words up to the next override or flag: what a shell took off a value with spaces."""
    found: list[str] = []
    for word in words:
        if "=" in word.lstrip("=") or word.startswith("-") or re.match(r"~[A-Za-z_]", word):
            break
        found.append(word)
    return found


def stray_word(word: str, rest: Sequence[str]) -> str:
    """Return what is wrong with a word that sets nothing."""
    if word.startswith("="):
        return f"{word} has no setting in front of its =: write KEY=VALUE."
    following = words_behind(rest)
    setting, colon, value = word.partition(":")
    if colon and _is_known(setting):
        return f"{word} has no =: write {to_paste(f'{setting}={value}')}."
    value = "".join(following).lstrip("=") if following and following[0].startswith("=") else " ".join(following)
    if _is_known(word):
        return f"{word} has no value: write {to_paste(f'{word}={_for_key(word, value)}' if value else f'{word}=VALUE')}."
    if following and following[0].startswith("="):
        return f"{word} {following[0]} stands apart: write {to_paste(f'{word}={value}')}."
    return f"{word} sets nothing: settings are KEY=VALUE, and flags begin with -{did_you_mean(word, (*setting_names(), *group_names()))}"


def split_by_the_shell(word: str, following: Sequence[str], kind: type | None) -> str:
    """Return what to write instead of an override whose value a shell took apart."""
    key, _, value = word.partition("=")
    behind = " ".join(following)
    whole = f"{value} {behind}".strip()
    if kind in (int, float, bool) or (kind is None and "[" not in value):
        numbers = with_commas(re.split(r"[\s,]+", whole))
        why = "has no value" if not value else "stands apart from its values"
        return f"{word} {why}: write {key}={numbers}, without spaces{' and with -m for a sweep' if ',' in numbers else ''}."
    if kind is list and not value.startswith("["):
        listed = with_commas(re.split(r"[\s,]+", whole))
        return f"{behind} sets nothing: write {to_paste(f'{key}=[{listed}]')} for a list."
    return f"{behind} sets nothing: write {to_paste(f'{key}={whole}')}, in quotes, if it belongs to {name_of(key)}."


def refuse_unclosed(key: str, value: str) -> None:
    """Raise UserError where a bracket or a quotation mark of `value` is left open, or closes nothing."""
    missing = missing_end(value)
    if not missing:
        return
    closed = value + missing
    as_text = f"write {to_paste(f'{key}={in_quotes(value)}')} for a text"
    fix = as_text if missing_end(closed) else f"close it, as in {to_paste(f'{key}={closed}')}"
    raise UserError(f"{key}={value} has a bracket or quotation mark without its other half: {fix}, all in single quotes for the shell.")


def refuse_function(key: str, value: str, kind: type | None) -> None:
    """Raise UserError where `value` calls a function that Hydra has not, or calls one wrongly."""
    call = re.match(r"([A-Za-z_]\w*)\(", value.strip())
    if not call:
        return
    meant = call[1] if call[1] in FUNCTIONS else close_name(call[1], FUNCTIONS)
    if meant:
        raise UserError(f"{key}={value} cannot be read: {meant} is written as in {key}={FUNCTIONS[meant]}.")
    if kind is not None:
        raise UserError(f"{key}={value} cannot be read: there is no {call[1]}(…), but {', '.join(FUNCTIONS)}.")


def refuse_two_values(read: Sequence[str]) -> None:
    """Raise UserError for a setting that is set in two ways, of which Hydra would take the last."""
    first: dict[str, str] = {}
    for word in read:
        key, equals, _ = word.partition("=")
        if word.startswith(("-", "~")) or not equals:
            continue
        before = first.setdefault(name_of(key), word)
        if before != word:
            raise UserError(f"{name_of(key)} is set twice: leave out {to_paste(before)} or {to_paste(word)}.")


def refuse_unknown(read: Sequence[str]) -> None:
    """Raise UserError for a setting that is in no group of the config; of a group, the config as it is composed knows its settings."""
    for name in (word.partition("=")[0] for word in read if not word.startswith(("+", "~"))):
        if re.split(r"[./@:]", name)[0] not in TOP:
            hint = did_you_mean(name, (*group_names(), *setting_names()))
            raise UserError(f"There is no setting {name}: the config has {', '.join(TOP)}{hint}")


def _is_known(name: str) -> bool:
    return name_of(name) in setting_names() or name_of(name) in group_names() or bool(re.fullmatch(r"[a-z_]+(\.\w+)+", name))


def _for_key(key: str, value: str) -> str:
    return with_commas(re.split(r"[\s,]+", value)) if setting_type(name_of(key)) in (int, float) else value
