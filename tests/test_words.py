"""The words, names and signatures of the code. `python tests/test_words.py ROOT [PREFIX ...]` lists each breach below ROOT."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Where words and signatures are held, and where file names are.
CODE = ("run.py", "persona_exp", "analysis", "hydra_plugins", "benchmarks", "reference_pages")
NAMED = ("run.py", "persona_exp", "analysis", "hydra_plugins", "reference_pages")

# In no identifier and in no docstring, as a part of a word either.
FRAGMENTS = re.compile(r"told|look|tick|rider|boarding", re.IGNORECASE)
# Nowhere in a .py file, comments and texts included.
WORDS = re.compile(r"\b(riders?|boarding|lookers?|whoever)\b", re.IGNORECASE)

# Nowhere in README.md and docs/, but in examples: plain technical words say what is meant.
PAGE_WORDS = re.compile(r"\b(told|whoever|somebody|someone)\b", re.IGNORECASE)

# Names that other libraries gave.
FOREIGN = {
    "LookupError": "Python",
    "ProcessLookupError": "Python",
    "codecs.lookup": "Python",
    "minorticks_off": "matplotlib",
    "set_xticks": "matplotlib",
    "set_yticks": "matplotlib",
    "tick_params": "matplotlib",
}

# A program that is known by its name outside of this repository.
KEPT = "benchmarks/looking.py"

MOST_ARGUMENTS = 9
# "path/of/file.py:function" -> why a dataclass would be worse.
MANY_ARGUMENTS = {"persona_exp/modeling/multi_lora/document_attention.py:attend": "transformers' signature of an attention function"}

# Name without ending -> why it stands more than once, or beside a folder of that name.
SHARED_NAMES: dict[str, str] = {}
# A command's file is called as the command, and a group's schema as the group in conf/.
NAMED_AFTER = ("persona_exp/cli/commands/", "persona_exp/config/schema/")


class Breach(NamedTuple):
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def forbidden_words(root: Path) -> Iterator[Breach]:
    """Yield each identifier and docstring with a forbidden fragment, and each line with a forbidden word."""
    for file in _python_files(root, CODE):
        path, text = file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
        for line, name in _identifiers(_parsed(file)):
            if FRAGMENTS.search(name) and name not in FOREIGN:
                yield Breach(path, line, f"identifier {name}")
        for line, docstring in _docstrings(_parsed(file)):
            for at, words in enumerate(docstring.splitlines()):
                for found in FRAGMENTS.finditer(words.replace(KEPT, "")):
                    yield Breach(path, line + at, f"docstring: '{found.group()}' in {_around(words, found)}")
        for line, words in enumerate(text.splitlines(), start=1):
            for found in WORDS.finditer(words):
                yield Breach(path, line, f"word '{found.group()}' in {_around(words, found)}")
        for part in Path(path).with_suffix("").parts:
            if FRAGMENTS.search(part) and path != KEPT:
                yield Breach(path, 1, f"file or folder name {part}")


def long_signatures(root: Path) -> Iterator[Breach]:
    """Yield each function of more than MOST_ARGUMENTS arguments, self and cls not counted, and each exception that no function needs."""
    unused = set(MANY_ARGUMENTS)
    for file in _python_files(root, CODE):
        path = file.relative_to(root).as_posix()
        for node in ast.walk(_parsed(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                name = getattr(node, "name", "lambda")
                number = sum(argument.arg not in ("self", "cls") for argument in _arguments(node.args))
                if number > MOST_ARGUMENTS and f"{path}:{name}" not in MANY_ARGUMENTS:
                    yield Breach(path, node.lineno, f"{name} takes {number} arguments")
                if number > MOST_ARGUMENTS:
                    unused.discard(f"{path}:{name}")
    for exception in sorted(unused):
        yield Breach("tests/test_words.py", 1, f"MANY_ARGUMENTS: {exception} is no such function")


def shared_names(root: Path) -> Iterator[Breach]:
    """Yield each file that shares its name with another file or a folder, and each exception that nothing needs."""
    folders: dict[str, set[str]] = defaultdict(set)
    files: dict[str, list[str]] = defaultdict(list)
    exempt: list[str] = []
    for file in _files(root, NAMED):
        path = file.relative_to(root).as_posix()
        for folder in list(file.relative_to(root).parents)[:-1]:
            folders[folder.name].add(f"{folder.as_posix()}/")
        if file.name in ("__init__.py", "__main__.py", "README.md"):
            continue
        if path.startswith(NAMED_AFTER):
            exempt.append(path)
        else:
            # A data file may be called as the module that reads it.
            files[file.stem if file.suffix == ".py" else file.name].append(path)
    unused = set(SHARED_NAMES)
    for name in sorted({*folders, *files}):
        places = [*files[name], *sorted(folders[name])]
        if files[name] and len(places) > 1:
            unused.discard(name)
            if name not in SHARED_NAMES:
                for place in places:
                    others = ", ".join(other for other in places if other != place)
                    yield Breach(place, 1, f"shares its name with {others}")
    for path in exempt:
        if (root / path).with_suffix("").is_dir():
            yield Breach(path, 1, "stands beside a folder of its name")
    for exception in sorted(unused):
        yield Breach("tests/test_words.py", 1, f"SHARED_NAMES: {exception} stands once")


def glossary_gaps(root: Path) -> Iterator[Breach]:
    """Yield each term of docs/glossary.md, and each name given for one there, that occurs nowhere in the code, settings or documents."""
    glossary = root / "docs" / "glossary.md"
    if not glossary.is_file():
        yield Breach("docs/glossary.md", 1, "is missing")
        return
    sources = [*_python_files(root, CODE), *sorted((root / "conf").rglob("*.yaml")), *sorted((root / "slurm").glob("*.s*"))]
    texts = "\n".join(f"{file.relative_to(root).as_posix()}\n{file.read_text(encoding='utf-8')}" for file in sources)
    terms: dict[str, int] = {}
    for line, words in enumerate(glossary.read_text(encoding="utf-8").splitlines(), start=1):
        entry = re.match(r"\| \*\*(.+?)\*\* \|", words)
        if not entry:
            continue
        if entry.group(1) in terms:
            yield Breach("docs/glossary.md", line, f"term '{entry.group(1)}' stands on line {terms[entry.group(1)]} already")
        terms[entry.group(1)] = line
        # A term of several words may be written together, as identifiers and settings are.
        pattern = r"[\s_-]*".join(re.escape(word) for word in re.split(r"[\s-]+", entry.group(1)))
        if not re.search(pattern, texts, re.IGNORECASE):
            yield Breach("docs/glossary.md", line, f"term '{entry.group(1)}' occurs nowhere")
        for name in re.findall(r"`([^`]+)`", words):
            if not re.search(r"(?<!\w)" + re.escape(name) + r"(?!\w)", texts) and not (root / name).exists():
                yield Breach("docs/glossary.md", line, f"`{name}` occurs nowhere")


def page_words(root: Path) -> Iterator[Breach]:
    """Yield each line of README.md and docs/ with a word of PAGE_WORDS; lines of code may quote what a character says."""
    for file in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        for line, words in enumerate(file.read_text(encoding="utf-8").splitlines() if file.is_file() else [], start=1):
            for found in PAGE_WORDS.finditer("" if words.startswith("    ") else words):
                yield Breach(file.relative_to(root).as_posix(), line, f"word '{found.group()}' in {_around(words, found)}")


CHECKS: dict[str, Callable[[Path], Iterator[Breach]]] = {
    "words": forbidden_words,
    "arguments": long_signatures,
    "names": shared_names,
    "glossary": glossary_gaps,
    "pages": page_words,
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_code_keeps_to_the_rules(check: str) -> None:
    breaches = [str(breach) for breach in CHECKS[check](REPOSITORY)]
    assert not breaches, "\n" + "\n".join(breaches)


def test_breaches_of_every_kind_are_found(tmp_path: Path) -> None:
    many = ", ".join(f"a{number}" for number in range(10))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "glossary.md").write_text("| **slot** | `Slot` |\n| **no such term** | `no_such_name` |\n")
    package = tmp_path / "persona_exp"
    (package / "bundle").mkdir(parents=True)
    (package / "bundle" / "__init__.py").write_text("")
    (package / "bundle.py").write_text("slot = Slot()\n")
    (package / "words.py").write_text(
        "import codecs as lookup\n"
        "class Ticket:\n"
        '    """Who was told."""\n'
        f"    def step(self, {many}):\n"
        "        self.looked = stride(tick=1)  # whoever\n"
        "axis.set_xticks([])\n"
    )
    assert [str(breach) for breach in sorted(forbidden_words(tmp_path))] == [
        "persona_exp/words.py:1: identifier lookup",
        "persona_exp/words.py:2: identifier Ticket",
        "persona_exp/words.py:3: docstring: 'told' in Who was told.",
        "persona_exp/words.py:5: identifier looked",
        "persona_exp/words.py:5: identifier tick",
        "persona_exp/words.py:5: word 'whoever' in self.looked = stride(tick=1)  # whoever",
    ]
    assert [str(breach) for breach in long_signatures(tmp_path)] == [
        "persona_exp/words.py:4: step takes 10 arguments",
        *(f"tests/test_words.py:1: MANY_ARGUMENTS: {exception} is no such function" for exception in sorted(MANY_ARGUMENTS)),
    ]
    (tmp_path / "docs" / "page.md").write_text("Whoever runs it is told.\n\n    - Somebody told me.\n")
    assert [str(breach) for breach in page_words(tmp_path)] == [
        "docs/page.md:1: word 'Whoever' in Whoever runs it is told.",
        "docs/page.md:1: word 'told' in Whoever runs it is told.",
    ]
    assert [breach.path for breach in shared_names(tmp_path)] == ["persona_exp/bundle.py", "persona_exp/bundle/"]
    assert [breach.text for breach in glossary_gaps(tmp_path)] == ["term 'no such term' occurs nowhere", "`no_such_name` occurs nowhere"]


def _files(root: Path, places: Iterable[str]) -> list[Path]:
    files = [file for place in places for file in ((root / place,) if place.endswith(".py") else sorted((root / place).rglob("*")))]
    return [file for file in files if file.is_file() and "__pycache__" not in file.parts]


def _python_files(root: Path, places: Iterable[str]) -> list[Path]:
    return [file for file in _files(root, places) if file.suffix == ".py"]


def _identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        names: list[str | None] = []
        if isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            names = [] if f"{owner}.{node.attr}" in FOREIGN else [node.attr]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.arg | ast.keyword):
            names = [node.arg]
        elif isinstance(node, ast.alias):
            names = [*node.name.split("."), node.asname]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split(".")]
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            names = [node.name]
        elif isinstance(node, ast.MatchMapping):
            names = [node.rest]
        elif isinstance(node, ast.MatchClass):
            names = [*node.kwd_attrs]
        elif isinstance(node, ast.Global | ast.Nonlocal):
            names = [*node.names]
        for name in names:
            if name:
                yield getattr(node, "lineno", 1), name


def _docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                yield first.lineno, first.value.value


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    rest = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *rest]


def _around(words: str, found: re.Match[str]) -> str:
    return words[max(0, found.start() - 60) : found.end() + 40].strip()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python tests/test_words.py ROOT [PREFIX ...]")
    listed = [breach for check in CHECKS.values() for breach in check(Path(sys.argv[1]).resolve())]
    listed = [breach for breach in listed if breach.path.startswith(tuple(sys.argv[2:]) or "")]
    print("\n".join(map(str, sorted(listed))) or "no breach")
    sys.exit(1 if listed else 0)
