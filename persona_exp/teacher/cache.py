"""Answers kept on disk by what was asked, so that nothing is asked twice, by a resumed run or another build."""

import json
import sys
from pathlib import Path
from typing import Any

from persona_exp.files import create_text, digest
from persona_exp.teacher.completion import Completion, Messages


def cache_key(settings: dict[str, Any], messages: Messages) -> str:
    """SHA-256 over all that decides an answer."""
    return digest({"settings": settings, "messages": [dict(message) for message in messages]})


def cache_file(folder: Path, key: str) -> Path:
    """Where the answer of that key is kept: in one of 256 folders, since some file systems are slow with very large ones."""
    return folder / key[:2] / f"{key}.json"


def load(folder: Path, key: str) -> Completion | None:
    """The kept answer, None where there is none. A damaged file is set aside as `.corrupt`, said on standard error, and counts as none."""
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
    """Keep an answer, unless there is one already; the one that is kept, so that all builds use the same."""
    answer = vars(completion)
    entry = {"settings": settings, "messages": [dict(message) for message in messages], "answer": answer, "sha256": digest(answer)}
    create_text(cache_file(folder, key), json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    return load(folder, key) or completion
