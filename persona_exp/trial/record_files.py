"""Records of runs/ as mappings: YAML, JSON and JSONL, read without trust."""

from pathlib import Path
from typing import Any

from persona_exp.damaged_records import Damaged, parsed_json, parsed_yaml, record_bytes
from persona_exp.errors import UserError

# What sealing writes it writes anew where it is damaged; what a trial has published it does not.
AGAIN = "run the sweep's command again, which writes it anew and keeps this file beside it."


def read_yaml(path: Path, absent: str) -> dict[str, Any]:
    """Return a YAML file's mapping. Raise Damaged where it cannot be read, UserError (`absent`) where it is not there."""
    try:
        text = record_bytes(path).decode()
        content = parsed_yaml(text)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(absent) from None
    except (ValueError, IsADirectoryError):
        raise Damaged(f"{path} is not valid YAML; {AGAIN}") from None
    if not isinstance(content, dict):
        raise Damaged(f"{path} holds no settings; {AGAIN}")
    # YAML that was cut short between two values is YAML all the same.
    if not text.endswith("\n"):
        raise Damaged(f"{path} is cut short; {AGAIN}")
    return content


def read_json(path: str | Path) -> dict[str, Any]:
    """Return a JSON file's object. Raise Damaged where it cannot be read."""
    try:
        content = parsed_json(record_bytes(path))
    except (ValueError, IsADirectoryError):
        raise Damaged(f"{path} is not valid JSON; {AGAIN}") from None
    if not isinstance(content, dict):
        raise Damaged(f"{path} holds no JSON object; {AGAIN}")
    return content


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return records of a JSONL file. A last line that a kill cut short is left out; any other bad line is an error."""
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            records.extend([parsed_json(line)] if line.strip() else [])
        except ValueError:
            # The last element of the split is what follows the last newline: empty in a whole file.
            if number < len(lines):
                raise Damaged(f"{path} line {number} is not JSON; remove the file and run the sweep's command again.") from None
    if not all(isinstance(one, dict) for one in records):
        raise Damaged(f"{path} holds a line that is no JSON object; remove the file and run the sweep's command again.")
    return records
