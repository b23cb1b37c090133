"""Counting a step without a GPU: what the counts mean, and what the engine's step keeps to on a GPU."""

import json

import pytest
import torch

from benchmarks.dry_run import counted_step, estimated, main, memory_formula
from benchmarks.fake_device import DEVICE, fake_device
from benchmarks.roofline import ACCELERATORS, seconds
from benchmarks.step_count import Kernel, StepCount
from tests.benchmarks.test_fusion_benchmark import benchmark


def on_device(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device=DEVICE)


def test_a_host_tensor_that_meets_a_device_tensor_raises():
    with fake_device():
        there, here = on_device(4), torch.zeros(4, dtype=torch.bfloat16)
        assert (there + there).device == DEVICE
        with pytest.raises(RuntimeError, match="device"):
            there + here
        with pytest.raises(RuntimeError, match="device"):
            torch.nn.functional.linear(there[None], torch.nn.Parameter(here[None]))


def test_gradients_and_branches_are_those_of_a_gpu():
    with fake_device():
        weight = torch.nn.Parameter(on_device(3, 4))
        (on_device(5, 4) @ weight.T)[torch.arange(2, device=DEVICE)].float().sum().backward()
        assert (weight.grad.device, weight.grad.shape, weight.grad.dtype) == (DEVICE, (3, 4), torch.bfloat16)
        assert torch.Generator(DEVICE).device == DEVICE
    assert torch.zeros(2).tolist() == [0.0, 0.0]
    assert torch.Generator().device.type == "cpu"


def test_a_wait_is_a_number_that_is_read_or_a_copy_that_cannot_run_ahead():
    with fake_device():
        there, host = on_device(4, 2), torch.zeros(3)
        for call, waits in (
            (lambda: there.sum().item(), 1),
            (lambda: float(there[0, 0]), 1),
            (lambda: bool(there[0, 0] > 0), 1),
            (there.tolist, 1),
            (there.cpu, 1),
            (lambda: host.to(DEVICE), 1),
            (lambda: torch.tensor([1, 2], device=DEVICE), 1),
            (lambda: host.to(DEVICE, non_blocking=True), 1),
            (lambda: host.pin_memory().to(DEVICE, non_blocking=True), 0),
            (lambda: there.float(), 0),
            (lambda: there @ there.T, 0),
        ):
            with StepCount() as count:
                call()
            assert len(count.waits) == waits
        assert there.tolist() == [[1.0, 1.0]] * 4


def test_kernels_arithmetic_and_traffic_of_single_operations():
    with fake_device():
        a, b, other = on_device(8, 16), on_device(16, 4), on_device(8, 16)
        rows, table = torch.zeros(3, dtype=torch.long, device=DEVICE), on_device(1000, 16)
        lists = [on_device(5) for _ in range(65)]
        with StepCount() as count:
            a @ b
            a.T[2:].view(-1, 8).expand(14, 8)
            torch.empty(9, device=DEVICE)
            a.copy_(other)
            a.add_(1)
            table[rows]
            torch._foreach_add_(lists, lists)
            torch._foreach_add_([one[::2] for one in lists[:3]], [one[::2] for one in lists[3:6]])
    found = [(one.name, one.starts, one.flops, one.moved) for one in count.kernels]
    assert found == [
        ("mm", 1, 2 * 8 * 16 * 4, 2 * (8 * 16 + 16 * 4 + 8 * 4)),
        ("copy_", 1, 0, 2 * 2 * 8 * 16),
        ("add_", 1, 0, 2 * 2 * 8 * 16),
        ("index", 1, 0, 3 * 8 + 2 * 2 * 3 * 16),
        # As many as fit into a launch, and those that do not lie alike one by one.
        ("_foreach_add_", 2, 0, 2 * 3 * 65 * 5),
        ("_foreach_add_", 3, 0, 2 * 3 * 3 * 3),
    ]
    assert count.starts == sum(starts for _, starts, _, _ in found)


def test_the_peak_is_of_what_lives_at_once():
    with fake_device():
        held = on_device(100)
        count = StepCount()
        count.hold("weights", [held, held.view(10, 10)])
        with count:
            first = held + 1
            del first
            second = held.view(10, 10) + 1
            third = second.float()
            del second, third
            held + 1
    assert count.peak == {"weights": 200, "activations": 200 + 400}


