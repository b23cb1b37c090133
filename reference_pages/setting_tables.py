"""docs/reference/settings.md: each setting's type, range, default, id and meaning."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from persona_exp.config.schema import Cluster, Config
from persona_exp.config.schema.composition import SEARCH_DEFAULTS, Composition
from persona_exp.config.schema.sweep_label import SweepLabel
from persona_exp.launch.launcher_options import FROM_CLUSTER
from persona_exp.project_folders import CONF
from reference_pages.markdown_table import markdown_table
from reference_pages.setting_identity import composed_points, id_of_setting
from reference_pages.setting_ranges import setting_ranges

LONGEST_DEFAULT = 40
OF_SBATCH = ("launcher/slurm", "partition")
INTRODUCTION = """# Settings

<!-- Written by `python -m reference_pages` from persona_exp/config/schema and conf/. -->

Each setting can stand on the command line as `KEY=VALUE`, behind `python run.py`.
A setting of a wrong type, or outside its range, is refused in one sentence before anything runs.

The default is what `python run.py` alone composes. A group's option may give another, as `method=qlora` does.

The column *id* says what a change of the setting makes anew:

- **trial**: another trial. It is trained anew.
- **data**: another dataset, and so another trial.
- **weights**: another trial where the weights are others. They count by their SHA-256, not by their name.
- **evaluation**: another evaluation of the same trial. Nothing is trained anew.
- **no**: nothing. The setting changes where or how fast it runs, or what is shown.

A setting that a trial does not read leaves no trace in its id. An example is `lora.r` with `method=full`.
"""


def settings_page() -> str:
    """Return the page."""
    points = composed_points()
    parts = [INTRODUCTION, "## Config groups\n", "An option is chosen as `GROUP=OPTION`; it is a file of `conf/GROUP`.\n", _groups()]
    alone = [one for one in fields(Config) if one.name in ("seed", "runs")]
    parts += ["\n## Outside the groups\n", _table(Config, "", points, [one.name for one in alone])]
    for one in fields(Config):
        kind = get_type_hints(Config)[one.name]
        if is_dataclass(kind) and isinstance(kind, type):
            parts += [f"\n## {one.name}\n", f"{_first_sentence(kind)}\n", _table(kind, f"{one.name}.", points)]
            if one.name == "persona":
                parts += ["\n`others` holds further personas, each with the settings above: `+persona@others.watson=watson`.\n"]
                parts += [_table(Config, "", points, ["others"])]
            if one.name == "data":
                mix = get_type_hints(kind)["mix"]
                parts += ["\n### data.mix\n", f"{_first_sentence(mix)}\n", _table(mix, "data.mix.", points)]
            if one.name == "corpus":
                book = sys.modules[kind.__module__].Gutenberg
                parts += ["\n### corpus.gutenberg\n", "For each book, by its file name.\n", _table(book, "corpus.gutenberg.BOOK.", points)]
    parts += ["\n## Sweeps and searches\n", "These describe a sweep. They are part of no id.\n", _of_sweeps()]
    for folder in ("launcher", "sweeper"):
        for path in sorted((CONF / "hydra" / folder).glob("*.yaml")):
            parts += [f"\n## hydra.{folder} with hydra/{folder}={path.stem}\n", "These are part of no id.\n", _of_hydra(path, folder)]
    return "\n".join(parts).rstrip("\n") + "\n"


def described(group: type) -> dict[str, str]:
    """Return the sentence behind each field of a dataclass of the schema, by the field's name."""
    (node,) = [
        node
        for node in ast.parse(inspect.getsource(sys.modules[group.__module__])).body
        if isinstance(node, ast.ClassDef) and node.name == group.__name__
    ]
    found = {}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
            if isinstance(text, str):
                found[field.target.id] = " ".join(text.split())
    return found


