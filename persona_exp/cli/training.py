"""What a trial's training did in what time, and what it took, in a person's units: a column an attempt."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from persona_exp.cli.columns import columns
from persona_exp.cli.quantities import energy, memory, rate, several, span

# The last so many attempts that trained are shown.
SHOWN = 3

Facts = Mapping[str, Any]


def table(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Of the attempts whose records tell of their training, a line for each figure that one of them has; None where none does."""
    trained = [record for record in records if record.get("training") or record.get("validation")][-SHOWN:]
    found = [(record, {**(record.get("training") or {}), "validation": record.get("validation")}) for record in trained]
    if not found:
        return None
    header = ["Training", *(f"attempt {record.get('attempt', '?')}" if len(records) > 1 else "" for record, _ in found)]
    rows = [[f"  {name}", *(_told(facts, key, tell) for _, facts in found)] for name, key, tell in _FIGURES]
    return columns(header, [row for row in rows if any(row[1:])], spare=range(1, len(found)))


def _told(facts: Facts, key: str, tell: Callable[[Facts], str]) -> str:
    return "" if facts.get(key) is None else tell(facts)


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
    told = [several(bundle["trials"], "trial")]
    told += [f"{bundle['tokens_a_step']:,.0f} tokens a step"] if bundle.get("tokens_a_step") else []
    return ", ".join(told)


def _validation(facts: Facts) -> str:
    told = facts["validation"]
    return f"{told['best_eval_loss']:.3f} at step {told['best_step']:,}{'; stopped early' if told['stopped_early'] else ''}"


_FIGURES: tuple[tuple[str, str, Callable[[Facts], str]], ...] = (
    ("steps", "steps", _steps),
    ("best eval loss", "validation", _validation),
    ("time", "seconds", lambda facts: span(facts["seconds"])),
    ("tokens", "tokens", _tokens),
    ("throughput", "tokens_per_second", lambda facts: f"{facts['tokens_per_second']:,.0f} tokens/s"),
    ("model FLOPs", "model_flops_per_second", lambda facts: rate(facts["model_flops_per_second"], "FLOP/s")),
    ("utilisation", "utilisation", _utilisation),
    ("peak memory", "peak_memory_bytes", lambda facts: memory(facts["peak_memory_bytes"])),
    ("energy", "energy_joules", lambda facts: energy(facts["energy_joules"])),
    ("bundle", "bundle", _bundle),
)
