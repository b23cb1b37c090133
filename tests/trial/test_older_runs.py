"""A runs/ folder of an earlier version (tests/golden/older_runs) is read, resumed and reported by the commands of today."""

import hashlib
import json
import re
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from tests.conftest import ROOT, environment
from tests.slurm.site import fake_site

KEPT = ROOT / "tests" / "golden" / "older_runs"
EXPECTED = KEPT / "expected"
SETTINGS = tuple((EXPECTED / "settings.txt").read_text(encoding="utf-8").splitlines())

FINISHED = "lora.r=2,4,seed=0,1"
INTERRUPTED = "lora.r=2,8,optim.lr=1e-3,5"
ENGINES = "engine=fused,sft,method=lora,qlora"
FAILED = "lora.target_modules=_q_proj,v_proj_,_no_such_projection"
HELD = "lora.target_modules=_no_such_a_"
CANCELLED = "seed=5,6"
# A trial of no sweep, interrupted.
ALONE = "c8beaaba7443"
# The adapters that the trials come to which were interrupted, by the code that interrupted them.
ADAPTERS = {
    "46ee3985fc2a": "8d18ddea2b61866550edf5e2ecd32c21f9cce727db7a09c2ba252db7ba226f47",
    "1f27e77d727e": "437cf5e45437efc60ae3fffc7936ffbac31827ae0b820f26edd8483124e3dd4e",
    "cfa8e650c40c": "49b4e6769c3b3f4e84c1d85b3ddbe043f5726886df23b75ffa8dc868f9f7e2ac",
    ALONE: "3777984c730b936f24bed8ef4fbf842dd44ed350b535c6d99afa39bdbb174ee7",
}
# One of them was in its second validation in vain, so that its adapter is the best of before the interruption.
STOPPED_EARLY = "1f27e77d727e"

# Of the largest value of a tensor, where the processor or the libraries are others: the base model computes in bfloat16, whose roundings 14
# steps carry on. Other instructions of one processor (ATEN_CPU_CAPABILITY=default, ONEDNN_MAX_CPU_ISA=SSE41, two threads) made 0.004.
TOLERANCE = 0.02

TARGETS = "lora.target_modules=[q_proj,v_proj]"
VALIDATED = (TARGETS, "train.eval_steps=4", "train.early_stopping_patience=2", "train.eval_items=6", *SETTINGS)
SLURM = ("hydra/launcher=slurm", "cluster=testbed", "hydra.launcher.partition=null", "hydra.launcher.trials_per_task=1")


@pytest.fixture
def runs(tmp_path):
    """A copy of the folder, to read and to go on with."""
    shutil.copytree(KEPT / "v3", tmp_path / "runs")
    return tmp_path / "runs"


def command(runs, *arguments, **variables):
    """What a command that succeeds prints, without its ages."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**environment(runs.parent), "COLUMNS": "10000", "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=580,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r" \([^()]* ago\)", "", done.stdout.replace(str(runs), "RUNS"))


def persona_exp(runs, *arguments, **variables):
    return command(runs, "-m", "persona_exp.cli.main", *arguments, **variables)


READ = {
    "status": ("status",),
    "status_json": ("status", "--json"),
    "status_of_the_interrupted": ("status", INTERRUPTED),
    "status_of_the_held": ("status", HELD),
    "show_the_finished": ("show", FINISHED),
    "show_the_engines_json": ("show", ENGINES, "--json"),
    "show_a_failed_trial": ("show", "1d0f843faa2f"),
    "why_a_cancelled_trial": ("why", "787e8b7a9b26"),
    "why_an_interrupted_trial": ("why", ALONE),
    "diff_of_two_sweeps": ("diff", FINISHED, ENGINES),
    "diff_of_two_sweeps_json": ("diff", FINISHED, ENGINES, "--json"),
}


@pytest.mark.parametrize("name", READ)
def test_an_older_folder_is_read(runs, name):
    found, expected = persona_exp(runs, *READ[name]), (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")
    if name.endswith("_json"):
        assert as_then(json.loads(found), json.loads(expected)) == json.loads(expected)
    else:
        assert found == expected


def as_then(found, expected):
    """`found` without the keys that have come since: what a script of then reads."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return {key: as_then(value, expected[key]) for key, value in found.items() if key in expected}
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [as_then(*pair) for pair in zip(found, expected, strict=True)]
    return found


@pytest.mark.long
@pytest.mark.parametrize("sweep", [FINISHED, ENGINES, FAILED])
def test_an_older_sweep_is_reported_as_it_was(runs, sweep):
    report = folder_of(runs, sweep) / "report"
    before = contents(report)
    shutil.rmtree(report)
    command(runs, "-m", "analysis.report", str(report.parent))
    assert before.keys() == {"table.md", "table.csv", "table.tex"}
    after = contents(report)
    assert {name: after[name].decode() for name in ("table.csv", "table.tex")} == {
        name: before[name].decode() for name in ("table.csv", "table.tex")
    }
    # What training took, and where the replies are, came to the page later, between what was there.
    page = re.sub(r"\n## Replies\n.*?(?=\n## |\Z)", "", after["table.md"].decode(), flags=re.DOTALL)
    text, sections = re.subn(r"\n## Training\n.*?(?=\n## |\Z)", "", page, flags=re.DOTALL)
    assert (text, sections) == (before["table.md"].decode(), 1)


