"""What a sweep is expected to cost, what is refused, and predicted against used."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.launch.cost import cost_estimate, duration_prediction, earlier_runs, hours_used
from persona_exp.launch.cost.duration_prediction import Interval
from persona_exp.launch.slurm.slurm_accounting import Ended
from persona_exp.launch.sweeps.submission_record import create, draft, note_jobs, worker_jobs

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
GPU = {"gpu": "NVIDIA A100-SXM4-80GB", "cpu": "a processor"}
CPU = {"gpu": None, "cpu": "a processor"}


def identity(**changed: Any) -> dict[str, Any]:
    """As a trial's provenance has it, as far as costs go."""
    return {
        "model": {"digest": "m"},
        "data_id": "d",
        "method": {"name": "lora", "quantisation": "none"},
        "mix": {},
        "optim": {"effective_batch_size": 8},
        "train": {"max_steps": 100, "max_length": 512},
        **changed,
    }


def seal(runs: Path, trial_id: str, **changed: Any) -> str:
    folder = runs / "trials" / trial_id
    (folder / "attempts").mkdir(parents=True)
    (folder / "provenance.json").write_text(json.dumps({"identity": identity(**changed), "data_id": "d"}))
    return trial_id


def attempt(runs: Path, trial_id: str, *, training: float, around: float, hardware: dict[str, Any] = GPU, **changed: Any) -> None:
    """One finished attempt: 100 steps of 8 examples of 50 tokens in `training` seconds."""
    record = {
        "attempt": 1,
        "status": "finished",
        "started": START.isoformat(),
        "ended": (START + timedelta(seconds=training + around)).isoformat(),
        "hardware": hardware,
        "labels": {"examples": 40, "tokens": 2000},
        "training": {"steps": 100, "resumed_from_step": 0, "seconds": training},
        **changed,
    }
    (runs / "trials" / trial_id / "attempts" / "0001.json").write_text(json.dumps(record))


@pytest.fixture
def tried(config: Callable[..., Config]) -> Callable[..., cost_estimate.Estimate]:
    def estimate(runs: Path, ids: list[str], *overrides: str, gpus: int = 1, parallelism: int = 2) -> cost_estimate.Estimate:
        one = config("model=tiny", *overrides)
        known = earlier_runs.read(runs, ids, [one] * len(ids))
        return cost_estimate.estimate(
            [one] * len(ids),
            gpus_per_trial=gpus,
            parallelism=parallelism,
            cluster=one.cluster,
            trial_ids=ids,
            history=known,
            trials=len(ids) + 1,
        )

    return estimate


