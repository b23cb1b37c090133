"""`persona-exp clean`: what can be deleted; it asks."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from persona_exp.cli.garbage import Garbage, References, find_garbage, still_garbage
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.text.text_table import text_table
from persona_exp.cli.text.units import disk_size, duration
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError

SHOWN = 5


def add_commands(nouns: Any) -> None:
    """Add the verb `clean`."""
    clean = nouns.add_parser("clean", help="what can be deleted, with sizes; asks first")
    clean.add_argument("--yes", action="store_true", help="delete without asking")
    clean.add_argument("--younger", action="store_true", help="also what was written within the last day")
    clean.add_argument("--all", action="store_true", help="list every one")
    clean.add_argument("--json", action="store_true", help="print JSON; deletes nothing without --yes")
    clean.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    found = find_garbage(runs, younger=arguments.younger)
    spared = _spared(References(runs))
    if not arguments.json:
        print("\n".join([_text(found, runs, every=arguments.all), *spared]))
    agreed = bool(found) and (arguments.yes or (not arguments.json and _agreed()))
    deleted = delete(runs, found) if agreed else []
    if not arguments.json and agreed:
        kept = f"; {counted(len(found) - len(deleted), 'one')} came into use meanwhile" if len(deleted) < len(found) else ""
        print(f"Deleted {counted(len(deleted), 'item')}, {disk_size(sum(one.bytes for one in deleted))}{kept}.")
    return 0, {"found": [_json(one) for one in found], "deleted": [str(one.path) for one in deleted], "spared": spared}


def _spared(known: References) -> list[str]:
    """Return why data, code and sealed trials are not among what can go: what refers to them cannot be read."""
    again = "give the command of its trial or sweep again, which writes it anew"
    data = [f"Neither data nor code is offered, since {path} cannot be read: {again}." for path in known.unreadable[:1]]
    return data + [f"No trial is offered that was never run, since {path} cannot be read: {again}." for path in known.unreadable_sweeps[:1]]


def delete(runs: Path, found: Sequence[Garbage]) -> list[Garbage]:
    """Delete what may still go; what went."""
    known = References(runs)
    gone = []
    for one in found:
        if not still_garbage(runs, one, known) or not os.path.lexists(one.path):
            continue
        # Of a link only itself goes, whatever it leads to.
        if one.path.is_dir() and not one.path.is_symlink():
            # It loses its name first: a kill half-way leaves nothing that seems whole.
            dropped = one.path.with_name(f".dropped-{one.path.name}")
            shutil.rmtree(dropped, ignore_errors=True)
            one.path.rename(dropped)
            shutil.rmtree(dropped)
        else:
            one.path.unlink()
        gone.append(one)
    return gone


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UserError("Nothing was deleted, since nobody can be asked here; give --yes.")
    return input("Delete all of this? [y/N] ").strip().lower() in ("y", "yes")


def _text(found: Sequence[Garbage], runs: Path, *, every: bool) -> str:
    if not found:
        return f"Nothing under {runs} can be deleted; --younger includes the last day."
    parts = []
    for kind, group in groupby(sorted(found, key=lambda one: (one.kind, -one.loss, -one.bytes)), key=lambda one: one.kind):
        ones = list(group)
        total = disk_size(sum(one.bytes for one in ones))
        kept = ones if every else ones[:SHOWN]
        rows = [[f"  {one.path}", disk_size(one.bytes), f"{duration(one.seconds)} old"] for one in kept]
        lines = text_table([f"{kind}: {len(ones):,}, {total}", "", ""], rows, right=(1, 2), widest=200)
        parts.append(lines + (f"\n  and {len(ones) - len(kept):,} more; --all lists them" if len(kept) < len(ones) else ""))
    parts.append(f"{counted(len(found), 'item')}, {disk_size(sum(one.bytes for one in found))} in all.")
    return "\n\n".join(parts)


def _json(one: Garbage) -> dict[str, Any]:
    return {"path": str(one.path), "kind": one.kind, "bytes": one.bytes, "age_seconds": one.seconds}