@pytest.mark.long
def test_an_interrupted_sweep_goes_on_and_ends_as_it_would_have_then(runs):
    by_trial = statuses(runs, INTERRUPTED)
    finished = {trial: contents(runs / "trials" / trial) for trial, status in by_trial.items() if status == "finished"}
    interrupted = {trial for trial, status in by_trial.items() if status == "interrupted"}
    assert (len(finished), interrupted) == (2, ADAPTERS.keys() - {ALONE})
    output = command(runs, "run.py", "-m", "lora.r=2,8", "optim.lr=1e-3,5", *VALIDATED)
    assert "5 trials, 2 finished, 3 to run" in output
    assert set(statuses(runs, INTERRUPTED).values()) == {"finished"}
    # Other code seals a trial again, beside the seal that it has, with the settings that have come since.
    for trial, before in finished.items():
        after = contents(runs / "trials" / trial)
        assert {name: after[name] for name in before} == before
        assert all(name.startswith(("seals/", "config-")) for name in after.keys() - before)
    assert record(runs, STOPPED_EARLY, 2)["validation"]["stopped_early"]
    same_bits = [went_on(runs, trial) for trial in sorted(interrupted)]
    if all(same_bits):
        assert (folder_of(runs, INTERRUPTED) / "report" / "table.csv").read_text() == (EXPECTED / "resumed_table.csv").read_text()


@pytest.mark.long
def test_an_interrupted_trial_of_the_other_engine_goes_on(runs):
    command(runs, "run.py", "engine=sft", "lora.r=8", "optim.lr=1e-3", TARGETS, *SETTINGS)
    went_on(runs, ALONE)
    assert [record(runs, ALONE, number)["status"] for number in (1, 2)] == ["interrupted", "finished"]


@pytest.mark.long
def test_older_rehearsals_are_kept_and_rehearsed_again(runs, tmp_path):
    """A rehearsal's id holds the data that it would read since, so that the older ones are other trials, which stay as they are."""
    before = json.loads(persona_exp(runs, "status", "--json"))["sweeps"]
    with fake_site(tmp_path / "slurm") as site:
        cluster = {name: value for name, value in site.environment.items() if name == "PATH" or "SLURM" in name}
        for swept, trials in (("seed=range(3)", 3), (CANCELLED, 2)):
            output = command(runs, "run.py", "-m", swept, "engine=noop", *SLURM, *SETTINGS, **cluster)
            assert f"{trials} trials, 0 finished, {trials} to run" in output
    after = json.loads(persona_exp(runs, "status", "--json"))["sweeps"]
    assert [one for one in after if one in before] == before
    assert [one["counts"] for one in after if one not in before] == [{"finished": 2}, {"finished": 3}]


@pytest.mark.long
def test_the_hold_of_an_older_sweep_is_lifted(runs):
    folder = folder_of(runs, HELD)
    held = (folder / "hold.json").read_bytes()
    persona_exp(runs, "retry", HELD)
    assert not (folder / "hold.json").exists()
    assert (folder / "holds" / "0001.json").read_bytes() == held
    assert set(statuses(runs, HELD).values()) == {"finished", "sealed"}


def went_on(runs, trial):
    """Hold the adapter of a resumed trial against that of then; whether it was to the bit.

    It must be on the same kind of processor with the same libraries and threads; elsewhere its values must be near.
    """
    then, now = record(runs, trial, 1), record(runs, trial, 2)
    assert now["resumed_from_step"] == then["checkpoint_step"] > 0
    adapter = runs / "trials" / trial / "adapter" / "adapter_model.safetensors"
    same = all(then[name] == now[name] for name in ("versions", "threads")) and all(
        then["hardware"][name] == now["hardware"][name] for name in ("cpu", "cpu_capability", "gpu")
    )
    if same or trial == STOPPED_EARLY:
        assert hashlib.sha256(adapter.read_bytes()).hexdigest() == ADAPTERS[trial]
    elif (EXPECTED / "adapters" / f"{trial}.safetensors").is_file():
        found, expected = load_file(adapter), load_file(EXPECTED / "adapters" / f"{trial}.safetensors")
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            assert (found[name] - tensor).abs().max() <= TOLERANCE * tensor.abs().max(), name
    return same


def folder_of(runs, sweep):
    (folder,) = (path for path in (runs / "sweeps").iterdir() if path.name.rpartition("-")[0].startswith(sweep))
    return folder


def statuses(runs, sweep):
    """Trial ids of a sweep to their status."""
    return {
        one["trial_id"]: one["status"] for one in json.loads(persona_exp(runs, "status", folder_of(runs, sweep).name, "--json"))["trials"]
    }


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def record(runs, trial, attempt):
    return json.loads((runs / "trials" / trial / "attempts" / f"{attempt:04}.json").read_text(encoding="utf-8"))
