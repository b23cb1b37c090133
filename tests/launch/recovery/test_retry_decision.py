"""What becomes of a trial next."""

import json
import shutil

import pytest

from persona_exp.launch.recovery.retry_decision import allow_after_site_faults, allow_retry, decide, decide_after_death
from persona_exp.process_identity import node_name
from persona_exp.trial.attempt_claim_and_heartbeat import claim
from persona_exp.trial.attempt_records import read_record
from persona_exp.trial.lost_attempts import begin_anew, note_began
from persona_exp.trial.trial_status import read_status
from tests.launch.rehearsed import SEAL, recorded_trial

KILLED = {"status": "interrupted", "cause": "killed"}
OOM = {"status": "failed", "cause": "out_of_memory"}
FAILED = {"status": "failed", "cause": "ValueError"}


def of(directory, judgement="alive", seal=SEAL):
    return decide(directory, seal, lambda record: judgement)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], "run"),
        ([{"status": "finished"}], "finished"),
        ([{"status": "pruned"}], "finished"),
        ([{"status": "interrupted", "cause": "signal"}], "run"),
        ([{"status": "interrupted", "cause": "preempted"}] * 5, "run"),
        ([FAILED], "failed"),
        ([{"status": "running"}], "wait"),
        ([KILLED] * 2, "run"),
        ([KILLED] * 3, "failed"),
    ],
)
def test_what_comes_next(tmp_path, records, expected):
    assert of(recorded_trial(tmp_path, *records)).next == expected


def test_a_dead_attempt_is_taken_over(tmp_path):
    found = of(recorded_trial(tmp_path, {"status": "running"}), "dead")
    assert (found.next, found.dead) == ("run", (1,))


def test_who_cannot_be_told_from_the_dead_is_suspicious(tmp_path):
    assert of(recorded_trial(tmp_path, {"status": "running"}), "unknown").suspicious
    assert not of(recorded_trial(tmp_path, {"status": "running"}), "alive").suspicious


def test_a_cancelled_trial_stays_cancelled_unless_it_is_finished(tmp_path):
    directory = recorded_trial(tmp_path, {"status": "interrupted", "cause": "signal"})
    directory.cancelled.write_text("{}")
    assert of(directory).next == "cancelled"
    assert of(recorded_trial(tmp_path, {"status": "finished"})).next == "finished"


def test_out_of_memory_halves_the_micro_batch_once_per_halving(tmp_path):
    records = []
    for used, then in ((8, 4), (4, 2), (2, 1)):
        records.append({**OOM, "micro_batch_size": used})
        found = of(recorded_trial(tmp_path, *records))
        assert (found.next, found.limits.micro_batch_size) == ("run", then)
    assert of(recorded_trial(tmp_path, *records, {**OOM, "micro_batch_size": 1})).next == "failed"


def test_what_was_halved_stays_halved_after_a_preemption(tmp_path):
    records = [{**OOM, "micro_batch_size": 8}, {"status": "interrupted", "cause": "preempted", "micro_batch_size": 4}]
    assert of(recorded_trial(tmp_path, *records)).limits.micro_batch_size == 4


def test_out_of_memory_halves_a_bundle_then_the_rows_of_who_is_alone(tmp_path):
    def together(number, rows):
        return {**OOM, "together": number, "row_tokens": rows}

    records = []
    for had, then in (((5, 2048), (2, 1024)), ((2, 600), (1, 512)), ((1, 128), (1, 64))):
        records.append(together(*had))
        found = of(recorded_trial(tmp_path, *records))
        assert (found.next, found.limits.together, found.limits.row_tokens) == ("run", *then)
    assert of(recorded_trial(tmp_path, *records, together(1, 64))).next == "failed"


def test_an_evaluation_without_memory_is_tried_with_fewer_while_it_is_shared(tmp_path):
    evaluating = {**OOM, "progress": {"phase": "evaluating"}, "row_tokens": 512}
    assert of(recorded_trial(tmp_path, {**evaluating, "together": 4})).limits.together == 2
    assert of(recorded_trial(tmp_path, {**evaluating, "together": 1})).next == "failed"


def test_a_seal_that_forbids_it_is_not_halved(tmp_path):
    assert of(recorded_trial(tmp_path, {**OOM, "micro_batch_size": 8}, may_halve=False)).next == "failed"


