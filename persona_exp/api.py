"""What `import persona_exp` offers to a program or a notebook. What it does not name is internal, and may change at any time."""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from persona_exp.errors import UserError
from persona_exp.study_folder import in_study, study_of

if TYPE_CHECKING:
    import pandas
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from persona_exp.config.schema import Config


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: its id (12 hex digits), its folder, and its figures by `adapter, test: perplexity`."""

    trial_id: str
    folder: Path
    figures: dict[str, float]


class LoadedTrial(NamedTuple):
    """A finished trial's model in eval mode, its tokenizer, and `prompt`, which makes of a question the text that it is given."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    prompt: Callable[[str], str]


def compose(overrides: Sequence[str] = ()) -> "Config":
    """Return the checked config of one trial, as `persona-exp run` with these overrides has it.

    Overrides are written as on the command line, without a shell's quotes: `["lora.r=8", "model=tiny"]`. In a study folder its conf/ and
    runs/ count. Raise UserError where a setting is refused.
    """
    from persona_exp.cli.config_from_overrides import compose_config

    _refuse_flags(overrides)
    with in_study(study_of(Path.cwd())):
        return compose_config(overrides)


def run(config: "Config") -> TrialResult:
    """Train and evaluate the trial of `config`, print what it prints, and return its figures. A finished trial is not run again.

    As by a command, it is a sweep of one: its base rows are measured too, and there is a report.

    Change a config with `dataclasses.replace`. Interrupted, it saves and goes on at the next call. Raise UserError where a setting is
    refused, or the trial does not finish, or its base rows or report do not.
    """
    from persona_exp.launch.launch_trial import PROGRAM
    from persona_exp.trial.engine_selection import with_suitable_engine
    from persona_exp.trial.recorded_evaluations import read_evaluations
    from persona_exp.trial.seal import seal
    from persona_exp.trial.seal_facts import all_published, read_seal_facts

    sealed = seal(with_suitable_engine(config), command=PROGRAM)
    command = [sys.executable, "-m", "persona_exp.launch.launch_trial", str(sealed.path.absolute())]
    code, name = _noted(command)
    if code and all_published(sealed.path):
        done = f"Trial {sealed.trial_id} has finished, but"
        if name is None:
            raise UserError(f"{done} its sweep was not begun anew: what was printed says why.")
        raise UserError(f"{done} its sweep {name} lacks other rows or a report: `persona-exp status {shlex.quote(name)}` says which.")
    if code:
        raise UserError(f"Trial {sealed.trial_id} has not finished: `persona-exp why {sealed.trial_id}` says why.")
    asked = read_seal_facts(sealed.path)["evaluations"].values()
    found = [one for one in read_evaluations(sealed.directory.runs, sealed.trial_id) if one.eval_id in asked]
    figures = {name: value for one in found for name, value in one.figures.items()}
    return TrialResult(sealed.trial_id, sealed.directory.path.absolute(), figures)


def sweep(overrides: Sequence[str]) -> str:
    """Run the sweep that `persona-exp run -m` with these overrides is, print what it prints, and return its name.

    The same call goes on, and returns the same name. With `hydra/launcher=slurm hydra.launcher.wait=false` it returns when all is
    submitted. Raise UserError where a setting is refused, or a trial has not finished: the message names the sweep.
    """
    _refuse_flags(overrides)
    code, name = _noted([sys.executable, "-m", "persona_exp.cli.main", "run", "-m", *overrides])
    if name is None:
        raise UserError(f"No sweep was begun by {shlex.join(overrides)}: what was printed says why.")
    if code:
        raise UserError(f"Sweep {name} has not finished: `persona-exp status {shlex.quote(name)}` says what is missing, and why.")
    return name


def results(sweep: str) -> "pandas.DataFrame":
    """Return a sweep's table, with the rows, columns and figures of its report's table.csv.

    `sweep` is its name, or the beginning of it. A cell is NaN where there is no figure. Raise UserError where there is no such sweep.
    """
    import io

    import pandas

    from analysis.csv_table import csv_text
    from analysis.sweep_results import read_results, setting_keys
    from analysis.table_rows import build_rows
    from analysis.tuned_arms import reported
    from persona_exp.cli.abbreviated_names import find_sweep

    runs = _runs()
    found = reported(read_results(runs, find_sweep(runs, sweep)))
    text = csv_text(build_rows(found), setting_keys(found.sweep))
    # Ids of digits alone, or like 12e4, are no numbers.
    words = dict.fromkeys(("condition", "name", "seeds", "status", "cause", "message", "split", "data_id", "trial_ids"), "string")
    return pandas.read_csv(io.StringIO(text), dtype=words)


def load(trial: str) -> LoadedTrial:
    """Return a finished trial's model, tokenizer and prompt, as they were evaluated: its base, precision, adapter, template and persona.

    `trial` is its id, or the beginning of it. `prompt(question)` returns the text with the persona's system prompt in front; the tokenizer
    must add no special tokens to it (`add_special_tokens=False`). Nothing is downloaded but a base model that is missing here. Raise
    UserError where the trial has not finished, or where its adapter or base model is not what it was.
    """
    from persona_exp.cli.abbreviated_names import find_trial
    from persona_exp.trial.published_model import load_published

    runs = _runs()
    return LoadedTrial(*load_published(runs, find_trial(runs, trial)))


def _runs() -> Path:
    from persona_exp.cli.runs_folder import runs_folder

    with in_study(study_of(Path.cwd())):
        return runs_folder().absolute()


def _refuse_flags(overrides: Sequence[str]) -> None:
    if isinstance(overrides, str):
        raise UserError(f"Overrides are a list of texts, one a setting: write [{overrides!r}].")
    flags = [one for one in overrides if one.startswith("-")]
    if flags:
        raise UserError(f"{flags[0]} is a flag of the command line: give settings alone, as in lora.r=8.")


def _noted(command: list[str]) -> tuple[int, str | None]:
    """Run `command` as `_relayed` does; return its exit code, and the name of the sweep that it began, None where it began none."""
    from persona_exp.launch.sweep_note import VARIABLE

    with tempfile.TemporaryDirectory() as scratch:
        note = Path(scratch) / "sweep"
        code = _relayed(command, {VARIABLE: str(note)})
        return code, note.read_text(encoding="utf-8") if note.is_file() else None


def _relayed(command: list[str], variables: dict[str, str] | None = None) -> int:
    """Run `command`, print what it writes, and return its exit code. Interrupted, let it save first."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
        return process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
