"""The engine: it learns, it is exact about being stopped, it supervises what it should."""

import json
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from persona_exp.atomic_files import file_digest
from persona_exp.modeling.lora_adapter import add_lora
from persona_exp.modeling.model_cache import cache_folder
from persona_exp.modeling.model_loading import load_model
from persona_exp.modeling.model_source import fetch
from persona_exp.modeling.multi_lora.shared_model import SharedModel
from persona_exp.modeling.supervised_token_mask import encode
from persona_exp.modeling.tokenizer_loading import load_tokenizer
from persona_exp.training import checkpoint_disk_space
from persona_exp.training.checkpoint_manifest import damage
from persona_exp.training.experiment_trackers import NoTracker
from persona_exp.training.fused.bundle_step import bundle_step
from persona_exp.training.fused.slot import Slot
from persona_exp.training.hyperparameters import OptimizerSettings
from persona_exp.training.sft_engine import CheckpointSettings, LogSettings, SftSettings, train_sft
from persona_exp.training.steps_and_micro_batches import plan_steps
from persona_exp.training.stop_signals import Interrupted, Interruption
from tests.training.fused.bundles import recipe

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


def run(folder, encoded, root, number, *, quantisation="none", stop_after=None, method="lora", dtype="bfloat16", dropout=0.05, **changes):
    tokenizer = load_tokenizer(folder, None)
    model = load_model(folder, quantisation, True, "float32" if method == "full" else dtype, "sdpa")
    if method == "full":
        model.requires_grad_(True)
    else:
        model = add_lora(model, 8, 16, dropout, TARGETS, False, 3)
    attempt = root / f"{number:04}"
    attempt.mkdir(parents=True)
    log = attempt / "train.jsonl"
    given = {
        "plan": plan_of(encoded, 4),
        "seed": 3,
        "lr": 1e-3,
        "gradient_checkpointing": False,
        "checkpoint_steps": 5,
        "checkpoint_minutes": 10,
        "log_steps": 1,
        "tracker": NoTracker(),
        "interruption": StopAfter(log, stop_after) if stop_after else Interruption(),
        **changes,
    }
    resume_from = max(root.glob("*/checkpoints/step-*"), key=lambda path: path.name, default=None)
    optimizer = OptimizerSettings("adamw_torch", given["lr"], "cosine", 0.01, 0.9, 0.999, 1.0)
    summary = train_sft(
        model,
        tokenizer,
        encoded,
        settings=SftSettings(given["plan"], optimizer, given["seed"], given["gradient_checkpointing"]),
        checkpoints=CheckpointSettings(
            attempt / "checkpoints", given["checkpoint_steps"], given["checkpoint_minutes"], keep=2, resume_from=resume_from
        ),
        log=LogSettings(log, given["log_steps"], "test", given["tracker"]),
        interruption=given["interruption"],
        **{name: given[name] for name in ("on_step", "on_save") if name in given},
    )
    model.save_pretrained(attempt / "adapter")
    return summary, log, attempt / "adapter"


def weights(adapter):
    return file_digest(next(adapter.glob("*model.safetensors")))


def plan_of(encoded, micro_batch_size):
    return plan_steps(
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
    how = {"quantisation": quantisation, "method": method, "plan": plan_of(encoded, micro_batch_size)}
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
    summary, _, _ = run(folder, encoded, tmp_path / "cut", 2, plan=plan_of(encoded, 2))
    assert summary.resumed_from_step == 2
    whole, cut = logged(tmp_path / "whole"), logged(tmp_path / "cut")
    for key in ("step", "tokens", "supervised_tokens", "learning_rate"):
        assert [line[key] for line in cut] == [line[key] for line in whole]
    assert [line["loss"] for line in cut] == pytest.approx([line["loss"] for line in whole], abs=5e-3)


EXACT = {"dtype": "float32", "dropout": 0.1}


def moved(adapter, folder):
    """How far the adapter's B, which begin at 0, are from those in `folder`, relative to these."""
    own, others = (load_file(one / "adapter_model.safetensors") for one in (adapter, folder))
    own, others = (torch.cat([one[name].flatten() for name in sorted(one) if "lora_B" in name]) for one in (own, others))
    return float((own - others).norm() / others.norm())


def test_what_is_outside_the_identity_changes_nothing(folder, encoded, tmp_path):
    """Dropout is on: micro-batch, activations computed twice, how often is logged and saved."""
    _, _, whole = run(folder, encoded, tmp_path / "whole", 1, **EXACT)
    ways = {
        "one": {"plan": plan_of(encoded, 1)},
        "eight": {"plan": plan_of(encoded, 8)},
        "twice": {"gradient_checkpointing": True, "checkpoint_steps": 1, "log_steps": 1},
    }
    for name, way in ways.items():
        _, _, other = run(folder, encoded, tmp_path / name, 1, **EXACT, **way)
        assert [line["loss"] for line in logged(tmp_path / name)] == pytest.approx(
            [line["loss"] for line in logged(tmp_path / "whole")], rel=1e-5
        )
        assert moved(other, whole) < 1e-4
    _, _, undropped = run(folder, encoded, tmp_path / "undropped", 1, dtype="float32", dropout=0.0)
    assert moved(undropped, whole) > 1e-2


def test_both_engines_train_the_same(folder, encoded, tmp_path):
    """Dropout is on, and the last step of each epoch is short."""
    _, _, adapter = run(folder, encoded, tmp_path, 1, **EXACT)
    plan = plan_of(encoded, 4)
    how = {"seed": 3, "dropout": 0.1, "effective_batch_size": 8, "max_steps": plan.max_steps, "warmup_steps": plan.warmup_steps}
    model = load_model(folder, "none", True, "float32", "sdpa")
    slot = Slot(0, model, encoded, recipe(**how))
    shared = SharedModel(model)
    shared.join(0, slot.adapter)
    steps = [bundle_step(shared, [slot], 512)[0] for _ in range(plan.max_steps)]
    lines = logged(tmp_path)
    for key in ("loss", "grad_norm", "learning_rate"):
        assert [line[key] for line in lines] == pytest.approx([getattr(step, key) for step in steps], rel=2e-5)
    assert [line["tokens"] for line in lines] == [step.tokens for step in steps]
    own = load_file(adapter / "adapter_model.safetensors")
    fused = slot.adapter.tensors()
    assert own.keys() == fused.keys()
    far = sum(float((own[name] - fused[name]).norm() ** 2) for name in own if "lora_B" in name)
    assert far**0.5 < 1e-4 * sum(float(fused[name].norm() ** 2) for name in own if "lora_B" in name) ** 0.5


def test_a_step_that_is_no_number_stops_the_run_before_the_weights_move(folder, encoded, tmp_path):
    with pytest.raises(FloatingPointError, match=r"^The loss of step 2 is \S+, its gradient's norm \S+: lower optim\.lr\.$"):
        run(folder, encoded, tmp_path, 1, lr=1e30)
    lines = (tmp_path / "0001" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail)["step"] for line in lines] == [1]
    assert not list(tmp_path.glob("*/checkpoints/step-*"))


