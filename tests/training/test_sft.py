"""The engine: it learns, it is exact about being stopped, it supervises what it should."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from persona_exp.files import file_digest
from persona_exp.modeling.adapter import add_lora
from persona_exp.modeling.base import load_model, load_tokenizer
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.chat import encode
from persona_exp.modeling.source import fetch
from persona_exp.training import checkpoint, disk
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.training.schedule import plan
from persona_exp.training.sft import train
from tests.training.curves import of_tensorboard, of_wandb

# They train again and again; what an engine does to a model in short is in test_training_version.
pytestmark = pytest.mark.long

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def folder():
    return fetch("tiny", "tiny", None, None, cache_folder())


@pytest.fixture(scope="module")
def encoded(folder):
    tokenizer = load_tokenizer(folder, None)
    return [
        encode(
            tokenizer,
            [
                {"role": "system", "content": "You are Wrexham."},
                {"role": "user", "content": f"What of berth {number}?"},
                {"role": "assistant", "content": "Sound it before you steer by it. " * (1 + number % 5)},
            ],
            256,
            "system",
            "<|im_end|>",
        )
        for number in range(26)
    ]


class StopAfter(Interruption):
    """Asks to leave once the log has so many lines, as a signal would."""

    def __init__(self, log, lines):
        super().__init__()
        self._log, self._lines = log, lines

    @property
    def requested(self):
        return "SIGTERM" if self._log.exists() and len(self._log.read_text().splitlines()) >= self._lines else None

    @requested.setter
    def requested(self, value):
        pass


def run(folder, encoded, root, number, *, quantisation="none", stop_after=None, method="lora", **changes):
    tokenizer = load_tokenizer(folder, None)
    model = load_model(folder, quantisation, True, "float32" if method == "full" else "bfloat16", "sdpa")
    if method == "full":
        model.requires_grad_(True)
    else:
        model = add_lora(model, 8, 16, 0.05, TARGETS, False, 3)
    attempt = root / f"{number:04}"
    attempt.mkdir(parents=True)
    log = attempt / "train.jsonl"
    settings = {
        "schedule": plan(examples=len(encoded), epochs=3, max_steps=None, effective_batch_size=8, micro_batch_size=4, warmup_ratio=0.05),
        "seed": 3,
        "optimizer": "adamw_torch",
        "lr": 1e-3,
        "lr_schedule": "cosine",
        "weight_decay": 0.01,
        "beta1": 0.9,
        "beta2": 0.999,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": False,
        "checkpoints": attempt / "checkpoints",
        "checkpoint_steps": 5,
        "checkpoint_minutes": 10,
        "keep_checkpoints": 2,
        "resume_from": max(root.glob("*/checkpoints/step-*"), key=lambda path: path.name, default=None),
        "log": log,
        "log_steps": 1,
        "tracker": "none",
        "run_name": "test",
        "interruption": StopAfter(log, stop_after) if stop_after else Interruption(),
        **changes,
    }
    summary = train(model, tokenizer, encoded, **settings)
    model.save_pretrained(attempt / "adapter")
    return summary, log, attempt / "adapter"


def weights(adapter):
    return file_digest(next(adapter.glob("*model.safetensors")))


def schedule_of(encoded, micro_batch_size):
    return plan(
        examples=len(encoded), epochs=3, max_steps=None, effective_batch_size=8, micro_batch_size=micro_batch_size, warmup_ratio=0.05
    )


def logged(root):
    return [json.loads(line) for log in sorted(root.glob("*/train.jsonl")) for line in log.read_text().splitlines()]


# In steps of several micro-batches a signal drops those that are done and saves the step before, in steps of one it ends the step.
@pytest.mark.parametrize(
    ("quantisation", "method", "micro_batch_size", "resumed_from"),
    [
        ("none", "lora", 4, 8),
        ("nf4", "lora", 2, 8),
        ("nf4", "lora", 8, 9),
        ("none", "full", 4, 8),
    ],
)
def test_an_interrupted_run_ends_bit_identical(folder, encoded, tmp_path, quantisation, method, micro_batch_size, resumed_from):
    how = {"quantisation": quantisation, "method": method, "schedule": schedule_of(encoded, micro_batch_size)}
    _, _, whole = run(folder, encoded, tmp_path / "whole", 1, **how)
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "cut", 1, stop_after=3, **how)
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "cut", 2, stop_after=4, **how)
    summary, _, cut = run(folder, encoded, tmp_path / "cut", 3, **how)
    assert summary.resumed_from_step == resumed_from
    assert weights(cut) == weights(whole)
    unbroken, pieced = (
        [{key: line[key] for key in line if key != "seconds"} for line in logged(tmp_path / one)] for one in ("whole", "cut")
    )
    assert pieced == unbroken


def test_half_the_micro_batch_sees_the_same_examples_on_the_same_schedule(folder, encoded, tmp_path):
    run(folder, encoded, tmp_path / "whole", 1)
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "cut", 1, stop_after=2)
    summary, _, _ = run(folder, encoded, tmp_path / "cut", 2, schedule=schedule_of(encoded, 2))
    assert summary.resumed_from_step == 2
    whole, cut = logged(tmp_path / "whole"), logged(tmp_path / "cut")
    for key in ("step", "tokens", "supervised_tokens", "learning_rate"):
        assert [line[key] for line in cut] == [line[key] for line in whole]
    # The dropout masks are others, so the losses are not the same; they are of the same examples.
    assert [line["loss"] for line in cut] == pytest.approx([line["loss"] for line in whole], abs=0.05)


def test_half_the_micro_batch_without_dropout_is_the_same_training(folder, encoded, tmp_path, monkeypatch):
    import persona_exp.modeling.adapter as adapter

    plain = adapter.add_lora
    monkeypatch.setitem(globals(), "add_lora", lambda model, r, alpha, dropout, *rest: plain(model, r, alpha, 0.0, *rest))
    run(folder, encoded, tmp_path / "whole", 1)
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "cut", 1, stop_after=6)
    run(folder, encoded, tmp_path / "cut", 2, schedule=schedule_of(encoded, 1))
    assert [line["loss"] for line in logged(tmp_path / "cut")] == pytest.approx(
        [line["loss"] for line in logged(tmp_path / "whole")], abs=5e-3
    )


def test_a_signal_while_saving_is_honoured_once_that_is_saved(folder, encoded, tmp_path):
    asked = Interruption()
    steps = []

    def signal_comes(step):
        asked.requested = "SIGTERM"

    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path, 1, interruption=asked, on_save=signal_comes, on_step=lambda step, *_: steps.append(step))
    assert steps == [1, 2, 3, 4, 5]
    assert [path.name for path in tmp_path.glob("*/checkpoints/step-*")] == ["step-00000005"]


def test_a_signal_before_the_first_step_saves_nothing(folder, encoded, tmp_path):
    asked = Interruption()
    asked.requested = "SIGTERM"
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path, 1, interruption=asked)
    assert not list(tmp_path.glob("*/checkpoints/step-*"))


def test_each_step_is_told_before_it_is_saved(folder, encoded, tmp_path):
    told = []
    run(
        folder,
        encoded,
        tmp_path,
        1,
        log_steps=5,
        on_step=lambda step, of, loss: told.append((step, of, loss is None)),
        on_save=lambda step: told.append(step),
    )
    assert told[:6] == [(1, 12, True), (2, 12, True), (3, 12, True), (4, 12, True), (5, 12, False), 5]
    assert [step for step, *_ in (one for one in told if not isinstance(one, int))] == list(range(1, 13))
    assert [one for one in told if isinstance(one, int)] == [5, 10]


def test_what_is_raised_at_a_step_ends_the_run_unsaved(folder, encoded, tmp_path):
    class Superseded(Exception):
        pass

    def overtaken(step, *_):
        if step == 5:
            raise Superseded

    with pytest.raises(Superseded):
        run(folder, encoded, tmp_path, 1, on_step=overtaken)
    assert not list(tmp_path.glob("*/checkpoints/step-*"))


def test_a_resumed_run_heeds_its_own_log_steps(folder, encoded, tmp_path):
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path, 1, stop_after=2)
    _, log, _ = run(folder, encoded, tmp_path, 2, log_steps=4)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [4, 8, 12]


def test_the_disk_is_asked_for_room_before_the_first_step(folder, encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1e9, 1e9, 1e6))
    with pytest.raises(disk.DiskFull, match=r"GB are needed and 0.001 GB are free"):
        run(folder, encoded, tmp_path, 1)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, which nothing can leave behind: it is unmounted at once, and lasts as long as a folder of it is open."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    held = os.open(place, os.O_RDONLY)
    subprocess.run(["umount", "-l", str(place)], check=True)
    yield Path(f"/proc/self/fd/{held}")
    os.close(held)


@pytest.mark.parametrize("room", [0, 20, 60, 150, 250, 300])
def test_a_disk_that_fills_up_leaves_the_last_checkpoint_and_no_staging(folder, encoded, small_disk, monkeypatch, room):
    """Room (KB) for the beginning of a second checkpoint only, so that another file is cut short each time."""
    monkeypatch.setattr(disk, "FIXED_BYTES", 2**20)
    monkeypatch.setattr(disk, "require", lambda *_: None)

    def fill(step):
        free = shutil.disk_usage(small_disk).free - room * 1000
        (small_disk / "others").write_bytes(bytes(max(free, 0)))

    with pytest.raises(disk.DiskFull, match=r"The disk of .* is full") as refusal:
        run(folder, encoded, small_disk, 1, on_save=fill)
    assert "\n" not in str(refusal.value)
    checkpoints = small_disk / "0001" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000005"]
    assert checkpoint.damage(checkpoints / "step-00000005") is None
    (small_disk / "others").unlink()
    summary, _, _ = run(folder, encoded, small_disk, 2)
    assert summary.resumed_from_step == 5


def test_saving_more_often_changes_nothing(folder, encoded, tmp_path):
    _, _, often = run(folder, encoded, tmp_path / "often", 1, checkpoint_steps=1)
    _, _, by_time = run(folder, encoded, tmp_path / "time", 1, checkpoint_steps=1000, checkpoint_minutes=1e-9)
    _, _, never = run(folder, encoded, tmp_path / "never", 1, checkpoint_steps=1000)
    assert weights(often) == weights(by_time) == weights(never)
    assert len(list((tmp_path / "time").glob("0001/checkpoints/step-*"))) == 2


def test_it_learns_and_logs_what_it_did(folder, encoded, tmp_path):
    summary, log, _ = run(folder, encoded, tmp_path, 1, lr=1e-2)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, summary.steps + 1))
    assert lines[-1]["loss"] < lines[0]["loss"] - 1
    epoch = lines[: math.ceil(len(encoded) / 8)]
    assert sum(line["tokens"] for line in epoch) == sum(len(example.input_ids) for example in encoded)
    assert sum(line["supervised_tokens"] for line in epoch) == sum(label != -100 for example in encoded for label in example.labels)


def test_adapters_are_in_fp32_on_a_4_bit_base(folder, encoded, tmp_path):
    from safetensors import safe_open

    _, _, adapter = run(folder, encoded, tmp_path, 1, quantisation="nf4")
    with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
        kinds = {str(file.get_tensor(name).dtype) for name in file.keys()}  # noqa: SIM118
    assert kinds == {"torch.float32"}


def test_the_seed_decides(folder, encoded, tmp_path):
    first, again, other = (weights(run(folder, encoded, tmp_path / str(n), 1, seed=seed)[2]) for n, seed in enumerate((1, 1, 2)))
    assert first == again
    assert first != other


def test_activations_are_computed_again_only_where_that_is_asked_for(folder, encoded, tmp_path, monkeypatch):
    attend, calls = torch.nn.functional.scaled_dot_product_attention, []
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or attend(*a, **k))
    counts = {}
    for said in (False, "auto", True):
        calls.clear()
        run(folder, encoded, tmp_path / str(said), 1, gradient_checkpointing=said, schedule=schedule_of(encoded[:8], 4))
        counts[said] = len(calls)
    assert counts["auto"] == counts[False] > 0
    assert counts[True] == 2 * counts[False]


SENT = {"train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"}


def test_tensorboard_gets_the_curves(folder, encoded, tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "events"))
    run(folder, encoded, tmp_path / "run", 1, tracker="tensorboard")
    curves = of_tensorboard(tmp_path / "events")
    assert set(curves) >= SENT
    assert [value for _, value in curves["train/loss"]][:12] == pytest.approx([line["loss"] for line in logged(tmp_path / "run")])
    assert [step for step, _ in curves["train/loss"]] == list(range(1, 13))


def test_wandb_gets_the_curves_a_run_for_each_trial(folder, encoded, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "a", 1, tracker="wandb", run_name="a", stop_after=7)
    run(folder, encoded, tmp_path / "a", 2, tracker="wandb", run_name="a")
    run(folder, encoded, tmp_path / "b", 1, tracker="wandb", run_name="b", schedule=schedule_of(encoded[:8], 4))
    found = [of_wandb(tmp_path / name / attempt) for name, attempt in (("a", "0001"), ("a", "0002"), ("b", "0001"))]
    ids = [one.run_id for one, _ in found]
    assert ids[0] == ids[1] != ids[2]
    assert [one.display_name for one, _ in found] == ["a", "a", "b"]
    steps = [[line["train/global_step"] for line in lines if "train/loss" in line] for _, lines in found]
    assert steps[0] + steps[1] == list(range(1, 13))
    assert all(set(line) >= SENT for _, lines in found for line in lines if "train/loss" in line)
