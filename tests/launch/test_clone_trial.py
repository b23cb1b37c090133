"""A trial added to a sweep: its config is the other's as that was sealed, and a worker of the sweep runs it."""

import json
import shutil

import pytest

from persona_exp.errors import UserError
from persona_exp.launch.clone_trial import clone_trial
from persona_exp.launch.recovery.heartbeat_lease import Observer
from persona_exp.launch.sweeps import trial_set
from persona_exp.launch.sweeps.reconcile import reconcile
from persona_exp.trial.seal import read_seal
from tests.launch.rehearsed import attempts, running, sealed, stop, submitted, worker

pytestmark = pytest.mark.usefixtures("one_copy_of_the_code")


@pytest.fixture
def sweep(config, tmp_path):
    """The folder of a sweep of two trials, and their seals."""
    seals = sealed(config, tmp_path, 2)
    folder = submitted(tmp_path, [seals]).sweep_folder
    rows = "".join(f"- {{trial_id: '{seal[:12]}', role: adapter, overrides: {{}}, evaluations: {{}}}}\n" for seal in seals)
    (folder / "sweep.yaml").write_text(f"command: python run.py -m seed=0,1\nswept: [seed]\ntrials:\n{rows}")
    return folder, seals


def test_it_is_the_others_sealed_config_but_for_what_is_said(sweep, tmp_path):
    folder, seals = sweep
    name, added = clone_trial(tmp_path / "runs", seals[1][:12], ["optim.lr=5e-5", "lora.target_modules=[q_proj,v_proj]"])
    assert name == "rehearsal"
    before, after = (read_seal(tmp_path / "runs" / "trials" / seal)[1] for seal in (seals[1], added.path))
    assert (after.optim.lr, after.lora.target_modules) == (5e-5, ["q_proj", "v_proj"])
    assert (after.seed, after.lora.r, after.data) == (1, before.lora.r, before.data)
    assert trial_set.read(folder)[-1].seal == added.path
    assert [one.seal for one in reconcile(folder, Observer(1.0)).unserved] == [*seals, added.path]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("optim.lr=1,2", "gives several values"),
        ("method=full", "cannot be set on a sealed trial"),
        ("+optim.new=1", "cannot be set on a sealed trial"),
        ("optim.rate=1", "optim"),
        ("optim.lr=-1", "optim.lr"),
        ("seed=0", "has already"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(sweep, tmp_path, line, said):
    folder, seals = sweep
    with pytest.raises(UserError, match=said):
        clone_trial(tmp_path / "runs", seals[1][:12], [line])
    assert len(trial_set.read(folder)) == 2


def test_of_two_sweeps_one_must_be_named(sweep, tmp_path):
    folder, seals = sweep
    other = folder.with_name("other")
    other.mkdir()
    for name in ("seals.json", "sweep.yaml"):
        shutil.copyfile(folder / name, other / name)
    with pytest.raises(UserError, match="--sweep"):
        clone_trial(tmp_path / "runs", seals[0][:12], ["seed=7"])
    assert clone_trial(tmp_path / "runs", seals[0][:12], ["seed=7"], sweep="other")[0] == "other"
    with pytest.raises(UserError, match="No sweep has trial"):
        clone_trial(tmp_path / "runs", "0" * 12, ["seed=7"])


@pytest.mark.long
def test_the_command_adds_it_and_a_worker_at_work_runs_it(sweep, tmp_path, monkeypatch, capsys):
    from persona_exp.cli.main import main
    from persona_exp.launch.sweeps.submission_record import all_submissions

    folder, seals = sweep
    monkeypatch.setenv("PERSONA_EXP_RUNS", str(tmp_path / "runs"))
    process = worker(all_submissions(folder)[0], "--task", "0", PERSONA_EXP_NOOP_SECONDS="3")
    try:
        running(tmp_path, seals[0])
        assert main(["clone", seals[0][:12], "seed=7", "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["sweep"], answer["overrides"]) == ("rehearsal", {"seed": 7})
        output, _ = process.communicate(timeout=60)
    finally:
        stop(process)
    assert process.returncode == 0, output
    (found,) = attempts(tmp_path, answer["trial_id"])
    assert (found["status"], found["pid"]) == ("finished", attempts(tmp_path, seals[0])[0]["pid"]), "the same child took it up"
