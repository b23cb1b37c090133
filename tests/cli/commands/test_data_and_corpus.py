"""`persona-exp data …` and `persona-exp corpus …`, as a person types them."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def command(folder: Path) -> Command:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        called = [sys.executable, "-m", "persona_exp.cli.main", *arguments]
        return subprocess.run(called, cwd=ROOT, env=environment(folder), capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture(scope="module")
def built(command: Command) -> dict[str, object]:
    done = command("data", "build", "--json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_build_prints_the_card_and_is_not_done_twice(command: Command, built: dict[str, object]) -> None:
    again = command("data", "build")
    assert again.returncode == 0
    assert "Tobias Wrexham" in again.stdout
    assert str(built["path"]) in again.stdout
    assert "Reading books" not in again.stderr


def test_a_dataset_is_found_by_the_beginning_of_its_id(command: Command, built: dict[str, object]) -> None:
    name = Path(str(built["path"])).name
    card = command("data", "card", name[:6], "--json")
    assert json.loads(card.stdout) == built["card"]
    missing = command("data", "card", "ffffffffffffff")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)


def test_sample_is_seeded(command: Command, built: dict[str, object]) -> None:
    ask = ("data", "sample", str(built["path"]), "--kind", "dialogue", "-n", "3", "--json")
    first = json.loads(command(*ask).stdout)
    assert [one["kind"] for one in first] == ["dialogue"] * 3
    assert json.loads(command(*ask).stdout) == first
    assert json.loads(command(*ask, "--seed", "1").stdout) != first


def test_export_and_audit_of_what_was_exported(command: Command, built: dict[str, object], folder: Path) -> None:
    done = command("data", "export", str(built["path"]), "--format", "sharegpt", "--to", str(folder / "out"))
    assert done.returncode == 0, done.stderr
    assert (folder / "out" / "train.jsonl").exists()
    audit = command("data", "audit", str(folder / "out"), "--json")
    assert audit.returncode == 0, audit.stdout
    test = (folder / "out" / "test.jsonl").read_text().splitlines()
    train = (folder / "out" / "train.jsonl").read_text().splitlines()
    (folder / "out" / "train.jsonl").write_text("\n".join([*train[:40], *test]) + "\n")
    assert command("data", "audit", str(folder / "out")).returncode == 1


@pytest.mark.long
def test_build_with_tokens_prints_what_a_length_takes_away(command: Command, built: dict[str, object]) -> None:
    ask = ("data", "build", "--tokens", "model=tiny", "train.max_length=300")
    done = command(*ask)
    assert done.returncode == 0, done.stderr
    assert re.search(r"Tokens, train +examples +min +median +95 % +max +shortened +cut +skipped\n", done.stdout)
    (said,) = re.findall(r"(\d+) of (\d+) training examples are longer than train\.max_length=300: ", done.stderr)
    again = command(*ask, "--json")
    assert "Tokenising" not in again.stderr
    answer = json.loads(again.stdout)
    kinds = answer["tokens"]["lengths"]["train"]
    dialogue, every = kinds["dialogue"], kinds["all"]
    assert (str(dialogue["shortened"] + dialogue["cut"] + dialogue["skipped"]), str(dialogue["examples"])) == said
    assert sum(one["examples"] for name, one in kinds.items() if name != "all") == every["examples"]
    assert every["min"] <= every["median"] <= every["p95"] <= every["max"]
    assert every["max"] == max(one["max"] for name, one in kinds.items() if name != "all")
    assert (built["path"], built["card"]) == (answer["path"], answer["card"])


def test_a_length_that_no_model_of_the_config_has_is_one_sentence(command: Command, built: dict[str, object]) -> None:
    done = command("data", "build", "--tokens", "model=tiny", "train.max_length=4096", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("error: train.max_length=4096 is more than the 2048 positions of tiny: lower it.\n")


@pytest.mark.parametrize(
    "arguments", [("data", "build", "corpus=nothing"), ("data", "build", "lora.rank=8"), ("data", "build", "--workers", "0")]
)
def test_a_wrong_setting_is_one_sentence(command: Command, arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_book_is_inspected(command: Command, folder: Path) -> None:
    book = folder / "book.txt"
    book.write_text("CHAPTER I\n\n“Well?” said Ada.\n\nIt rained _hard_.\n\nCHAPTER II\n\nIt was dry.\n")
    done = command("corpus", "inspect", str(book), "--json")
    assert done.returncode == 0, done.stderr
    (inspection,) = json.loads(done.stdout)
    assert "CHAPTER II" in json.dumps(inspection)
    assert command("corpus", "inspect", str(folder / "none.txt")).returncode == 2


def test_who_speaks_in_a_book(command: Command, folder: Path) -> None:
    book = folder / "cast.txt"
    book.write_text("CHAPTER I\n\n" + "“Well?” said Ada Marsh.\n\n“No,” said Mr. Pell.\n\nAda rose.\n\n“Why?” asked Ada.\n\n" * 4)
    (first, second) = json.loads(command("corpus", "cast", str(book), "--json").stdout)
    assert (first["name"], first["quotations"], second["quotations"]) == ("Ada Marsh", 8, 4)
    assert "Ada Marsh" in command("corpus", "cast", str(book)).stdout


def test_export_can_be_narrowed(command: Command, built: dict[str, object], folder: Path) -> None:
    done = command("data", "export", str(built["path"]), "--kind", "identity", "--to", str(folder / "few"), "--json")
    assert sum(json.loads(done.stdout).values()) == sum('"kind":"identity"' in line for line in all_lines(Path(str(built["path"]))))
    wrong = command("data", "export", str(built["path"]), "--kind", "poems", "--to", str(folder / "none"))
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert Path(str(built["path"])).name in command("data", "list").stdout


def all_lines(data: Path) -> list[str]:
    return [line for split in ("train", "validation", "test") for line in (data / f"{split}.jsonl").read_text().splitlines()]


def test_help_imports_no_torch(folder: Path) -> None:
    called = [sys.executable, "-X", "importtime", "-m", "persona_exp.cli.main", "--help"]
    done = subprocess.run(called, cwd=ROOT, env=environment(folder), capture_output=True, text=True, check=True)
    assert " torch\n" not in done.stderr
    assert "transformers" not in done.stderr
