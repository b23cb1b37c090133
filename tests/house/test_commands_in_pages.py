"""Each command that README.md and docs/ give is one that its parser takes; each setting named in a command of run.py is there."""

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from persona_exp.cli.main import command_parser
from persona_exp.config.setting_names import setting_names
from persona_exp.project_folders import CONF, SWEEPS
from persona_exp.study_folder import split_config_dir

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = set(
    re.findall(r"^### persona-exp (.+)$", (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8"), re.MULTILINE)
)
# What a command chooses from.
GROUPS = {path.relative_to(CONF).as_posix() for path in CONF.rglob("*") if path.is_dir()} | {"sweeps"}


def commands(page, program):
    """Yield the arguments of each line of code that begins with `program`, lines that end in a backslash joined; and those in backticks."""
    text = page.read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", text)
    code = re.findall(rf"^    (?:\$ )?{re.escape(program)} (.+)$", joined, re.MULTILINE)
    code += re.findall(rf"`{re.escape(program)} ([^`\n]+)`", joined)
    for line in code:
        line = re.sub(r"\s{2,}#.*$", "", line)
        # Usage, with what may be left out in brackets, and commands that are cut short.
        if not re.search(r"…|\s\[|\bCOMMAND\b|\bSETTINGS\b|--help|--cfg| \| ", line):
            yield shlex.split(line)


def refused_commands(page):
    """Yield each command of `persona-exp` on a page that its parser does not take."""
    for arguments in commands(page, "persona-exp"):
        # Named alone, a command is not given; and what follows `run` are Hydra's words.
        if " ".join(arguments) in COMMANDS or arguments[0] == "run":
            continue
        try:
            command_parser().parse_args(split_config_dir(arguments)[1])
        except SystemExit:
            yield shlex.join(arguments)


def unknown_settings(page):
    """Yield each override of a command of run.py on a page whose setting, group or sweep there is not."""
    names = (*setting_names(), "arms", "tuned")
    sweeps = ("mine", "my_sweep", *(path.stem for path in SWEEPS.glob("*.yaml")))
    for arguments in (*commands(page, "python run.py"), *commands(page, "persona-exp run")):
        given = [one for one in arguments if not one.startswith("-")]
        for override in OverridesParser.create().parse_overrides(given):
            key = (override.key_or_group or "").partition("@")[0]
            if key == "sweeps":
                known = override.value() in sweeps
            else:
                known = key in GROUPS or key.startswith(("hydra.", "data.mix.", "search."))
                known = known or any(key == name or key.startswith(f"{name}.") for name in names)
            if not known:
                yield override.input_line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_command_of_persona_exp_is_taken(page):
    assert list(refused_commands(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_each_setting_in_a_command_of_run_py_is_there(page):
    assert list(unknown_settings(page)) == []


def test_a_command_of_no_parser_and_a_setting_of_none_are_found(tmp_path):
    page = tmp_path / "page.md"
    lines = [
        "    $ persona-exp stauts --json",
        "",
        "`persona-exp status --jsn`",
        "",
        "    python run.py -m lora.r=8 \\",
        "    lora.rank=8,16 sweeps=none",
    ]
    page.write_text("\n".join([*lines, ""]))
    assert list(refused_commands(page)) == ["stauts --json", "status --jsn"]
    assert list(unknown_settings(page)) == ["lora.rank=8,16", "sweeps=none"]


def test_commands_are_found_on_the_pages():
    assert sum(len(list(commands(page, "persona-exp"))) for page in PAGES) > 70
    assert sum(len(list(commands(page, "python run.py"))) for page in PAGES) > 30
