"""Throughput, memory and energy of a trial's training in units for a reader: a column an attempt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from persona_exp.cli.text.text_table import text_table
from persona_exp.cli.text.units import duration, energy, memory_size, rate
from persona_exp.counted_noun import counted

# The last so many attempts that trained are shown.
SHOWN = 3

# What may befall examples, as attempts count it.
LOSSES = ("shortened", "cut", "skipped")

Facts = Mapping[str, Any]


def training_table(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a line for each figure that the records of one of the attempts have; None where none has any."""
    trained = [record for record in records if record.get("training") or record.get("validation")][-SHOWN:]
    found = [
        (record, {**(record.get("training") or {}), "validation": record.get("validation"), "labels": _lossy(record)}) for record in trained
    ]
    if not found:
        return None
    header = ["Training", *(f"attempt {record.get('attempt', '?')}" if len(records) > 1 else "" for record, _ in found)]
    rows = [[f"  {name}", *(_cell(facts, key, tell) for _, facts in found)] for name, key, tell in _FIGURES]
    return text_table(header, [row for row in rows if any(row[1:])], spare=range(1, len(found)))


def _cell(facts: Facts, key: str, tell: Callable[[Facts], str]) -> str:
    return "" if facts.get(key) is None else tell(facts)


def _lossy(record: Facts) -> Facts | None:
    """Return the counts of an attempt's examples, where train.max_length has shortened, cut or skipped some."""
    labels = record.get("labels") or {}
    return labels if any(labels.get(key) for key in LOSSES) else None


def _examples(facts: Facts) -> str:
    labels = facts["labels"]
    return ", ".join([f"{labels['examples']:,}", *(f"{labels[key]:,} {key}" for key in LOSSES if labels.get(key))])


def _steps(facts: Facts) -> str:
    first = facts.get("resumed_from_step")
    return f"{facts['steps']:,}" + (f", from {first:,} on" if first else "")


def _tokens(facts: Facts) -> str:
    supervised = facts.get("supervised_tokens")
    share = f", {100 * supervised / facts['tokens']:.0f} % supervised" if supervised is not None and facts["tokens"] else ""
    return f"{facts['tokens']:,}{share}"


def _utilisation(facts: Facts) -> str:
    peak = facts.get("peak_flops_per_second")
    return f"{100 * facts['utilisation']:.3g} %" + (f" of {rate(peak, 'FLOP/s')}" if peak else "")


def _bundle(facts: Facts) -> str:
    bundle = facts["bundle"]
    parts = [counted(bundle["trials"], "trial")]
    parts += [f"{bundle['tokens_a_step']:,.0f} tokens a step"] if bundle.get("tokens_a_step") else []
    return ", ".join(parts)


def _validation(facts: Facts) -> str:
    best = facts["validation"]
    return f"{best['best_eval_loss']:.3f} at step {best['best_step']:,}{'; stopped early' if best['stopped_early'] else ''}"


_FIGURES: tuple[tuple[str, str, Callable[[Facts], str]], ...] = (
    ("examples", "labels", _examples),
    ("steps", "steps", _steps),
    ("best eval loss", "validation", _validation),
    ("time", "seconds", lambda facts: duration(facts["seconds"])),
    ("tokens", "tokens", _tokens),
    ("throughput", "tokens_per_second", lambda facts: f"{facts['tokens_per_second']:,.0f} tokens/s"),
    ("model FLOPs", "model_flops_per_second", lambda facts: rate(facts["model_flops_per_second"], "FLOP/s")),
    ("utilisation", "utilisation", _utilisation),
    ("peak memory", "peak_memory_bytes", lambda facts: memory_size(facts["peak_memory_bytes"])),
    ("energy", "energy_joules", lambda facts: energy(facts["energy_joules"])),
    ("bundle", "bundle", _bundle),
)