@pytest.mark.parametrize("record", [OOM, {"status": "finished", "seal": "ffffffff.json"}], ids=["memory", "another seal"])
def test_a_damaged_seal_is_its_trials_alone(tmp_path, record):
    directory = recorded_trial(tmp_path, record)
    (directory.seals / SEAL).write_text('{"trial_id": ')
    found = of(directory)
    assert (found.next, found.cause) == ("failed", "damaged")
    assert f"The seal {directory.seals / SEAL} cannot be read" in found.why
    if record is OOM:
        assert decide_after_death(directory, SEAL, "out_of_memory").next == "failed"


@pytest.mark.parametrize("record", [None, {"status": "interrupted", "cause": "preempted"}], ids=["new", "interrupted"])
def test_a_damaged_seal_gets_no_job(tmp_path, record):
    directory = recorded_trial(tmp_path, *([record] if record else []))
    (directory.seals / SEAL).write_text('{"trial_id": ')
    found = of(directory)
    assert (found.next, found.cause) == ("failed", "damaged")
    (directory.seals / SEAL).unlink()
    assert of(directory).next == "failed"


def test_a_trial_whose_attempts_are_gone_gets_no_job_until_a_person_asks_for_it(tmp_path):
    directory = recorded_trial(tmp_path, {"status": "interrupted", "cause": "signal"})
    note_began(directory.path)
    assert of(directory).next == "run"
    shutil.rmtree(directory.attempts)
    found = of(directory)
    assert (found.next, found.cause) == ("failed", "damaged")
    assert f"attempts/ of trial {directory.trial_id} is gone, though it began" in found.why
    (said,) = begin_anew([directory.path])
    assert "trained anew" in said
    assert of(directory).next == "run"
    assert begin_anew([directory.path]) == []


def test_attempts_whose_records_alone_are_gone_are_followed_by_the_next_number(tmp_path):
    directory = recorded_trial(tmp_path, *[{"status": "interrupted", "cause": "signal"}] * 2)
    note_began(directory.path)
    for number in (1, 2):
        (directory.attempts / f"{number:04}" / "staging").mkdir(parents=True)
        (directory.attempts / f"{number:04}.json").unlink()
    assert f"the records in attempts/ of trial {directory.trial_id} are gone, though it began" in of(directory).why
    (said,) = begin_anew([directory.path])
    assert "trained anew, from a checkpoint where one is left" in said
    assert [path.name for path in directory.attempts.glob("*.json")] == ["0002.json"]
    assert of(directory).next == "run"
    claimed = claim(directory.attempts)
    assert claimed is not None
    claimed.end("finished")
    assert (claimed.number, claimed.record["previous"]["attempt"]) == (3, 2)


def test_a_trial_whose_attempts_are_gone_is_finished_where_all_is_published(tmp_path):
    directory = recorded_trial(tmp_path, {"status": "finished"})
    shutil.rmtree(directory.attempts)
    assert of(directory).next == "run"
    directory.adapter.mkdir()
    assert of(directory).next == "failed"
    directory.noop.write_text("{}")
    facts = json.loads((directory.seals / SEAL).read_text())
    (directory.seals / SEAL).write_text(json.dumps({**facts, "engine": "noop"}))
    assert of(directory).next == "finished"
    assert read_status(directory.path).status == "finished"
    (said,) = begin_anew([directory.path])
    assert said.endswith("it is finished, for all that is asked of it is published.")
    record = read_record(directory.attempts / "0001.json")
    assert (record["status"], record["seal"]) == ("finished", SEAL)
    assert of(directory).next == "finished"
    # Another seal may ask for more.
    (directory.seals / "ffffffff.json").write_text(json.dumps({**facts, "engine": "sft", "evaluations": {"adapter": "e" * 12}}))
    assert of(directory, seal="ffffffff.json").next == "run"


def test_kills_with_new_checkpoints_in_between_do_not_add_up(tmp_path):
    records = [{**KILLED, "checkpoint_step": step} for step in (10, 20, 30, 40)]
    assert of(recorded_trial(tmp_path, *records)).next == "run"
    assert of(recorded_trial(tmp_path, *records, *[{**KILLED, "checkpoint_step": 40}] * 2)).next == "run"
    assert of(recorded_trial(tmp_path, *records, *[{**KILLED, "checkpoint_step": 40}] * 3)).next == "failed"


def stopped(times, cause="signal", **facts):
    return [{"status": "interrupted", "cause": cause, **facts}] * times


