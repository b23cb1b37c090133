"""`persona-exp data …`: build, list, audit, sample and export datasets."""

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_exp.cli.runs_folder import runs_folder
from persona_exp.cli.text.escaped_output import coloured_output
from persona_exp.counted_noun import counted
from persona_exp.errors import UserError

if TYPE_CHECKING:
    from persona_exp.config.schema import Config
    from persona_exp.trial.max_length_check import TokenLengths


def add_commands(nouns: Any) -> None:
    """Add the noun `data` and its verbs."""
    data = nouns.add_parser("data", help="datasets: build, list, card, audit, sample, export")
    verbs = data.add_subparsers(required=True, metavar="VERB")
    build = verbs.add_parser("build", help="build the dataset of a config and print its card")
    build.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for run.py: corpus=holmes corpus.dir=PATH persona=watson")
    build.add_argument("--workers", type=int, help="processes that read books (default: one a core)")
    build.add_argument(
        "--tokens", action="store_true", help="tokenise it for the config's model, and print what train.max_length takes away"
    )
    listing = verbs.add_parser("list", help="the datasets that are built")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_list)
    _verb(verbs, "card", "print a dataset's card", _card)
    audit = _verb(verbs, "audit", "find text of validation and test in train", _audit)
    audit.add_argument("--format", help="format of the files (default: detected from their content)")
    sample = _verb(verbs, "sample", "print some examples", _sample)
    sample.add_argument("--kind", help="only this kind of example")
    sample.add_argument("--split", default="train", choices=("train", "validation", "test"))
    sample.add_argument("-n", type=int, default=5, help="how many (default 5)")
    sample.add_argument("--seed", type=int, default=0, help="which ones")
    export = _verb(verbs, "export", "write a dataset in another format", _export)
    export.add_argument("--format", default="messages", help="messages, prompt-completion, sharegpt, alpaca or mistral")
    export.add_argument("--kind", action="append", help="only this kind of example (may be given again; default: all)")
    export.add_argument(
        "--min-confidence", type=float, help="only replies whose speaker is as sure (default: that of corpus.min_confidence)"
    )
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="folder to write to")
    build.add_argument("--json", action="store_true", help="print JSON")
    build.set_defaults(run=_build)


