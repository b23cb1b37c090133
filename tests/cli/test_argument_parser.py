"""A word that `persona-exp` does not know is one sentence with the one that was meant."""

import pytest

from persona_exp.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stauts"], "There is no command stauts: choose one of init, run, status,"),
        (["stauts"], "; did you mean status?"),
        (["data", "bild"], "There is no command bild: choose one of build,"),
        (["data", "bild"], "; did you mean build?"),
        (["status", "--jsn"], "`persona-exp status` has no option --jsn: it has --help, --all, --watch, --json; did you mean --json?"),
        (["data", "list", "--jsn=x"], "`persona-exp data list` has no option --jsn: it has "),
        (["status", "lora", "r=8"], "`persona-exp status` takes no further word, and r=8 is one: leave it out"),
        (["why"], "`persona-exp why` needs trial: `persona-exp why --help` says what that is."),
    ],
)
def test_a_command_that_there_is_not(capsys, arguments, says):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert says in said
    assert len(said.splitlines()) == 1


def test_a_sweep_of_another_name(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path))
    folder = tmp_path / "sweeps" / "lora.r=8,16-12345678"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text("command: c\nswept: []\ntrials: []\n")
    assert main(["show", "lora.rr=8,16"]) == 2
    assert "did you mean lora.r=8,16?" in capsys.readouterr().err
