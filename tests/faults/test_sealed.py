"""What is queued stays as it was submitted, or refuses."""

import shutil
import subprocess

import pytest

from tests.conftest import ROOT
from tests.faults.sweep import ONE, TINY, TRAINING

pytestmark = [pytest.mark.slurm, pytest.mark.faults]

PLAIN = "hydra.launcher.canary=false"
OWN_BOOK = ("corpus=novels", "data.split=chapter", "persona.name=Ada", "data.validation_fraction=0", "data.test_fraction=0.3")


@pytest.fixture
def checkout(tmp_path):
    """A copy of this checkout, uncommitted changes and all, to be edited."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    copy = tmp_path / "checkout"
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    subprocess.run(["git", "init", "--quiet", "."], cwd=copy, check=True)
    return copy


@pytest.fixture
def closed(cluster):
    """The partition takes jobs but starts none until `closed()` is called."""
    cluster.run("scontrol", "update", "partitionname=main", "state=down")
    yield lambda: cluster.run("scontrol", "update", "partitionname=main", "state=up")
    cluster.run("scontrol", "update", "partitionname=main", "state=up")


def test_config_and_code_edited_after_submission(closed, cluster, sweep, expected, checkout):
    whole = expected(ONE)
    one = sweep(ONE, root=checkout)
    one.launch(PLAIN)
    one.waits("jobs are queued", cluster.jobs)
    one.waits(
        "all are submitted",
        lambda: any('"complete": true' in path.read_text() for path in one.runs.glob("sweeps/*/submissions/*/jobs.json")),
    )
    for path in checkout.glob("conf/*/*.yaml"):
        path.write_text(path.read_text().replace("lr:", "no_such_key:").replace("seed: 0", "seed: 1"))
    for path in checkout.glob("persona_exp/*/*.py"):
        path.write_text("raise SystemExit('edited after submission')\n")
    closed()
    # This launcher has read its own code already; what it has yet to import is broken, so that the last job alone may end the sweep.
    one.waits("the adapter is the same", lambda: one.adapters() == whole, 180)
    one.kill()
    one.drains(180)
    assert set(one.finished_once(whole)) == {*one.trials(), *one.trials("base")}
    assert one.adapters() == whole
    assert "no_such_key" not in "".join(path.read_text() for path in one.runs.glob("trials/*/config*.yaml"))
    assert one.reported().is_file()


def test_book_edited_after_submission(closed, cluster, sweep, tmp_path):
    from tests.test_pipeline import novel

    book = tmp_path / "lamp.txt"
    book.write_text("\n\n".join(novel()))
    arguments = ("-m", "method=lora", "lora.r=8", *OWN_BOOK, f"corpus.dir={tmp_path}", "corpus.books=[lamp.txt]", *TRAINING, *TINY)
    reference = sweep(arguments)
    reference.here()
    one = sweep(arguments)
    one.launch(PLAIN)
    one.waits("jobs are queued", cluster.jobs)
    book.write_text("Nothing of this is to be read by a job.\n")
    closed()
    one.ends()
    one.drains()
    assert len(reference.adapters()) == 1
    one.finished_once(reference.adapters())
    assert one.adapters() == reference.adapters()
    built = "".join(path.read_text() for path in one.runs.glob("data/*/*.jsonl"))
    assert built
    assert "Nothing of this" not in built


@pytest.mark.parametrize("what", ["config", "data", "code"])
def test_a_tampered_seal_refuses(closed, cluster, sweep, what):
    one = sweep(ONE)
    one.launch(PLAIN)
    one.waits("jobs are queued", cluster.jobs)
    (trial,) = one.waits("the sweep is described", one.trials)
    pattern = {"config": f"trials/{trial}/config*.yaml", "data": "data/*/train.jsonl", "code": "code/*/persona_exp/training/sft_engine.py"}[
        what
    ]
    (path,) = one.runs.glob(pattern)
    path.chmod(0o644)
    path.parent.chmod(0o755)
    path.write_text(path.read_text() + "\n# tampered\n")
    closed()
    one.ends(1)
    one.drains()
    assert trial not in one.adapters()
    record = one.attempts(trial)[-1]
    assert (record["status"], record["cause"]) == ("failed", "seal")
    assert "refuses to run" in record["message"]
    print(f"\n{record['message']}")
