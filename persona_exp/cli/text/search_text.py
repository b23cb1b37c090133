"""The text of `persona-exp search`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from persona_exp.cli.text.terminal_colours import painted
from persona_exp.cli.text.text_table import text_table
from persona_exp.cli.text.units import asked_of, time_and_age
from persona_exp.counted_noun import counted
from persona_exp.search.ask_files import figure, settings_text, short_value
from persona_exp.search.composed_configs import read_composed
from persona_exp.search.rebuilt_study import RebuiltStudy
from persona_exp.search.search_record import ask_record, best_trials, counts
from persona_exp.trial.recorded_sweep import sweep_note

# Rows of the table: the newest, and beside them the best.
NEWEST, BEST = 12, 5
# Kinds of reasons, and members of a Pareto front, that are shown without --all.
SHOWN = 6
GIVEN_UP = ("failed", "refused", "damaged")


def search_text(
    study: RebuiltStudy, *, hold: Mapping[str, Any] | None, coming: Mapping[str, Any], importance: Mapping[str, Any], every: bool
) -> str:
    """Return how a search stands: its head, the best, a table, what is next, which settings matter.

    `coming` is a NextAsk's fields, `importance` what importance_record gives.
    """
    parts = ["\n".join([*_head(study), *_hold(study, hold), *_damaged(study)]), _best(study, every=every), _table(study, every=every)]
    parts += [found for found in (_reasons(study), _next(coming, held=hold is not None), _importance(importance)) if found]
    return "\n\n".join(part for part in parts if part)


def _head(study: RebuiltStudy) -> list[str]:
    settings = study.settings
    sampler = str(settings.sampler["_target_"]).rsplit(".", 1)[-1]
    pruner = f", {str(settings.pruner['_target_']).rsplit('.', 1)[-1]}" if settings.pruner else ""
    goals = " and ".join(f"{way} {name}" for way, name in zip(settings.directions, settings.objectives, strict=True))
    states = ", ".join(f"{count:,} {state}" for state, count in counts(study).items())
    seeds = f", each the mean of {settings.seeds} seeds" if settings.seeds > 1 else ""
    lines = [
        painted(study.folder.name, "1"),
        *([f"  {note}"] if (note := sweep_note(study.folder)) else []),
        f"  {settings.command}",
        f"  {goals} on the validation split{seeds} ({sampler}{pruner})",
        f"  {asked_of(len(study.asks), settings.n_trials, 'trials')}: {states or 'none yet'}",
    ]
    if settings.warm:
        sweeps = Counter(one.sweep for one in settings.warm)
        known = ", ".join(f"{counted(count, 'trial')} of {sweep}" for sweep, count in sweeps.items())
        lines.append(f"  known from the start: {known}")
    if settings.constraints:
        lines.append(f"  constraints: {', '.join(settings.constraints)}")
    return lines


def _hold(study: RebuiltStudy, hold: Mapping[str, Any] | None) -> list[str]:
    if not hold:
        return []
    why = hold.get("message") or hold.get("cause")
    return [painted(f"  held since {time_and_age(hold.get('at'))}: {why}", "33")]


def _damaged(study: RebuiltStudy) -> list[str]:
    if not study.damaged:
        return []
    names = ", ".join(f"asks/{number:06}.json" for number in study.damaged)
    counted = "counts as asked for, and has no result" if len(study.damaged) == 1 else "count as asked for, and have no result"
    return [painted(f"  damaged, torn or none of ours: {names}; {counted}", "33")]


def _best(study: RebuiltStudy, *, every: bool) -> str:
    """Return the best trial with its settings and what they are by default, or the Pareto front in a table."""
    found = best_trials(study)
    if not found:
        left = " that breaks no constraint" if study.settings.constraints else ""
        return f"No trial{left} has finished yet."
    if len(study.settings.objectives) > 1:
        return _front(study, found, every=every)
    ((number, values, overrides, trials, origin),) = [_known(study, found[0])]
    objective = f"{study.settings.objectives[0]} {figure(values[0])}"
    title = f"Best: {f'warm start {-number}' if number < 0 else f'ask {number}'}, {objective}"
    lines = [painted(title, "1") + f" (trial {', '.join(trials)}{origin})"]
    defaults = _defaults(study, overrides)
    width = max(map(len, overrides), default=0)
    for name, text in overrides.items():
        by_default = f"  (default {short_value(defaults[name])})" if name in defaults and defaults[name] != text else ""
        lines.append(f"  {name.ljust(width)}  {short_value(text)}{by_default}")
    return "\n".join(lines)


def _front(study: RebuiltStudy, found: Sequence[int], *, every: bool) -> str:
    known = sorted((_known(study, number) for number in found), key=lambda one: one[1][0])
    shown = known if every else known[: SHOWN * 2]
    rows = [
        [f"warm {-number}" if number < 0 else f"{number}", *map(figure, values), settings_text(overrides), ", ".join(trials)]
        for number, values, overrides, trials, _ in shown
    ]
    header = ["ask", *study.settings.objectives, "settings", "trial"]
    title = painted(f"Pareto front: {counted(len(known), 'trial')} that no other is better than in all objectives", "1")
    more = f"\n  and {len(known) - len(shown)} more; --all lists them" if len(shown) < len(known) else ""
    return title + "\n" + text_table(header, rows, right=tuple(range(len(study.settings.objectives) + 1)), widest=90) + more


def _known(study: RebuiltStudy, number: int) -> tuple[int, Sequence[float], Mapping[str, str], Sequence[str], str]:
    """Return number, objectives, overrides, trials and origin of a finished ask, or of a warm start (below 0)."""
    if number < 0:
        warm = study.settings.warm[number + study.offset]
        return number, warm.values, warm.overrides, [warm.trial_id], f" of {warm.sweep}"
    ask, values = study.asks[number], study.results[number].values
    assert ask is not None
    assert values is not None
    return number, values, ask.overrides, [one.trial_id for one in ask.trials], ""


def _defaults(study: RebuiltStudy, overrides: Mapping[str, str]) -> dict[str, str]:
    composed = read_composed(study.folder)
    choices = {key: overrides[key.lstrip("+~")] for key in study.settings.composed}
    found = {name: composed.default(choices, name) for name in overrides}
    return {name: text for name, text in found.items() if text is not None}


def _table(study: RebuiltStudy, *, every: bool) -> str:
    """Return the newest asks and the best, a line each."""
    if not study.asks:
        return ""
    numbers = list(range(len(study.asks)))
    if not every:
        finished = [(one.values, number) for number, one in enumerate(study.results) if one.values]
        sign = 1 if study.settings.directions[0] == "minimize" else -1
        best = [number for _, number in sorted(finished, key=lambda one: (sign * one[0][0], one[1]))[:BEST]]
        numbers = sorted({*numbers[-NEWEST:], *best, *(one for one in best_trials(study)[: SHOWN * 2] if one >= 0)})
    marked = set(best_trials(study))
    records = [ask_record(study, number) for number in numbers]
    rows = [_row(study, one, best=one["number"] in marked) for one in records]
    objectives = study.settings.objectives
    header = ["ask", "", "state", *objectives, "step", "loss", "settings", "trial", "note"]
    table = text_table(header, rows, right=(0, *range(3, 5 + len(objectives))), widest=90)
    # A cell of the table would cut the sentence short.
    beside = "".join(
        f"\nask {one['number']} has its result, but {one['why']}" for one in records if one["state"] == "complete" and one["why"]
    )
    left = len(study.asks) - len(numbers)
    return table + beside + (f"\n{counted(left, 'more ask')} not shown; --all lists every one." if left else "")


def _row(study: RebuiltStudy, record: Mapping[str, Any], *, best: bool) -> list[str]:
    number, objectives = record["number"], study.settings.objectives
    values = [figure(one) for one in record["objectives"]] if record["objectives"] else [""] * len(objectives)
    losses, step = record["losses"], record.get("reached")
    ask = study.asks[number]
    broken = [text for text, excess in record.get("constraints", {}).items() if excess > 0]
    note = record["why"] or (f"breaks {', '.join(broken)}" if broken else "")
    return [
        f"{number}",
        "*" if best else "",
        record["state"],
        *values,
        "" if step is None else f"{step}",
        "" if step is None else figure(losses[step]),
        ask.title if ask else "",
        ", ".join(record["trials"]),
        note,
    ]


def _reasons(study: RebuiltStudy) -> str:
    """Return why asks failed, were refused or have no result that can be read, each reason once."""
    found: dict[str, list[int]] = {}
    for number, one in enumerate(study.results):
        if one.state in GIVEN_UP and number not in study.damaged:
            found.setdefault(f"{one.state}: {' '.join((one.why or 'no reason is known').split())}", []).append(number)
    if not found:
        return ""
    damaged = any(why.startswith("damaged: ") for why in found)
    lines = [painted("Failed, refused or damaged" if damaged else "Failed or refused", "1")]
    for why, numbers in sorted(found.items(), key=lambda one: -len(one[1]))[:SHOWN]:
        named = ", ".join(map(str, numbers[:SHOWN])) + (", …" if len(numbers) > SHOWN else "")
        lines.append(f"  {counted(len(numbers), 'ask')} ({named}) {why}")
    if len(found) > SHOWN:
        lines.append(f"  and {len(found) - SHOWN} other reasons; --json has them")
    return "\n".join(lines)


def _next(coming: Mapping[str, Any], *, held: bool) -> str:
    if held:
        return "Next: nothing, since the search is held."
    if coming["kind"] == "none":
        return f"Next: nothing, {coming['why']}."
    return f"Next: ask {coming['number']} ({coming['kind']}), {settings_text(coming['overrides'])}: {coming['why']}."


def _importance(found: Mapping[str, Any]) -> str:
    if found["refused"]:
        return str(found["refused"])
    part, trials = found["part"], found["trials"]
    title = painted("Importance of settings", "1") + f" for being among the best {part:.0%} of {trials} finished trials (PED-ANOVA)"
    rows = [
        [
            f"  {one['name']}",
            f"{one['share']:.0%}",
            f"{one['low']:.0%} to {one['high']:.0%}",
            "" if one["beyond_chance"] else "as by chance",
        ]
        for one in found["settings"]
    ]
    table = text_table(["  setting", "share", "95 % band", ""], rows, right=(1, 2))
    said = f"  bands over {found['resamples']} resamples of the trials, seed 0; as by chance: no more than with shuffled objectives"
    return "\n".join([title, table, said])
