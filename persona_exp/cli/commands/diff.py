"""`persona-exp diff A B`: in what two trials, or two sweeps, differ."""

import argparse
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from persona_exp.atomic_files import file_digest
from persona_exp.cli.abbreviated_names import find_sweep_or_trial
from persona_exp.cli.comparable_evaluations import matched_trials, pairs_of_sweeps, pairs_of_trials
from persona_exp.cli.comparison_facts import Facts, sweep_facts, trial_facts
from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.text.escaped_output import one_line
from persona_exp.cli.text.terminal_colours import painted
from persona_exp.cli.text.text_table import text_table
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError
from persona_exp.trial.code_provenance import ORIGIN

NOTHING = "–"
FILES_SHOWN = 12
ROWS_SHOWN = 40
NAMED = 6


def add_commands(nouns: Any) -> None:
    """Add the verb `diff`."""
    diff = nouns.add_parser("diff", help="in what two trials or two sweeps differ")
    diff.add_argument("a", metavar="A", help="a trial or a sweep, or the beginning of its name")
    diff.add_argument("b", metavar="B", help="another of the same kind")
    diff.add_argument("--code", action="store_true", help="show the lines of code that differ")
    diff.add_argument("--all", action="store_true", help="list everything that differs, however long")
    diff.add_argument("--json", action="store_true", help="print JSON")
    diff.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> tuple[int, Any]:
    runs = runs_folder()
    (first_sweep, first), (second_sweep, second) = find_sweep_or_trial(runs, arguments.a), find_sweep_or_trial(runs, arguments.b)
    if bool(first_sweep) != bool(second_sweep):
        raise UserError(f"{arguments.a} and {arguments.b} are a sweep and a trial; compare two of one kind.")
    if first_sweep and second_sweep:
        a, b = sweep_facts(runs, first_sweep), sweep_facts(runs, second_sweep)
    else:
        a, b = trial_facts(runs, str(first), _title(runs, str(first))), trial_facts(runs, str(second), _title(runs, str(second)))
    answer = compare(a, b)
    if not arguments.json:
        print(text(a, b, answer, every=arguments.all, lines=arguments.code))
    return 0, answer


def compare(a: Facts, b: Facts) -> dict[str, Any]:
    """Return what differs, as plain JSON values: pairs (of A, of B) by key; only what differs, but for the results.

    `results` have a difference where both sides were measured alike. `evaluations` says why the others have none: `only_a` and `only_b`
    have no counterpart, `not_compared` maps the name of a pair to the reason, `other_counts` to the metrics over another number of tokens,
    bytes or items; `missing` are those that a sweep asked for and that are not there.
    """
    entries = matched_trials(a.trials, b.trials)
    found = pairs_of_sweeps(entries, a.evaluations, b.evaluations) if entries else pairs_of_trials(a.evaluations, b.evaluations)
    files = _files(Path(a.code["folder"]), Path(b.code["folder"])) if a.code["digest"] != b.code["digest"] else []
    return {
        "a": a.name,
        "b": b.name,
        "config": unlike(a.config, b.config),
        "code": {"a": a.code, "b": b.code, "same": a.code["digest"] == b.code["digest"], "files": files},
        "data": {"a": a.data_id, "b": b.data_id, "same": a.data_id == b.data_id, "manifest": unlike(a.data, b.data)},
        "environment": unlike(a.environment, b.environment),
        "versions": {"a": a.outdated, "b": b.outdated},
        "trials": {
            "only_a": sorted(one.title for one, other in entries if one is not None and other is None),
            "only_b": sorted(other.title for one, other in entries if one is None and other is not None),
        },
        "evaluations": {
            "only_a": [one.name for one in found if one.b is None],
            "only_b": [one.name for one in found if one.a is None],
            "not_compared": {one.name: one.why for one in found if one.why},
            "other_counts": {one.name: one.other_counts for one in found if one.other_counts},
            "missing": {"a": a.missing, "b": b.missing},
        },
        "results": {key: value for pair in found for key, value in pair.results.items()},
    }


def unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the keys whose values differ, with both; None where a side has none."""
    return {key: [a.get(key), b.get(key)] for key in {**a, **b} if (key in a) != (key in b) or a[key] != b[key]}


def text(a: Facts, b: Facts, answer: Mapping[str, Any], *, every: bool, lines: bool) -> str:
    """Return the comparison as text."""
    heads = [(one_line(f"{name}  {facts.name}  {facts.title}".rstrip()), facts) for name, facts in (("A", a), ("B", b))]
    parts = ["\n".join(head + _outdated(facts) for head, facts in heads)]
    parts.append(_pairs("Config", answer["config"], every, "the same"))
    parts.append(_code(answer["code"], every, lines))
    parts.append(_data(answer["data"], every))
    parts.append(_pairs("Environment", answer["environment"], every, "the same"))
    if any(answer["trials"].values()):
        lines_of_sides = [
            f"  only in {side}: {', '.join(answer['trials'][f'only_{side.lower()}'])}"
            for side in "AB"
            if answer["trials"][f"only_{side.lower()}"]
        ]
        parts.append("\n".join([painted("Trials", "1"), *lines_of_sides]))
    parts.append("\n".join([_results(answer["results"], every), *_not_compared(answer["evaluations"], every)]))
    return "\n\n".join(parts)


def _title(runs: Path, trial_id: str) -> str:
    from persona_exp.cli.sweep_status import sweeps_of_trial
    from persona_exp.trial.recorded_sweep import read_sweep

    for name in sweeps_of_trial(runs, trial_id):
        return next(f"{one.title} of {name}" for one in read_sweep(runs, name).trials if one.trial_id == trial_id)
    return ""


def _outdated(facts: Facts) -> str:
    return "\n   " + painted(f"made by an older version ({facts.outdated})", "33") if facts.outdated else ""


def _files(a: Path, b: Path) -> list[dict[str, Any]]:
    """Return the files of two code snapshots that differ; none where one of them is not kept."""
    if not (a.is_dir() and b.is_dir()):
        return []
    found = []
    listed = {path.relative_to(side).as_posix() for side in (a, b) for path in side.rglob("*") if path.is_file()}
    for name in sorted(one for one in listed if "__pycache__" not in one and one != ORIGIN):
        one, other = a / name, b / name
        if one.is_file() and other.is_file() and (one.stat().st_size == other.stat().st_size and file_digest(one) == file_digest(other)):
            continue
        diff = list(difflib.unified_diff(_lines(one), _lines(other), f"A/{name}", f"B/{name}", lineterm=""))
        added = sum(line.startswith("+") for line in diff[2:])
        removed = sum(line.startswith("-") for line in diff[2:])
        found.append({"file": name, "added": added, "removed": removed, "diff": diff})
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _pairs(title: str, pairs: Mapping[str, list[Any]], every: bool, same: str) -> str:
    if not pairs:
        return f"{painted(title, '1')}: {same}"
    indent = " " * (2 + len(title) - len(title.lstrip()))
    rows = [[f"{indent}{key}", _shown(one), _shown(other)] for key, (one, other) in pairs.items()]
    kept = rows if every else rows[:ROWS_SHOWN]
    table = text_table([title, "A", "B"], kept, widest=10_000 if every else 48)
    return table if len(kept) == len(rows) else f"{table}\n  and {len(rows) - len(kept)} more; --all lists them"


def _shown(value: Any) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _code(code: Mapping[str, Any], every: bool, lines: bool) -> str:
    title = painted("Code", "1")
    if code["same"]:
        return f"{title}: the same ({_version(code['a'])})"
    shown = [title, one_line(f"  A  {_version(code['a'])}"), one_line(f"  B  {_version(code['b'])}")]
    if not code["files"]:
        missing = [side for side in ("a", "b") if not Path(code[side]["folder"]).is_dir()]
        return "\n".join(
            [*shown, f"  which files differ is not known: the copy of {' and '.join(missing).upper()} is not kept"] if missing else shown
        )
    kept = code["files"] if every or lines else code["files"][:FILES_SHOWN]
    rows = [[f"  {one['file']}", f"+{one['added']}", f"−{one['removed']}"] for one in kept]
    shown += text_table(["", "", ""], rows, right=(1, 2), widest=100).splitlines()[1:]
    if len(kept) < len(code["files"]):
        shown.append(f"  and {counted(len(code['files']) - len(kept), 'more file')}; --all lists them")
    if lines:
        return "\n".join([*shown, "", *(_coloured(line) for one in kept for line in one["diff"])])
    return "\n".join([*shown, "  --code shows the lines"])


def _coloured(line: str) -> str:
    return painted(line, {"+": "32", "-": "31", "@": "36"}.get(line[:1], ""))


def _version(code: Mapping[str, Any]) -> str:
    if not code["digest"]:
        return "unknown"
    changed = ", with changes" if code.get("changed") else ""
    return f"{code['digest'][:12]}" + (f", commit {code['commit'][:10]}{changed}" if code.get("commit") else "")


def _data(data: Mapping[str, Any], every: bool) -> str:
    title = painted("Data", "1")
    if data["same"]:
        return f"{title}: the same ({data['a']})"
    ids = f"{title}\n  A  {data['a'] or NOTHING}\n  B  {data['b'] or NOTHING}"
    return f"{ids}\n{_pairs('  manifest', data['manifest'], every, 'the same')}" if data["manifest"] else ids


def _results(results: Mapping[str, Mapping[str, float | None]], every: bool) -> str:
    title = painted("Results", "1")
    if not results:
        return f"{title}: none yet"
    if not every and len(results) > ROWS_SHOWN:
        # Of a large sweep, the measure that its table leads with.
        results = {key: value for key, value in results.items() if key.endswith(": perplexity")}
    rows = [[f"  {key}", *(_figure(one[side]) for side in ("a", "b")), _difference(one["difference"])] for key, one in results.items()]
    return text_table(["Results", "A", "B", "B − A"], rows, right=(1, 2, 3), widest=100)


def _not_compared(evaluations: Mapping[str, Any], every: bool) -> list[str]:
    """Return which evaluations have no difference, and why; those of one reason in a line."""
    names_by_reason: dict[str, list[str]] = {}
    for name, why in evaluations["not_compared"].items():
        names_by_reason.setdefault(f"no difference ({why})", []).append(name)
    for name, metrics in evaluations["other_counts"].items():
        names_by_reason.setdefault(f"no difference of {', '.join(metrics)} (over another number of tokens, bytes or items)", []).append(
            name
        )
    for side in "ab":
        names_by_reason |= {f"only in {side.upper()}": evaluations[f"only_{side}"]} if evaluations[f"only_{side}"] else {}
        names_by_reason |= {f"not measured yet in {side.upper()}": evaluations["missing"][side]} if evaluations["missing"][side] else {}
    return [one_line(f"  {why}: {_listed(names, every)}") for why, names in names_by_reason.items()]


def _listed(names: Sequence[str], every: bool) -> str:
    kept = names if every else names[:NAMED]
    return "; ".join(kept) + (f"; and {len(names) - len(kept)} more, --all lists them" if len(kept) < len(names) else "")


def _figure(value: float | None) -> str:
    if value is None:
        return NOTHING
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.4g}").replace("-", "−")


def _difference(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "−")
