import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.report import main

ROOT = Path(__file__).parents[2]


def test_prints_the_table_and_the_paths(ranks, capsys):
    folder = ranks()
    assert main([str(folder)]) == 0
    shown = capsys.readouterr().out
    assert (folder / "report" / "table.md").read_text() in shown
    for file in ("table.md", "table.csv", "table.tex", "figure.pdf", "figure.png", "loss.pdf", "loss.png"):
        assert str(folder / "report" / file) in shown.splitlines()
        assert (folder / "report" / file).stat().st_size > 100


def test_json(ranks, capsys):
    assert main([str(ranks()), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found["rows"]] == ["base model", "base + system prompt", "lora.r=8", "lora.r=16", "lora.r=32"]
    assert found["rows"][4]["perplexity"] is None
    assert found["rows"][4]["problems"][0]["cause"] == "out_of_memory"
    assert Path(found["paths"]["figure.pdf"]).is_file()


def test_on_a_terminal(ranks, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main([str(ranks())]) == 0
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "failed" in shown.split("Sweep lora")[0]
    assert "CUDA out of memory at step 3" in " ".join(shown.split())
    # No cell was cut or broken where it should not be.
    assert "…" not in shown
    assert max(map(len, shown.split("Sweep lora")[0].splitlines())) <= 80
    assert "[50.55, 64.65]" in shown


@pytest.mark.parametrize("name", ["runs/sweeps/none", "elsewhere"])
def test_no_sweep_is_one_sentence(tmp_path, capsys, name):
    assert main([str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_imports_no_torch(ranks):
    code = "import sys, analysis.report as r; code = r.main(sys.argv[1:]); sys.exit(code or 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, str(ranks()), "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_relative_folder(ranks, monkeypatch, capsys):
    folder = ranks()
    monkeypatch.chdir(folder.parent.parent.parent)
    assert main([f"runs/sweeps/{folder.name}/"]) == 0
    assert f"runs/sweeps/{folder.name}/report/table.tex" in capsys.readouterr().out.splitlines()


def test_a_rehearsal_has_no_report(tmp_path, capsys):
    folder = tmp_path / "runs" / "sweeps" / "rehearsed"
    folder.mkdir(parents=True)
    trial = "{trial_id: aaaaaaaaaaaa, role: adapter, overrides: {seed: 1}, evaluations: {}}"
    (folder / "sweep.yaml").write_text(f"command: python run.py -m seed=1 engine=noop\nswept: [seed]\ntrials: [{trial}]\n")
    assert main([str(folder)]) == 2
    said = capsys.readouterr().err
    assert "was a rehearsal (engine=noop) and measured nothing" in said
    assert said.count("\n") == 1
    assert not (folder / "report").exists()