def _verb(verbs: Any, name: str, what: str, run: Any) -> Any:
    parser = verbs.add_parser(name, help=what)
    parser.add_argument("data", help="a dataset's id, the beginning of one, or a folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)
    return parser


def _build(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.cli.config_from_overrides import compose_config
    from persona_exp.trial.trial_dataset import build_trial_dataset, dataset_folder, training_examples

    if arguments.workers is not None and arguments.workers < 1:
        raise UserError(f"--workers={arguments.workers} must be at least 1.")
    config = compose_config(arguments.overrides)
    identity = build_trial_dataset(config, arguments.workers)
    # A mix that cannot be drawn is better known now than when a trial asks for it.
    drawn = len(training_examples(config, identity))
    folder = dataset_folder(Path(config.runs), identity)
    if not arguments.json:
        _print_card(folder)
        print(f"With these settings a trial trains on {drawn:,} of the training examples (data.mix, data.size, corpus.min_confidence).")
    answer = {"path": str(folder), "drawn": drawn, "card": _read_card(folder)}
    return 0, {**answer, "tokens": _tokens(config, identity, shown=not arguments.json)} if arguments.tokens else answer


def _tokens(config: "Config", data_id: str, *, shown: bool) -> dict[str, Any]:
    """Tokenise the dataset; return the lengths by split and kind, printed where `shown`. Raise UserError where no trial could use them."""
    from persona_exp.modeling.model_source import pin_revision
    from persona_exp.trial import max_length_check
    from persona_exp.trial.trial_base_model import fetch_model

    model = config.model
    config = replace(config, model=replace(model, revision=pin_revision(model.source, model.location, model.revision)))
    folder = fetch_model(config)
    max_length_check.refuse_beyond_context(config, folder)
    splits = ("train",) if config.train.eval_steps is None else ("train", "validation")
    found = {split: max_length_check.lengths_by_kind(config, data_id, folder, split) for split in splits}
    if shown:
        for split, kinds in found.items():
            _print_lengths(split, kinds, config.train.max_length)
    max_length_check.check(config, data_id, folder)
    as_json = {split: {kind: asdict(one) for kind, one in of_split.items()} for split, of_split in found.items()}
    return {"model": config.model.name, "max_length": config.train.max_length, "lengths": as_json}


def _print_lengths(split: str, kinds: "Mapping[str, TokenLengths]", max_length: int) -> None:
    from persona_exp.cli.text.text_table import text_table

    header = [f"Tokens, {split}", "examples", "min", "median", "95 %", "max", "shortened", "cut", "skipped", "unfit"]
    rows = [[f"  {kind}", *("" if value is None else f"{value:,}" for value in astuple(one))] for kind, one in kinds.items()]
    # Of a template that suits every kind nothing is printed.
    if not any(one.unfit for one in kinds.values()):
        rows = [[*row[:-1], ""] for row in rows]
    print(f"\n{text_table(header, rows, right=range(1, len(header)))}")
    print(
        f"With train.max_length={max_length} the start of a question is shortened, else the end of a reply cut, else the example skipped."
    )


def _list(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.dataset.dataset_files import read_manifest

    found = [
        {"data_id": path.parent.name, **read_manifest(path.parent)} for path in sorted((runs_folder() / "data").glob("*/manifest.json"))
    ]
    rows = [{name: one[name] for name in ("data_id", "personas", "books", "counts") if name in one} for one in found]
    if not arguments.json:
        for row in rows:
            print(f"{row['data_id']}  {', '.join(row.get('personas', []))}  ({', '.join(row.get('books', []))})")
    return 0, rows


def _card(arguments: argparse.Namespace) -> tuple[int, Any]:
    folder = find_dataset(arguments.data)
    if not arguments.json:
        _print_card(folder)
    return 0, _read_card(folder)


def _audit(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.dataset.decontamination import audit_folder

    report = audit_folder(find_dataset(arguments.data), arguments.format).report
    if not arguments.json:
        _print_audit(report)
    return int(any(part["dropped"] for part in report["totals"].values())), report


def _print_audit(report: Any) -> None:
    from rich.console import Console

    console = Console(file=coloured_output(), soft_wrap=True, highlight=False)
    for split, part in report["totals"].items():
        leak = f"{counted(part['examples'], 'example')} {'leaks' if part['dropped'] == 1 else 'leak'}"
        console.print(f"{split}: {part['dropped']} of {leak} ({part['fraction']:.1%})")
        for reason, count in report["dropped"][split].items():
            console.print(f"  {reason}: {count}")
    for one in report["samples"]:
        console.print(f"  {one['split']} {one['id']} = {one['other']}  ({one['reason']})  {one['text']}", style="dim", markup=False)


def _sample(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.dataset.dataset_files import read_split

    if arguments.n < 1:
        raise UserError(f"-n {arguments.n} must be at least 1.")
    examples = [one for one in read_split(find_dataset(arguments.data), arguments.split) if arguments.kind in (None, one.kind)]
    if not examples:
        raise UserError(f"There is no {arguments.kind or ''} example in the {arguments.split} split; ask for another kind or split.")
    drawn = random.Random(arguments.seed).sample(examples, min(arguments.n, len(examples)))
    if not arguments.json:
        _print_examples(drawn)
    return 0, [asdict(example) for example in drawn]


def _print_examples(examples: Sequence[Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE

    console = Console(file=coloured_output())
    colours = {"system": "dim", "user": "cyan", "assistant": "green"}
    for example in examples:
        mark = "" if example.confidence >= DEFAULT_CONFIDENCE else " (too unsure to train on by default)"
        where = f"{example.kind} · {example.persona} · {example.passage}"
        console.rule(f"{where} · {example.rule} {example.confidence:.2f}{mark}", align="left")
        for message in example.messages:
            console.print(Text(f"{message['role']}: {message['content']}", style=colours[message["role"]]))


def _export(arguments: argparse.Namespace) -> tuple[int, Any]:
    from persona_exp.corpus.speaker_attribution.attribution_confidence import DEFAULT_CONFIDENCE
    from persona_exp.dataset.conversation_formats import write_conversations
    from persona_exp.dataset.dataset_files import read_manifest, read_split
    from persona_exp.dataset.training_example import ATTRIBUTED_KINDS, KINDS, SPLITS

    folder = find_dataset(arguments.data)
    read_manifest(folder)
    for kind in arguments.kind or ():
        if kind not in KINDS:
            raise UserError(f"--kind {kind} must be one of {', '.join(KINDS)}.")
    kinds = arguments.kind or KINDS
    least = DEFAULT_CONFIDENCE if arguments.min_confidence is None else arguments.min_confidence
    written = {}
    for split in SPLITS:
        every = read_split(folder, split)
        examples = [one for one in every if one.kind in kinds and (one.kind not in ATTRIBUTED_KINDS or one.confidence >= least)]
        path = arguments.to / f"{split}.jsonl"
        write_conversations(examples, path, arguments.format)
        written[str(path)] = len(examples)
    if not arguments.json:
        for name, count in written.items():
            print(f"{name}: {counted(count, 'example')}")
    return 0, written


def find_dataset(named: str) -> Path:
    """Return a dataset's folder: a folder as it is, else the one under runs/data whose id begins so. Raise UserError: none, or several."""
    if named and Path(named).is_dir():
        return Path(named)
    data = runs_folder() / "data"
    found = sorted(path for path in data.glob(f"{named}*") if (path / "manifest.json").exists()) if named and "/" not in named else []
    if len(found) != 1:
        what = "Several datasets' ids begin with" if found else f"{data} holds no dataset"
        raise UserError(
            f"{what} {named}; `persona-exp data build` prints the ids." if not found else f"{what} {named}; give more of the id."
        )
    return found[0]


def _print_card(folder: Path) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    text = (folder / "card.md").read_text(encoding="utf-8") if (folder / "card.md").exists() else None
    if text is None:
        raise UserError(f"{folder} has no card.md; build the dataset again.")
    console = Console(file=coloured_output())
    console.print(Markdown(text) if console.is_terminal else text, soft_wrap=not console.is_terminal)
    console.print(f"{folder}", soft_wrap=True)


def _read_card(folder: Path) -> Any:
    import json

    try:
        return json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(f"{folder} has no card.json; build the dataset again.") from None