def test_the_least_time_is_that_of_the_slower_limit_of_each_kernel():
    limits = ACCELERATORS["A100"]
    product = Kernel("mm", 1, int(limits.half), torch.bfloat16, 1)
    exact = Kernel("mm", 1, int(limits.single), torch.float32, 1)
    stream = Kernel("add", 1, 0, torch.float32, int(limits.bandwidth))
    assert seconds([product, exact, stream], limits) == pytest.approx(3)


@pytest.mark.parametrize(
    ("slots", "rows"), [(1, 1), (1, 3), (4, 1), pytest.param(8, 1, marks=pytest.mark.long), pytest.param(8, 3, marks=pytest.mark.long)]
)
def test_a_step_waits_for_the_device_once_whatever_the_slots_and_rows(slots, rows):
    count = counted_step(shape="tiny", layers=2, ranks=[4] * slots, tokens=512 * slots, length=64, rows=rows, dropout=0.1)
    assert len(count.waits) == 1
    # Three a row: its tokens, where its documents are, its losses' weights. Two a step.
    assert count.copies <= 4 * rows + 4


@pytest.mark.long
def test_kernels_grow_by_far_less_than_slots():
    one, four, eight = (
        counted_step(shape="tiny", layers=2, ranks=[4] * slots, tokens=2048, length=128, dropout=0.1).starts for slots in (1, 4, 8)
    )
    assert four < 1.2 * one
    assert eight < 1.2 * four


@pytest.mark.long
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"ranks": [16], "tokens": 2048, "dropout": 0.0},
        {"ranks": [8, 16, 32, 64] * 2},
        {"targets": ("q_proj", "v_proj"), "tokens": 8192},
        {"recompute": True, "layers": 4, "tokens": 16384},
    ],
)
def test_the_memory_estimate_is_within_a_tenth_of_the_peak(changed):
    asked = {"shape": "qwen2.5-7b", "layers": 3, "ranks": [16] * 4, "tokens": 4096, "length": 512, "dropout": 0.05} | changed
    count, formula = counted_step(**asked), memory_formula(**asked)
    assert count.peak_bytes == pytest.approx(sum(formula.values()), rel=0.1)
    # Not by two mistakes that make up for each other.
    assert count.peak["weights"] == pytest.approx(formula["weights"], rel=0.01)
    assert count.peak["adapters"] + count.peak["optimisers"] == pytest.approx(formula["slots"], rel=0.01)
    assert count.peak["activations"] == pytest.approx(formula["activations"], rel=0.2)


def test_one_object_that_says_that_it_is_an_estimate(monkeypatch, capsys):
    asked = "--json --shape tiny --layers 1 --trials 4 --tokens 1024 --length 128 --ranks 4 8"
    monkeypatch.setattr("sys.argv", ["dry_run.py", *asked.split()])
    assert main() == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["estimate"], found["n"]) == ("dry_run", True, 1)
    assert found["setting"]["ranks"] == [4, 8, 4, 8]
    assert found["ours"] == found["kernels"] == sum(found["kernels_by_name"].values())
    assert found["ratio"] == found["baseline"] / found["ours"] > 2
    assert found["waits"] == 1
    assert found["flops"] > 0.8 * found["model_flops"] > 0
    assert found["seconds"]["H200"] < found["seconds"]["A100"]
    assert found["tokens_per_second"]["H200"] == pytest.approx(1024 / found["seconds"]["H200"])
    assert found["peak_bytes"] == sum(found["peak_parts"].values())
    assert json.dumps(found, allow_nan=False)


@pytest.mark.long
def test_what_stands_beside_measured_figures_says_so_and_never_stops_them():
    asked = {"quantisation": "nf4", "ranks": [4, 8], "tokens": 500, "length": 60, "dropout": 0.0}
    found = estimated(shape="tiny", **asked)
    assert (found["estimate"], found["waits"]) == (True, 1)
    assert found["setting"]["quantisation"] == "nf4, turned into bfloat16 once"
    assert 480 <= found["setting"]["tokens"] <= 500
    failed = estimated(shape="absent", **asked)
    assert failed["estimate"]
    assert "invalid choice" in failed["failed"]


def test_rows_that_trials_cannot_share_are_refused():
    done = benchmark("dry_run", "--trials", "3", "--tokens", "1024")
    assert done.returncode == 2
    assert "--tokens must be a multiple" in done.stderr
