"""sweep.yaml: what a sweep asks for, in YAML, with one line a trial that is JSON as well: YAML takes seconds to read 20,000 trials."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from persona_exp.damaged_records import parsed_json, parsed_yaml

# What YAML takes for the end of a line, or refuses, where JSON has it as it is.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def sweep_text(head: Mapping[str, Any], trials: Iterable[Mapping[str, Any]]) -> str:
    """Return sweep.yaml with what stands before its trials, and its trials."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    rows = "".join(f"- {_flow(one)}\n" for one in trials)
    return str(yaml.dump(dict(head), Dumper=dumper, sort_keys=False, allow_unicode=True)) + (f"trials:\n{rows}" if rows else "trials: []\n")


def parse_sweep(text: str) -> dict[str, Any] | None:
    """Return the content of a sweep.yaml; None where its trials are not lines of JSON, as older versions wrote them, or it is damaged."""
    head, found, rows = text.partition("\ntrials:\n")
    lines = rows.removesuffix("\n").split("\n")
    if not found or not rows.endswith("\n") or not all(line.startswith('- {"') for line in lines):
        return None
    try:
        # All at once: line by line takes five times as long.
        trials = parsed_json(f"[{','.join([line[2:] for line in lines])}]")
        return {**parsed_yaml(head), "trials": trials}
    except (ValueError, TypeError):
        return None


def _flow(value: Any) -> str:
    """Return a value as it is in JSON, and in YAML as well."""
    if isinstance(value, Mapping):
        return "{" + ", ".join([f"{_flow(str(key))}: {_flow(inner)}" for key, inner in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    if isinstance(value, float):
        # YAML's numbers have a point before their exponent; those that are not finite are none to JSON.
        return {"NaN": ".nan", "Infinity": ".inf", "-Infinity": "-.inf"}.get(text, text if "." in text else text.replace("e", ".0e"))
    return text