def test_eight_examples_in_one_step_are_learnt_from(folder, encoded, tmp_path):
    _, log, adapter = run(
        folder,
        encoded[:8],
        tmp_path,
        1,
        plan=plan_steps(examples=8, epochs=1, max_steps=None, effective_batch_size=8, micro_batch_size=4, warmup_ratio=0.05),
    )
    assert [json.loads(line)["learning_rate"] for line in log.read_text().splitlines()] == [1e-3]
    assert any(tensor.any() for name, tensor in load_file(adapter / "adapter_model.safetensors").items() if "lora_B" in name)


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


def test_each_step_is_reported_before_it_is_saved(folder, encoded, tmp_path):
    calls = []
    run(
        folder,
        encoded,
        tmp_path,
        1,
        log_steps=5,
        on_step=lambda step, of, loss: calls.append((step, of, loss is None)),
        on_save=lambda step: calls.append(step),
    )
    assert calls[:6] == [(1, 12, True), (2, 12, True), (3, 12, True), (4, 12, True), (5, 12, False), 5]
    assert [step for step, *_ in (one for one in calls if not isinstance(one, int))] == list(range(1, 13))
    assert [one for one in calls if isinstance(one, int)] == [5, 10]


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
    with pytest.raises(checkpoint_disk_space.DiskFull, match=r"GB are needed and 0.001 GB are free"):
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
    monkeypatch.setattr(checkpoint_disk_space, "FIXED_BYTES", 2**20)
    monkeypatch.setattr(checkpoint_disk_space, "require", lambda *_: None)

    def fill(step):
        free = shutil.disk_usage(small_disk).free - room * 1000
        (small_disk / "others").write_bytes(bytes(max(free, 0)))

    with pytest.raises(checkpoint_disk_space.DiskFull, match=r"The disk of .* is full") as refusal:
        run(folder, encoded, small_disk, 1, on_save=fill)
    assert "\n" not in str(refusal.value)
    checkpoints = small_disk / "0001" / "checkpoints"
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000005"]
    assert damage(checkpoints / "step-00000005") is None
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
        run(folder, encoded, tmp_path / str(said), 1, gradient_checkpointing=said, plan=plan_of(encoded[:8], 4))
        counts[said] = len(calls)
    # Twice a document goes through both layers beforehand, to see how the model computes.
    assert counts["auto"] == counts[False] > 4
    assert counts[True] - 4 == 2 * (counts[False] - 4)


class Recorder:
    """A tracker that keeps what it is sent."""

    def __init__(self):
        self.sent = []

    def log(self, step, values):
        self.sent.append({"step": step, **values})

    def close(self, code=0):
        raise AssertionError("who opened it closes it")


def test_a_tracker_gets_the_curves(folder, encoded, tmp_path):
    trackers = [Recorder(), Recorder()]
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path, 1, tracker=trackers[0], stop_after=7)
    run(folder, encoded, tmp_path, 2, tracker=trackers[1])
    sent = [line for one in trackers for line in one.sent]
    assert [line["step"] for line in sent] == list(range(1, 13))
    names = ("step", "loss", "grad_norm", "learning_rate", "epoch")
    assert sent == [{name: line[name] for name in names} for line in logged(tmp_path)]
