"""Answers kept on disk by settings and conversation, so that no resumed run and no other build sends a conversation twice."""

import json
import sys
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import create_text, digest
from persona_exp.teacher.language_model import Completion, Messages


def cache_key(settings: dict[str, Any], messages: Messages) -> str:
    """Return the SHA-256 over all that decides an answer."""
    return digest({"settings": settings, "messages": [dict(message) for message in messages]})


def cache_file(folder: Path, key: str) -> Path:
    """Return the file of that key's answer: in one of 256 folders, since some file systems are slow with very large ones."""
    return folder / key[:2] / f"{key}.json"


def load(folder: Path, key: str) -> Completion | None:
    """Return the kept answer, None where there is none. Set a damaged file aside as `.corrupt`, with a line on standard error, as if there
    were none."""
    file = cache_file(folder, key)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        entry = json.loads(data)
        answer = entry["answer"]
        whole = entry["sha256"] == digest(answer) and cache_key(entry["settings"], entry["messages"]) == key
        completion = Completion(**answer)
    except (ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if whole:
        return completion
    file.replace(file.with_suffix(".corrupt"))
    print(f"{file} is damaged: set aside as {file.stem}.corrupt and asked again.", file=sys.stderr)
    return None


def store(folder: Path, key: str, settings: dict[str, Any], messages: Messages, completion: Completion) -> Completion:
    """Keep an answer, unless there is one already; return the one that is kept, so that all builds use the same."""
    answer = vars(completion)
    entry = {"settings": settings, "messages": [dict(message) for message in messages], "answer": answer, "sha256": digest(answer)}
    create_text(cache_file(folder, key), json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    return load(folder, key) or completion
