"""Secrets in a command or a setting: refused, for both are written to files that others read (sweep.yaml, provenance, sbatch scripts)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from persona_exp.errors import UserError

_NAMED = r"(?:[\w.-]*_)?(?:api_?key|access_?key|token|secret|credentials?)|[\w.-]*(?:password|passwd|passphrase)"
# What only stands for a secret: a variable, a command's output, an interpolation, <a token>; a file (~/x, ./x, /home/x); or nothing.
_VALUE = r"""["'\\]*(?![\s"'\\$`}\],;&|)]|<[^\s>]*>|null\b|none\b|\?\?\?|(?-i:~|\.\.?|/[a-z][a-z0-9._-]*)/)"""
_ASSIGNED = re.compile(rf"(?<![\w./-])(?:[\w.@/+~-]*\.)?({_NAMED})(?:=|:(?![/+?=-])){_VALUE}\S", re.IGNORECASE)
# A key may be another's: group_key=lr, my_key:env, TRITON_CACHE_KEY=1. And names of one word may be words: MONKEY, COMPASS.
_KEYED = re.compile(
    rf"(?<![\w./-])(?:[\w.@/+~-]*\.)?([\w-]*_key|(?-i:[A-Z0-9]+_?(?:KEY|TOKEN|SECRET|PASS|PWD)))(?:=|:(?![/+?=-])){_VALUE}([^\s\"',;}}\])]+)",
    re.IGNORECASE,
)
# In a mapping, with a space: names of variables alone, lest prose be taken for one.
_MAPPED = re.compile(
    rf"\b([A-Z][A-Z0-9_]*_(?:KEY(?=[\"']?(?:\s*=|:)\s*\S{{4}})|TOKEN|PASSWORD|PASSWD|SECRET))[\"']?(?:\s*=\s*|:\s+){_VALUE}\S"
)
# Two dashes in prose stand behind a word.
_OPTION = re.compile(rf"(?<!\w)(--(?:[\w-]*-)?(?:api-?key|token|password|passwd|secret))[=\s]{_VALUE}[^\s-]", re.IGNORECASE)
_LOGIN = re.compile(r"\b(wandb login)(?:\s+--?[\w-]+(?:=\S+)?)*\s+(?![$`\"'-])\w{16,}")
_URL = re.compile(r"://[^/\s:@$]*:(?![$`])[^/\s@]+@")
# A word behind it is prose: a ring bearer wandering.
_BEARER = re.compile(r"\b(bearer)\s+(?![$`\"'<{])(?=\S*\d)[\w.~+/-]{8,}", re.IGNORECASE)
# As the hub, GitHub and endpoints that speak OpenAI's language make them.
_TOKENS = re.compile(r"(?<![\w.-])(?<![^/]/)(?:hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})")
_HINT = re.compile(r"key|token|pass|pwd|secret|credential|login|bearer|hf_|sk-|gh[pousr]_|github_pat|://", re.IGNORECASE)


def secret_in(text: str) -> str | None:
    """Return what kind of secret stands in `text`, never the secret itself: `WANDB_API_KEY`, `a password in a URL`; None for none."""
    if not _HINT.search(text):
        return None
    if found := _ASSIGNED.search(text) or _MAPPED.search(text) or _OPTION.search(text) or _LOGIN.search(text) or _BEARER.search(text):
        return found[1]
    if keyed := next((found[1] for found in _KEYED.finditer(text) if _may_be_a_key(found[1], found[2])), None):
        return keyed
    if _URL.search(text):
        return "a password in a URL"
    return "an access token" if _TOKENS.search(text) else None


def _may_be_a_key(name: str, value: str) -> bool:
    """Return whether a value is long enough: of a variable `*_KEY` 4 characters, else 8, with a digit where the name is one word."""
    if "_" not in name:
        return len(value) >= 8 and any(one.isdigit() for one in value)
    return len(value) >= (4 if name.isupper() else 8)


def refuse_secrets(texts: Iterable[str], where: str) -> None:
    """Raise UserError, which does not quote it, where one of `texts` holds a secret; `where` they stand is named in the sentence."""
    for text in texts:
        kind = secret_in(text)
        if kind:
            name = kind if re.fullmatch(r"[A-Z][A-Z0-9_]*", kind) else "NAME"
            raise UserError(
                f"{where} holds a secret ({kind}), and would be written to files: set it in the environment before the command "
                f"(export {name}=…), which jobs inherit, or let a job read it from a file (export {name}=$(cat FILE))."
            )


def assignments(value: Any, name: str = "") -> Iterator[str]:
    """Yield `NAME=VALUE` for each text in a nested value of mappings and lists, with the innermost key for NAME."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from assignments(inner, str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from assignments(inner, name)
    elif isinstance(value, str):
        yield f"{name}={value}" if name else value
