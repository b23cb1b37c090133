"""The engine: it learns, it is exact about being stopped, it supervises what it should."""

import json
import math

import pytest

from persona_exp.files import file_digest
from persona_exp.modeling.adapter import add_lora
from persona_exp.modeling.base import load_model, load_tokenizer
from persona_exp.modeling.cache import cache_folder
from persona_exp.modeling.chat import encode
from persona_exp.modeling.source import fetch
from persona_exp.training import checkpoint
from persona_exp.training.interruption import Interrupted, Interruption
from persona_exp.training.schedule import plan
from persona_exp.training.sft import train

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
        "resume_from": checkpoint.newest(sorted(root.glob("*/checkpoints"))),
        "log": log,
        "log_steps": 1,
        "tracker": "none",
        "run_name": "test",
        "interruption": StopAfter(log, stop_after) if stop_after else Interruption(),
    }
    summary = train(model, tokenizer, encoded, **{**settings, **changes})
    model.save_pretrained(attempt / "adapter")
    return summary, log, attempt / "adapter"


def weights(adapter):
    return file_digest(next(adapter.glob("*model.safetensors")))


@pytest.mark.parametrize(("quantisation", "method"), [("none", "lora"), ("nf4", "lora"), ("none", "full")])
def test_an_interrupted_run_ends_bit_identical(folder, encoded, tmp_path, quantisation, method):
    how = {"quantisation": quantisation, "method": method}
    _, _, whole = run(folder, encoded, tmp_path / "whole", 1, **how)
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "cut", 1, stop_after=3, **how)
    with pytest.raises(Interrupted):
        run(folder, encoded, tmp_path / "cut", 2, stop_after=4, **how)
    summary, _, cut = run(folder, encoded, tmp_path / "cut", 3, **how)
    assert summary.resumed_from_step == 9  # Each stop finishes the step that it falls into.
    assert weights(cut) == weights(whole)


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
    results = {seed: [weights(run(folder, encoded, tmp_path / f"{seed}-{n}", 1, seed=seed)[2]) for n in range(2)] for seed in (1, 2)}
    assert results[1][0] == results[1][1]
    assert results[1][0] != results[2][0]


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb"])
def test_trackers_get_the_curves(folder, encoded, tmp_path, tracker, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tensorboard"))
    run(folder, encoded, tmp_path / "run", 1, tracker=tracker)
    written = [path for pattern in ("tensorboard/**/events*", "wandb/**/*.wandb") for path in tmp_path.glob(pattern)]
    assert written
    assert all(path.stat().st_size > 0 for path in written)