def test_without_a_record_the_hours_are_unknown_and_said_so(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    found = tried(tmp_path, [seal(tmp_path, "a")])
    assert (found.source, found.gpu_hours, found.wall_hours) == ("unknown", None, None)
    assert any("GPU-hours: unknown" in line and "cluster.hours_per_trial" in line for line in cost_estimate.lines(found))


def test_your_own_estimate_counts_where_there_is_no_record(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    ids = [seal(tmp_path, name) for name in "abc"]
    found = tried(tmp_path, ids, "cluster.hours_per_trial=0.5", gpus=2)
    assert found.source == "cluster.hours_per_trial"
    assert found.gpu_hours == Interval(None, 3.0, None)
    assert found.wall_hours == Interval(None, 0.75, None)


def test_one_record_predicts_without_an_interval(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    attempt(tmp_path, seal(tmp_path, "before"), training=3000, around=600)
    found = tried(tmp_path, [seal(tmp_path, "a"), seal(tmp_path, "b", train={"max_steps": 200, "max_length": 512})])
    assert found.gpu_hours is not None
    assert found.gpu_hours.mean == pytest.approx((3000 + 600 + 6000 + 600) / 3600)
    assert found.gpu_hours.low is None
    assert (found.records, found.device) == (1, GPU["gpu"])
    assert any(f"(from 1 earlier run on {GPU['gpu']}: too few for an interval)" in line for line in cost_estimate.lines(found))


def test_two_records_predict_without_an_interval(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    for name, seconds in (("x", 1800), ("y", 7200)):
        attempt(tmp_path, seal(tmp_path, name), training=seconds, around=36)
    found = tried(tmp_path, [seal(tmp_path, "a")])
    assert found.gpu_hours is not None
    assert found.gpu_hours.text() == "1"
    assert "GPU-hours: 1 (from 2 earlier runs on NVIDIA A100-SXM4-80GB: too few for an interval)." in cost_estimate.lines(found)


def test_trials_of_one_bundle_are_one_measurement(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    def bundle(pid: int, *seconds: float) -> None:
        ids = [f"{pid}-{number}" for number in range(len(seconds))]
        for one, took in zip(ids, seconds, strict=True):
            others = [other for other in ids if other != one]
            attempt(tmp_path, seal(tmp_path, one), training=took, around=36, host="n", pid=pid, process_started="b:1", together_with=others)
            path = tmp_path / "trials" / one / "attempts" / "0001.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "own_seconds": took + 36}))

    bundle(1, 900, 1800, 3600)
    bundle(2, 3600)
    ids = [seal(tmp_path, "a")]
    few = tried(tmp_path, ids)
    assert few.gpu_hours is not None
    assert (few.records, few.gpu_hours.low) == (2, None)
    # Each bundle weighs the same, however many trials it had.
    assert few.gpu_hours.mean == pytest.approx((1800 * 3600) ** 0.5 / 3600 + 0.01)
    bundle(3, 7200)
    enough = tried(tmp_path, ids)
    assert enough.gpu_hours is not None
    half = 4.303 * math.log(2) * math.sqrt(1 + 1 / 3)
    assert (enough.records, enough.gpu_hours.low) == (3, pytest.approx(math.exp(-half) + 0.01))


def test_too_few_of_one_method_are_said_so(tmp_path: Path, config: Callable[..., Config]) -> None:
    for name in "xyz":
        attempt(tmp_path, seal(tmp_path, name), training=3600, around=36)
    attempt(tmp_path, seal(tmp_path, "q", method={"name": "qlora", "quantisation": "nf4"}), training=3600, around=36)
    ids = [seal(tmp_path, "a"), seal(tmp_path, "b", method={"name": "qlora", "quantisation": "nf4"})]
    one = config("model=tiny")
    known = earlier_runs.read(tmp_path, ids, [one, one])
    found = cost_estimate.estimate([one, one], gpus_per_trial=1, parallelism=1, cluster=one.cluster, trial_ids=ids, history=known)
    assert any(
        "from 4 earlier runs" in line and "too few of one model and method for an interval" in line for line in cost_estimate.lines(found)
    )


def test_several_records_give_students_prediction_interval(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    for name, seconds in (("x", 1800), ("y", 3600), ("z", 7200)):
        attempt(tmp_path, seal(tmp_path, name), training=seconds, around=36)
    found = tried(tmp_path, [seal(tmp_path, "a")])
    assert found.gpu_hours is not None
    half = 4.303 * math.log(2) * math.sqrt(1 + 1 / 3)
    assert found.gpu_hours.mean == pytest.approx(1.01)
    assert found.gpu_hours.low == pytest.approx(math.exp(-half) + 0.01)
    assert found.gpu_hours.high == pytest.approx(math.exp(half) + 0.01)
    assert found.gpu_hours.text() == "1"
    assert "3 earlier runs on NVIDIA A100-SXM4-80GB, which differ too much for an interval" in "\n".join(cost_estimate.lines(found))


def test_an_interval_is_shown_where_it_tells_something(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    for name, seconds in (("x", 3000), ("y", 3600), ("z", 4300)):
        attempt(tmp_path, seal(tmp_path, name), training=seconds, around=36)
    found = tried(tmp_path, [seal(tmp_path, "a")])
    assert found.gpu_hours is not None
    assert found.gpu_hours.text() == "1 [0.42, 2.5]"
    assert "3 earlier runs on NVIDIA A100-SXM4-80GB, 95 % interval" in "\n".join(cost_estimate.lines(found))


def test_an_interval_over_orders_of_magnitude_is_none() -> None:
    assert Interval(5e-05, 0.023, 12).text() == "0.023"
    assert Interval(None, 5e-05, None).text() == "under 0.01"
    assert Interval(0.5, 1, 2).text() == "1 [0.5, 2]"


def test_only_records_of_the_same_model_method_and_device_count(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    attempt(tmp_path, seal(tmp_path, "other", model={"digest": "n"}), training=1, around=1)
    attempt(tmp_path, seal(tmp_path, "four", method={"name": "qlora", "quantisation": "nf4"}), training=1, around=1)
    attempt(tmp_path, seal(tmp_path, "slow"), training=1, around=1, hardware=CPU)
    attempt(tmp_path, seal(tmp_path, "broken"), training=1, around=1, status="failed")
    ids = [seal(tmp_path, "a")]
    assert tried(tmp_path, ids).source == "unknown"
    on_cpu = tried(tmp_path, ids, gpus=0)
    assert (on_cpu.source, on_cpu.device) == ("records", CPU["cpu"])
    assert any(line.startswith("Hours of computing: ") for line in cost_estimate.lines(on_cpu))


def test_a_gpu_that_the_cluster_names_is_not_told_from_another(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    attempt(tmp_path, seal(tmp_path, "before"), training=3600, around=36)
    ids = [seal(tmp_path, "a")]
    assert tried(tmp_path, ids, "cluster.gpus_per_node=h100:1").source == "unknown"
    assert tried(tmp_path, ids, "cluster.gpus_per_node=a100:1").source == "records"


def test_epochs_become_steps_by_the_examples_that_an_earlier_run_counted(
    tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]
) -> None:
    attempt(tmp_path, seal(tmp_path, "before"), training=3600, around=1)
    # 2 epochs of 40 examples in steps of 8: a tenth of the steps before.
    found = tried(tmp_path, [seal(tmp_path, "a", train={"epochs": 2, "max_length": 512})])
    assert found.hours is not None
    assert found.hours.mean == pytest.approx(0.1, rel=0.01)


def test_the_base_model_takes_what_surrounds_training(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    attempt(tmp_path, seal(tmp_path, "before"), training=3600, around=360)
    base = identity(method={"name": "none", "quantisation": "none"})
    for group in ("mix", "optim", "train"):
        del base[group]
    folder = tmp_path / "trials" / "base"
    folder.mkdir()
    (folder / "provenance.json").write_text(json.dumps({"identity": base}))
    work = earlier_runs.TrialWork("m", "none", "none", earlier_runs._names(base)["data"], None, 0.0, 1, None)
    predicted = duration_prediction.predict([work], earlier_runs.read_records(tmp_path, {"m"}))
    assert predicted is not None
    assert predicted[0].mean == pytest.approx(360)
    # One run of its own is not enough for an interval, but what surrounded the training of others tells too.
    for name, around in (("base", 90), ("y", 180), ("z", 720)):
        if name == "base":
            (folder / "attempts").mkdir()
        else:
            seal(tmp_path, name)
        attempt(tmp_path, name, training=0 if name == "base" else 3600, around=around)
    predicted = duration_prediction.predict([work], earlier_runs.read_records(tmp_path, {"m"}))
    assert predicted is not None
    assert predicted[0].low is not None
    assert predicted[1] == 4


def test_of_a_bundle_each_trial_has_its_share_and_its_record_tells_of_the_whole(
    tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]
) -> None:
    told = {"trials": 4, "row_tokens": 2048, "tokens_a_step": 1600.0, "tokens_per_second": 800.0}
    training = {"steps": 100, "resumed_from_step": 0, "seconds": 25.0, "peak_memory_bytes": 10**9, "bundle": told}
    lora = {"r": 8, "target_modules": ["q_proj"]}
    before = seal(tmp_path, "before", lora=lora, optim={"effective_batch_size": 8, "name": "adamw_torch"})
    attempt(tmp_path, before, training=100, around=36, together_with=["b", "c", "d", "e", "f", "g"], together=1)
    path = tmp_path / "trials" / "before" / "attempts" / "0001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": training}))
    (record,) = earlier_runs.read_records(tmp_path, {"m"})
    assert record.bundle == earlier_runs.Bundle(4, 2048, 1600.0, 800.0, 10**9)
    assert record.slot == (8, ("q_proj",), "adamw_torch")
    # Four began together; those admitted later took another's place.
    assert record.around == pytest.approx(136 / 4 - 25)
    found = tried(tmp_path, [seal(tmp_path, "a")], gpus=1)
    assert found.hours is not None
    assert found.hours.mean == pytest.approx(136 / 4 / 3600)


def test_tasks_not_trials_run_at_once_and_a_bundle_needs_what_it_needs(config: Callable[..., Config]) -> None:
    one = config("model=tiny", "cluster.hours_per_trial=0.5", "cluster.gpu_memory_gb=8")
    shared = cost_estimate.Sharing(tasks=3, bundles=3, memory_gb=12.0, alone=[])
    found = cost_estimate.estimate([one] * 24, gpus_per_trial=1, parallelism=256, cluster=one.cluster, sharing=shared)
    assert found.gpu_hours == Interval(None, 12.0, None)
    assert found.wall_hours == Interval(None, 4.0, None)
    told = "\n".join(cost_estimate.lines(found))
    assert "Memory a bundle: about 12.0 GiB, more than the GPU's 8: lower bundle.row_tokens" in told
    assert "if 3 tasks run at once" in told
    alone = config("model=qwen3-32b", "method=lora")
    mixed = cost_estimate.Sharing(tasks=3, bundles=2, memory_gb=12.0, alone=[alone])
    needs = cost_estimate.estimate([one] * 3, gpus_per_trial=1, parallelism=9, cluster=one.cluster, sharing=mixed).memory_gb
    assert needs is not None
    assert needs > 60


def test_a_rehearsal_is_counted_and_no_more(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    found = tried(tmp_path, ["a", "b"], "engine=noop")
    assert (found.source, found.memory_gb) == ("noop", None)
    assert cost_estimate.lines(found) == ["3 trials, 1 finished, 2 to run."]


def test_memory_is_held_against_the_gpu(config: Callable[..., Config]) -> None:
    one = config("model=qwen3-32b", "method=lora", "cluster.gpu_memory_gb=40")
    found = cost_estimate.estimate([one], gpus_per_trial=1, parallelism=1, cluster=one.cluster, gpu_memory_gb=80)
    assert found.gpu_gb == 40
    assert found.memory_gb is not None
    assert found.memory_gb > 40
    assert any("more than the GPU's 40: lower train.micro_batch_size" in line for line in cost_estimate.lines(found))


def test_over_the_budget_is_refused_and_the_unknown_is_not(
    tmp_path: Path, tried: Callable[..., cost_estimate.Estimate], config: Any
) -> None:
    ids = [seal(tmp_path, name) for name in "ab"]
    cluster = config("cluster.budget_gpu_hours=1").cluster
    cost_estimate.refuse_over_budget(tried(tmp_path, ids), cluster)
    cost_estimate.refuse_over_budget(tried(tmp_path, ids, "cluster.hours_per_trial=0.5"), cluster)
    with pytest.raises(UserError, match=r"1\.2 GPU-hours, more than cluster\.budget_gpu_hours=1"):
        cost_estimate.refuse_over_budget(tried(tmp_path, ids, "cluster.hours_per_trial=0.6"), cluster)


def test_a_thousand_records_are_read_within_a_second(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> None:
    import time

    for number in range(1000):
        attempt(tmp_path, seal(tmp_path, f"{number:012x}"), training=3600, around=36)
    ids = [f"{number:012x}" for number in range(1000)]
    started = time.process_time()
    assert tried(tmp_path, ids).records == 1000
    # Of the processor: what else runs on it does not count. Several times what it takes.
    assert time.process_time() - started < 20


@pytest.fixture
def sweep(tmp_path: Path, tried: Callable[..., cost_estimate.Estimate]) -> Path:
    """A sweep of one trial, predicted at half an hour and submitted to Slurm as job 7; its attempt took 720 s."""
    folder = tmp_path / "sweeps" / "s"
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(
        "command: x\nswept: []\ntrials:\n- {trial_id: aaaaaaaaaaaa, role: adapter, overrides: {}, evaluations: {adapter: eeeeeeeeeeee}}\n"
    )
    submission = draft(folder, launcher="slurm", tasks=[["aaaaaaaaaaaa/seals/11111111.json"]], options={}, canary=False)
    assert create(submission)
    estimate = tried(tmp_path, [seal(tmp_path, "a" * 12)], "cluster.hours_per_trial=0.5", gpus=2)
    cost_estimate.keep(estimate, submission.folder)
    note_jobs(submission, {"canary": None, "arrays": [{"id": "7", "first": 0, "size": 1}], "keeper": "8", "complete": True})
    later = datetime.now(UTC) + timedelta(seconds=5)
    attempt(tmp_path, "a" * 12, training=700, around=20, started=later.isoformat(), ended=(later + timedelta(seconds=720)).isoformat())
    return folder


def ended(name: str, seconds: int) -> Ended:
    return Ended("7", "7", 0, name, "COMPLETED", 0, 0, "n", seconds, 2, 0, 0)


def test_predicted_against_accounting_leaves_out_jobs_that_had_the_id_before(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_exp.launch.slurm import slurm_accounting
    from persona_exp.launch.sweeps.submission_record import latest_submission

    submission = latest_submission(sweep)
    assert submission is not None
    asked = []

    def history(ids: list[str], **_: object) -> list[Ended]:
        asked.extend(ids)
        return [ended(submission.job_name, 900), ended(submission.job_name, 900), ended("another", 9999)]

    monkeypatch.setattr(slurm_accounting, "history", history)
    assert hours_used.compare(sweep, tmp_path, worker_jobs(sweep)) == "GPU-hours: predicted 1 for 1 trial, used 1 (sacct)."
    assert asked == ["7"]


def test_without_accounting_the_attempts_clocks_tell(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from persona_exp.launch.slurm import slurm_accounting

    monkeypatch.setattr(slurm_accounting, "history", lambda _, **__: None)
    assert hours_used.compare(sweep, tmp_path, worker_jobs(sweep)) == "GPU-hours: predicted 1 for 1 trial, used 0.4 (the attempts' clocks)."


def test_a_killed_attempt_lasted_as_long_as_its_heart_beat() -> None:
    assert hours_used._lasted({"started": START.isoformat(), "heartbeat": 6}) == 60


def test_nothing_predicted_is_nothing_to_compare(tmp_path: Path) -> None:
    assert hours_used.compare(tmp_path / "sweeps" / "s", tmp_path, {}) is None
