"""What a record says reaches no terminal as a command to it."""

import json
import shutil
import sys

import pytest
import yaml

from persona_exp.cli.text.escaped_output import EscapedOutput, escaped, log_text, one_line
from persona_exp.cli.text.terminal_colours import painted
from tests.cli.conftest import write

ONE, TWO = "a" * 12, "b" * 12
NASTY = "x\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp.exe\u2066\x08\x7f\r\ud800"
FORGED = f"{NASTY}\nTrial {TWO} is finished."
SHOWN = "x\\u001b[2J"
RAW = "\x1b\x07\x9b\u202e\u2066\x08\x7f\r\ud800"


@pytest.fixture
def nasty(desk):
    """A sweep of a failed and a damaged trial, whose every text is hostile."""
    said = {"cause": "ValueError", "message": FORGED, "host": NASTY}
    folder = desk.trial(ONE, [{"status": "failed", **said, "traceback": f"Traceback\n{NASTY.encode('utf-8', 'replace').decode()}\n"}])
    write(folder / "attempts" / "0001" / "output.log", "step 1\rstep 2\r\n\x1b[31mred\x1b[0m \x1b]0;title\x07\n")
    desk.trial(TWO, [{"status": "interrupted", **said}])
    sweep = desk.sweep({ONE: 8, TWO: 16})
    content = yaml.safe_load((sweep / "sweep.yaml").read_text())
    content |= {"command": FORGED.replace("\ud800", "")}
    content["trials"][0]["overrides"] = {"lora.r": FORGED.replace("\ud800", "")}
    write(sweep / "sweep.yaml", yaml.safe_dump(content))
    desk.hold(sweep, message=FORGED)
    shutil.copytree(sweep, sweep.with_name(f"{sweep.name}\x1b[2J\nforged"))
    return sweep


@pytest.mark.parametrize("name", ["status", "status SWEEP", "show SWEEP", "show", "why", "logs", "diff"])
def test_no_command_prints_what_a_terminal_would_obey(nasty, persona_exp, name):
    command, *given = name.split(" ")
    names = [] if name == "status" else [nasty.name] if given else [ONE, TWO] if command == "diff" else [ONE]
    for more in ([], ["--json"]):
        code, out, error = persona_exp(command, *names, *more)
        assert code == 0, error
        assert not set(out + error) & set(RAW)
        assert not any(line.startswith((f"Trial {TWO} is finished", "forged")) for line in out.splitlines())
    if command in ("why", "show"):
        assert SHOWN in out


def test_json_is_what_was_recorded(nasty, persona_exp):
    assert json.loads(persona_exp("why", ONE, "--json")[1])["message"] == FORGED


def test_an_error_is_one_line(desk, persona_exp):
    code, _, error = persona_exp("show", "\x1b[2J\nforged")
    assert (code, error.count("\n")) == (2, 1)
    assert "\x1b" not in error


def test_our_own_colours_pass(monkeypatch, capsys):
    plain = sys.stdout
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(plain, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", EscapedOutput(plain))
    print(painted("a\x1b[1mb", "31"))
    monkeypatch.setattr(sys, "stdout", plain)
    assert capsys.readouterr().out == "\x1b[31ma\\u001b[1mb\x1b[0m\n"


def test_plain_text_stays_as_it_is():
    text = "Élodie\t日本 ≤ 3\nnext"
    assert escaped(text) == text
    assert one_line(text) == "Élodie\\u0009日本 ≤ 3\\u000anext"
    assert log_text("  5%\r 50%\r100%\r\n\x1b[32mdone\x1b[0m\n") == "100%\ndone\n"
