"""What trials cost, the memory of bundles, and what earlier runs tell of both."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from persona_exp.config.schema import Config
from persona_exp.launch.cost.earlier_runs import Bundle, History, Probe, RunRecord, TrialWork
from persona_exp.launch.planning.bundle_memory import PlannedTrial, shared_bytes, sharing, slot_bytes
from persona_exp.launch.planning.bundle_plan import Task, Terms, plan
from persona_exp.launch.planning.trial_cost_model import enough_tokens, records_of, saturation_tokens, trial_costs
from persona_exp.modeling import training_memory_estimate
from persona_exp.modeling.layer_sizes import KNOWN_LAYER_SIZES

GIB = training_memory_estimate.GIB
QWEN = "model=qwen2.5-7b-instruct"
RECORD = RunRecord("m", "qlora", "nf4", "d", "NVIDIA H200", True, 400, 50.0, 0.01, 60.0, base="b")
WORK = TrialWork("m", "qlora", "nf4", "d", 100, 0.0, 8, None, base="b")


def planned(*configs: Config, base: str | None = "x") -> list[PlannedTrial]:
    return [PlannedTrial(f"{number:012x}/seals/0.json", base, one) for number, one in enumerate(configs)]


def history(trials: list[PlannedTrial], *works: TrialWork, records: tuple[RunRecord, ...] = ()) -> History:
    return History({one.seal.split("/")[0]: work for one, work in zip(trials, works, strict=True)}, records)


def test_without_a_past_the_order_of_work_is_that_of_steps_and_lengths(config: Callable[..., Config]) -> None:
    asked = (["train.epochs=2"], ["train.epochs=4"], ["train.epochs=2", "train.max_length=512"], ["train.max_steps=1"], ["method=none"])
    works = [cost.work for cost in trial_costs(planned(*(config("model=tiny", *one) for one in asked)), History(None))]
    usual, longer, shorter, least, base = works
    assert (longer, shorter) == (2 * usual, usual / 2)
    assert 0 < least < shorter
    assert base == 0


def test_earlier_runs_tell_tokens_and_what_is_the_same_for_all_is_guessed_where_one_is_unknown(config: Callable[..., Config]) -> None:
    one = config("model=tiny")
    trials = planned(one, one)
    known = trial_costs(trials, history(trials, WORK, replace(WORK, steps=None, epochs=2.0), records=(RECORD,)))
    assert [cost.work for cost in known] == [100 * 8 * 50, 2 * 400 * 50]
    assert [cost.tokens_a_step for cost in known] == [400, 400]
    # Nobody has run the second one's model: its examples cannot be held against those of the first.
    mixed = trial_costs(trials, history(trials, WORK, replace(WORK, model="n"), records=(RECORD,)))
    assert [cost.work for cost in mixed] == [100 * 8 * one.train.max_length] * 2
    assert [cost.tokens_a_step for cost in mixed] == [None, None]


def test_a_slot_weighs_by_its_rank_and_optimizer_and_says_why_it_is_alone(config: Callable[..., Config]) -> None:
    configs = [config(QWEN, "lora.r=16"), config(QWEN, "lora.r=32"), config(QWEN, "lora.r=16", "optim.name=adamw_8bit")]
    usual, twice, small = trial_costs(planned(*configs), History(None))
    assert twice.state_bytes == 2 * usual.state_bytes
    assert small.state_bytes == usual.state_bytes * 10 / 16
    # QLoRA's own count of a 7B model's adapter at r=16 on all projections: 40 million.
    assert usual.state_bytes == pytest.approx(40.4e6 * 16, rel=0.01)
    (full,) = trial_costs(planned(config(QWEN, "method=full"), base=None), History(None))
    assert (full.base, full.state_bytes, full.reason) == (None, 0, "method=full changes the base model")
    (brief,) = trial_costs(planned(config("model=tiny", "engine=noop"), base=None), History(None))
    assert (brief.brief, brief.work, brief.reason) == (True, 1.0, None)


def test_a_base_kept_in_16_bits_counts_where_it_is_asked_for(config: Callable[..., Config]) -> None:
    needs = {how: planned(config(QWEN, "method=qlora", f"model.cache_dequantized={how}")) for how in ("auto", "true", "false")}
    auto, always, never = (shared_bytes(trials, {}, gpu=True)["x"] for trials in needs.values())
    assert auto == never
    assert always - never == pytest.approx(KNOWN_LAYER_SIZES["Qwen/Qwen2.5-7B-Instruct"].projected * 1.5, rel=0.1)


def test_a_gpu_bears_as_many_slots_as_the_shared_base_and_row_leave_room_for(config: Callable[..., Config]) -> None:
    trials = planned(*[config(QWEN, "method=qlora", "lora.r=64", "bundle.size=16")] * 16)
    costs = trial_costs(trials, History(None))
    assert slot_bytes(trials, costs, None, {}, gpu=True) == {}
    needs = shared_bytes(trials, {}, gpu=True)["x"]
    assert 4 * GIB < needs < 40 * GIB
    bears = {gb: slot_bytes(trials, costs, gb, {}, gpu=True)["x"] for gb in (24, 48, 141)}
    assert 0 <= bears[24] < bears[48] < bears[141] == int(141 * 0.9 * GIB) - needs
    for gb in (48, 141):
        for task in plan(costs, Terms(size=16, tasks_at_once=99, slot_bytes={"x": bears[gb]})):
            shared = sharing([task], trials, {}, gpu=True).memory_gb
            assert shared is not None
            assert shared <= gb


def test_where_memory_is_scarce_what_recomputing_saves_counts(config: Callable[..., Config]) -> None:
    auto, never = (planned(config(QWEN, "method=qlora", f"train.gradient_checkpointing={how}")) for how in ("auto", "false"))
    usual, least = (shared_bytes(auto, {}, gpu=True, checkpointing=twice)["x"] for twice in (False, True))
    assert least < usual
    scarce = (usual / GIB - 0.1) / 0.9
    assert slot_bytes(auto, trial_costs(auto, History(None)), scarce, {}, gpu=True)["x"] > 0
    assert slot_bytes(never, trial_costs(never, History(None)), scarce, {}, gpu=True)["x"] == 0


@pytest.mark.parametrize(
    ("speeds", "enough"),
    [
        (((512, 1000.0),), 512),
        (((512, 1000.0), (1024, 1900.0)), 1024),
        (((512, 1000.0), (1024, 1900.0), (4096, 1950.0)), 1024),
        (((512, 1000.0), (1024, 990.0)), 512),
    ],
)
def test_the_shortest_row_that_is_as_fast_as_longer_ones_is_enough(speeds: tuple[tuple[int, float], ...], enough: int) -> None:
    assert enough_tokens(speeds) == enough


def probed(*speeds: tuple[int, float], trials: int = 8, resident: int = 0, a_token: float = 0.0) -> RunRecord:
    return replace(RECORD, bundle=Bundle(trials, 16384, None, None, 10**12, Probe(trials, speeds, resident, a_token)))


def test_a_base_is_as_busy_as_records_of_the_same_base_tell(config: Callable[..., Config]) -> None:
    trials = planned(config("model=tiny"))
    records = [probed((512, 1000.0), (2048, speed), (8192, 2000.0)) for speed in (2000.0, 1950.0, 1000.0)]
    # One length alone says nothing.
    records += [probed((100, 1.0))] * 5
    assert saturation_tokens(records_of(trials, history(trials, WORK), [RECORD, *records])) == {"x": 2048}
    assert saturation_tokens(records_of(trials, history(trials, replace(WORK, base="another")), records)) == {}
    assert saturation_tokens(records_of(trials, History(None), records)) == {}


def test_where_rows_grew_the_memory_of_those_planned_counts(config: Callable[..., Config]) -> None:
    trials = planned(config(QWEN, "method=qlora", "lora.r=16"))
    (cost,) = trial_costs(trials, History(None))
    lora, optim = trials[0].config.lora, trials[0].config.optim
    record = replace(probed((512, 1.0), trials=4, resident=20 * GIB, a_token=1e6), slot=(16, tuple(lora.target_modules), optim.name))
    assert shared_bytes(trials, {"x": [record]}, gpu=True)["x"] == 20 * GIB + 2048 * 10**6 - 4 * cost.state_bytes


def test_what_was_measured_of_a_bundle_comes_before_what_is_estimated(config: Callable[..., Config]) -> None:
    trials = planned(config(QWEN, "method=qlora", "lora.r=64"))
    targets, row = tuple(trials[0].config.lora.target_modules), 2048
    shape = KNOWN_LAYER_SIZES["Qwen/Qwen2.5-7B-Instruct"]

    def after(r: int, gb: float, row_tokens: int = row) -> int:
        one = replace(RECORD, slot=(r, targets, "adamw_torch"), bundle=Bundle(4, row_tokens, None, None, int(gb * GIB)))
        return shared_bytes(trials, {"x": [RECORD, one]}, gpu=True)["x"]

    state = training_memory_estimate.slot_bytes(shape, r=16, target_modules=targets, optimizer="adamw_torch")
    assert after(16, 12.0) == 12 * GIB - 4 * state
    # Another row, or a peak that such trials alone would fill: the estimate stands.
    assert after(16, 12.0, row_tokens=4 * row) == after(16, 0.5) == shared_bytes(trials, {}, gpu=True)["x"]


def test_the_estimate_gets_the_tasks_and_the_neediest_bundle(config: Callable[..., Config]) -> None:
    trials = [
        *planned(*(config(QWEN, "method=qlora", f"lora.r={r}") for r in (8, 8, 64))),
        PlannedTrial("f/seals/0.json", None, config("method=full")),
    ]
    costs = trial_costs(trials, History(None))
    tasks = plan(costs, Terms(size=2, tasks_at_once=9))
    shared = sharing(tasks, trials, {}, gpu=True)
    assert (shared.tasks, shared.bundles) == (3, 2)
    assert [one.method.name for one in shared.alone] == ["full"]
    neediest = training_memory_estimate.slot_bytes(
        KNOWN_LAYER_SIZES["Qwen/Qwen2.5-7B-Instruct"], r=64, target_modules=trials[0].config.lora.target_modules, optimizer="adamw_torch"
    )
    assert shared.memory_gb is not None
    assert shared.memory_gb * GIB > shared_bytes(trials, {}, gpu=True)["x"] + neediest


def test_a_model_of_unknown_size_bounds_nothing(config: Callable[..., Config], tmp_path: Path) -> None:
    one = config("model=tiny")
    trials = planned(replace(one, model=replace(one.model, source="path", location=str(tmp_path / "absent"))))
    costs = trial_costs(trials, History(None))
    assert (costs[0].state_bytes, slot_bytes(trials, costs, 1.0, {}, gpu=True)) == (0, {})
    assert sharing([Task(tuple(costs))], trials, {}, gpu=True).memory_gb is None