def test_a_trial_whose_time_is_over_again_and_again_before_it_has_saved_fails(tmp_path):
    mixed = [*stopped(5), *stopped(2, "time_limit"), {"status": "interrupted", "cause": "node_failed"}, *stopped(2, "preempted")]
    assert of(recorded_trial(tmp_path, *mixed)).next == "run"
    directory = recorded_trial(tmp_path, *mixed, *stopped(1))
    found = of(directory)
    assert (found.next, found.cause) == ("failed", "signal")
    assert "stopped 10 times (preempted, signal, time_limit)" in found.why
    assert "hydra.launcher.timeout_min" in found.why
    assert "train.checkpoint_minutes" in found.why
    # A person may take it back, by name or by the command.
    assert allow_after_site_faults([directory], [SEAL]) == [directory.trial_id]
    assert of(directory).next == "run"


def test_what_is_saved_between_two_stops_absolves_the_earlier(tmp_path):
    slow = [one for step in (1, 2, 3) for one in stopped(9, "preempted", checkpoint_step=step)]
    assert of(recorded_trial(tmp_path / "slow", *slow)).next == "run"
    # The adapter stands: what goes on is the evaluation.
    published = [*stopped(9), {"status": "interrupted", "cause": "signal", "checkpoint_step": 3, "checkpoints_cleared": True}]
    assert of(recorded_trial(tmp_path, *published, *stopped(9))).next == "run"
    assert of(recorded_trial(tmp_path / "again", *published, *stopped(10))).next == "failed"


def test_a_kill_that_only_the_successor_knew_of_counts(tmp_path):
    silent = {"status": "running", "previous": {"cause": "killed"}}
    assert of(recorded_trial(tmp_path, silent, silent, silent, {**KILLED, "previous": {"cause": "killed"}})).next == "failed"


def test_a_person_may_allow_another_try_of_a_failed_trial(tmp_path):
    directory = recorded_trial(tmp_path, FAILED)
    assert allow_retry(directory)
    assert not allow_retry(directory)
    assert of(directory).next == "run"
    assert of(recorded_trial(tmp_path, FAILED, FAILED)).next == "failed"


def test_sealed_anew_a_failed_trial_runs_and_the_old_seal_stays_failed(tmp_path):
    directory = recorded_trial(tmp_path, FAILED, {**FAILED, "seal": "0743e000.json"})
    (directory.seals / "74114d00.json").write_text((directory.seals / SEAL).read_text())
    assert of(directory, seal="74114d00.json").next == "run"
    assert of(directory, seal="0743e000.json").next == "failed"
    assert of(directory).next == "failed"


def test_who_runs_the_command_again_vouches_for_the_site_but_not_for_the_code(tmp_path):
    full = recorded_trial(tmp_path / "full", {"status": "failed", "cause": "disk_full"})
    broken = recorded_trial(tmp_path / "broken", FAILED)
    assert allow_after_site_faults([full, broken], [SEAL, SEAL]) == [full.trial_id]
    assert of(full).next == "run"
    assert of(broken).next == "failed"


def test_killed_together_with_its_worker_for_the_third_time(tmp_path):
    gone = {"status": "running", "host": node_name(), "previous": {"cause": "killed"}}
    directory = recorded_trial(tmp_path, KILLED, KILLED, gone)
    killed = {**gone, "status": "interrupted", "cause": "killed"}
    assert decide_after_death(directory, SEAL, "killed").next == "failed"
    assert of(recorded_trial(tmp_path, KILLED, KILLED, killed)).cause == "killed"
    assert allow_after_site_faults([directory], [SEAL]) == [directory.trial_id]
    assert of(directory).next == "run"


def test_out_of_memory_in_the_evaluation_is_not_helped_by_a_smaller_micro_batch(tmp_path):
    oom = {"status": "failed", "cause": "out_of_memory", "micro_batch_size": 8}
    directory = recorded_trial(tmp_path, oom, {**oom, "micro_batch_size": 4, "progress": {"phase": "evaluating"}})
    found = decide(directory, SEAL, lambda _: "unknown")
    assert (found.next, found.cause) == ("failed", "out_of_memory")
    assert "set evaluation.batch_size lower" in found.why
    directory = recorded_trial(tmp_path / "gpu", {**oom, "progress": {"phase": "evaluating"}, "hardware": {"gpu": "NVIDIA H200"}})
    assert "set evaluation.max_length lower" in decide(directory, SEAL, lambda _: "unknown").why
    # The training's own want of memory is remembered without it.
    directory = recorded_trial(tmp_path, oom, {**oom, "status": "interrupted", "cause": "signal", "progress": {"phase": "evaluating"}})
    assert decide(directory, SEAL, lambda _: "unknown").limits.micro_batch_size == 4