def _table(group: type, prefix: str, points: Sequence[Config], names: Sequence[str] = ()) -> str:
    sentences, ranges, kinds = described(group), setting_ranges(group), get_type_hints(group)
    rows = []
    for one in fields(group):
        if (names and one.name not in names) or is_dataclass(kinds[one.name]):
            continue
        key = f"{prefix}{one.name}"
        type_, range_ = _type(kinds[one.name]), ranges.get(key, "")
        rows.append(
            (
                f"`{key}`",
                "true, false or text" if type_ == "true or false or text" else type_,
                range_,
                _default(points[0], key, one),
                id_of_setting(key, points, outside=not one.metadata.get("identity", True)),
                sentences[one.name],
            )
        )
    return markdown_table(("setting", "type", "range", "default", "id", "what it does"), rows)


def _first_sentence(group: type) -> str:
    return " ".join((group.__doc__ or "").split())


def _type(kind: Any) -> str:
    plain = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false", "None": "null"}
    text = str(kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else kind)
    text = re.sub(r"[\w.]*\.(\w+)", r"\1", text).replace("NoneType", "None")
    listed = re.fullmatch(r"list\[(\w+)\]", text)
    if listed:
        return f"list of {plain.get(listed[1], listed[1])}"
    if text.startswith("dict"):
        return "mapping"
    return " or ".join(plain.get(part, part) for part in text.split(" | "))


def _default(config: Config, key: str, one: Any) -> str:
    if key in ("runs", "others") or key.startswith("corpus.gutenberg."):
        value = "" if one.default is MISSING else one.default
        return f"`{value}`" if isinstance(value, str) and value and value != "???" else "`null`" if value is None else ""
    value = config
    for name in key.split("."):
        value = getattr(value, name)
    text = _plain(value)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else f"as conf/{key.split('.', maxsplit=1)[0]} says"


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value) or '""'


def _groups() -> str:
    rows = []
    for folder in sorted(path for path in CONF.rglob("*") if path.is_dir()):
        options = sorted(path.stem for path in folder.glob("*.yaml"))
        if options:
            rows.append((f"`{folder.relative_to(CONF).as_posix()}`", ", ".join(f"`{option}`" for option in options)))
    return markdown_table(("group", "options"), rows)


def _of_sweeps() -> str:
    rows = [(f"`search.{key}`", f"`{_plain(value)}`", said) for key, value, said in _commented(CONF / "search" / "default.yaml")]
    assert [row[0] for row in rows] == [f"`search.{key}`" for key in SEARCH_DEFAULTS]
    rows += [(f"`{name}`", "`[]`", described(Composition)[name]) for name in ("arms", "tuned")]
    rows += [(f"`sweep.{name}`", "`null`", said) for name, said in described(SweepLabel).items()]
    rows += [("`notify`", "`null`", described(Composition)["notify"])]
    return markdown_table(("setting", "default", "what it does"), rows)


def _of_hydra(path: Path, folder: str) -> str:
    rows, of_sbatch = [], False
    for key, value, said in _commented(path):
        if (f"{folder}/{path.stem}", key) == OF_SBATCH:
            of_sbatch, said = True, ""
        if of_sbatch and key in FROM_CLUSTER:
            said = f"Goes before `cluster.{key}`. {described(Cluster)[key]}"
        what = said or ("sbatch's option, as submitit names it." if of_sbatch else "")
        rows.append((f"`hydra.{folder}.{key}`", f"`{_plain(value)}`", what))
    return markdown_table(("setting", "default", "what it does"), rows)


def _commented(path: Path) -> Iterator[tuple[str, Any, str]]:
    """Yield each setting of a file of conf/, its value and the comment above it, without the command that opens the file."""
    import yaml

    values, comment = yaml.safe_load(path.read_text(encoding="utf-8")), []
    for line in path.read_text(encoding="utf-8").splitlines():
        key = re.match(r"([a-z]\w*):", line)
        if line.startswith("# ") and not line.startswith("# python run.py"):
            comment.append(line[2:])
            continue
        if key and key[1] != "defaults":
            yield key[1], values[key[1]], " ".join(comment)
        comment = []
