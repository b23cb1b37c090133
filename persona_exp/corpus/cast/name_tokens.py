"""Names and narration cut into tokens, and tokens as names are compared by them."""

import re

TOKEN = re.compile(
    r"(?:Mr|Mrs|Ms|Messrs|Dr|St|Capt|Col|Lieut|Lt|Sergt|Rev|Prof|Hon|Mme|Mlle)\.|(?<![^\W_])[A-Z]\.(?=\s*[A-Z])|[’']s\b|"
    r"[^\W_]+(?:[-’'][^\W_]+(?<![’']s))*|--|—|\.\.\.|[^\w\s]"
)


def token_key(token: str) -> str:
    """Return a token as names are compared: small, without the full stop of a title."""
    return token.rstrip(".").lower()


def name_tokens(name: str) -> tuple[str, ...]:
    """Return the tokens of a name that count in a comparison."""
    return tuple(token_key(token) for token in TOKEN.findall(name) if token[0].isalnum())
