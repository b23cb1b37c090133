"""A factory of small runs/ folders, written in the form in which trials leave theirs."""

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.seed_aggregation import Row
from analysis.sweep_results import Results, read_results
from analysis.table_rows import build_rows
from persona_exp import training
from persona_exp.evaluation import evaluation_id

DATA_ID = "0da7a0da7a00"

# What the tests hold for this code's versions, so that golden files outlive them.
TRAINING, EVALUATION = 3, 2


@pytest.fixture(autouse=True)
def _versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_id, "EVALUATION_VERSION", EVALUATION)
    monkeypatch.setattr(training, "TRAINING_VERSION", TRAINING)


def trial_id(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


class Runs:
    """Builds one sweep under `root`/runs."""

    def __init__(self, root: Path) -> None:
        self.path = root / "runs"
        # What conf/model says of a model, by its name.
        self.facts: dict[str, dict[str, Any]] = {}

    def items(self, *, level: float, count: int = 40, noise: int = 0, data: str = DATA_ID) -> list[dict[str, Any]]:
        """Replies whose length and difficulty depend on the data alone; `noise` is what one training did to each."""
        text, own = random.Random(f"{data}"), random.Random(f"{data} {noise}")
        made = []
        for number in range(count):
            tokens = text.randint(5, 40)
            nats = tokens * max(0.05, level + text.gauss(0, 0.4) + own.gauss(0, 0.05))
            made.append(
                {
                    "example": f"e{number:03}",
                    "book": "ferry.txt",
                    "chapter": "I",
                    "nats": nats,
                    "tokens": tokens,
                    "correct": tokens // 3,
                    "bytes": tokens * 4,
                    "nats_with_end": nats + 1.0,
                    "tokens_with_end": tokens + 1,
                }
            )
        return made

    def evaluation(
        self, name: str, condition: str, items: list[dict[str, Any]], *, split: str = "test", overlap: float = 0.1, **changes: int
    ) -> dict[str, str]:
        """Publish one; `changes` are to its settings or counts."""
        nats, tokens, size = (sum(item[key] for item in items) for key in ("nats", "tokens", "bytes"))
        settings = {
            "likelihood_items": 100,
            "generated_items": 24,
            "max_new_tokens": 64,
            "batch_size": 8,
            "system_prompt": condition != "base",
            "EVALUATION_VERSION": EVALUATION,
        }
        counts = {"scored_items": len(items), "spoken_items": 24, "cut_replies": 0, "shortened_prompts": 0, "wordless_replies": 0}
        counts["skipped_items"] = 0
        for key, value in changes.items():
            (counts if key in (*counts, "truncated_replies", "looping_replies") else settings)[key] = value
        values = {
            "perplexity": (math.exp(nats / tokens), tokens, "tokens"),
            "bits_per_byte": (nats / math.log(2) / size, size, "bytes"),
            "token_accuracy": (sum(item["correct"] for item in items) / tokens, tokens, "tokens"),
            "eval_loss": (sum(item["nats_with_end"] for item in items) / (tokens + len(items)), tokens + len(items), "tokens"),
        }
        if counts["spoken_items"]:
            factors = {"rouge1": 1.5, "rouge2": 0.2, "rougeL": 1.0, "bleu": 10.0, "jaccard": 0.5}
            values |= {key: (overlap * factor, counts["spoken_items"], "items") for key, factor in factors.items()}
            values |= {"period_terms_per_1000_words": (12.5, 800, "words"), "reference_period_terms_per_1000_words": (15.0, 700, "words")}
        owed = self.owed(name, condition, split=split, **changes)
        folder = self.path / "trials" / name / "evaluations" / owed[condition]
        folder.mkdir(parents=True)
        content = {
            "eval_id": owed[condition],
            "trial_id": name,
            "condition": condition,
            "split": split,
            "settings": settings,
            "counts": counts,
            "metrics": {key: dict(zip(("value", "n", "unit"), metric, strict=True)) for key, metric in values.items()},
        }
        (folder / "metrics.json").write_text(json.dumps(content))
        (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        return owed

    def owed(self, name: str, condition: str, *, split: str = "test", **changes: int) -> dict[str, str]:
        return {condition: trial_id(name, condition, split, sorted(changes.items()))}

    def trial(
        self,
        name: str,
        *,
        status: str | None = "finished",
        cause: str | None = None,
        message: str | None = None,
        seed: int = 0,
        model: str = "smollm2-135m",
        data: str = DATA_ID,
        quantisation: str = "nf4",
        dtype: str = "bfloat16",
        version: int | None = TRAINING,
        losses: Sequence[float | None] = (),
        patience: int | None = None,
    ) -> None:
        folder = self.path / "trials" / name
        (folder / "attempts" / "0001").mkdir(parents=True)
        config = {
            "model": {"name": model, **self.facts.get(model, {})},
            "method": {"name": "qlora", "quantisation": quantisation},
            "seed": seed,
        }
        config["train"] = {"early_stopping_patience": patience}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        identity: dict[str, Any] = {"model": {"digest": model, "dtype": dtype}, "method": {"quantisation": quantisation}}
        if version is not None:
            identity["training_version"] = version
        (folder / "provenance.json").write_text(json.dumps({"data_id": data, "identity": identity}))
        if status is not None:
            record = {"attempt": 1, "host": "elsewhere", "pid": 1, "status": status, "cause": cause, "message": message}
            (folder / "attempts" / "0001.json").write_text(json.dumps({**record, "hardware": "cpu", "threads": 2}))
        log = folder / "attempts" / "0001" / "train.jsonl"
        log.write_text("".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in enumerate(losses, start=1)))

    def base(
        self,
        *,
        levels: tuple[float, float] = (4.6, 4.3),
        model: str = "smollm2-135m",
        data: str = DATA_ID,
        quantisation: str = "nf4",
        dtype: str = "bfloat16",
        count: int = 40,
        **settings: Any,
    ) -> dict[str, Any]:
        name = trial_id("base", model, data, quantisation, dtype)
        if not (self.path / "trials" / name).exists():
            self.trial(name, model=model, data=data, quantisation=quantisation, dtype=dtype, version=None)
        evaluations: dict[str, str] = {}
        for condition, level in zip(("base", "base+system"), levels, strict=True):
            evaluations |= self.evaluation(name, condition, self.items(level=level, data=data, count=count), **settings)
        return {"trial_id": name, "role": "base", "overrides": {}, "evaluations": evaluations}

    def adapter(
        self,
        overrides: dict[str, Any],
        *,
        level: float = 4.2,
        status: str | None = "finished",
        evaluated: bool | None = None,
        steps: int = 24,
        count: int = 40,
        cause: str | None = None,
        message: str | None = None,
        model: str = "smollm2-135m",
        data: str = DATA_ID,
        quantisation: str = "nf4",
        dtype: str = "bfloat16",
        version: int = TRAINING,
        patience: int | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        trained = {key: value for key, value in overrides.items() if not key.startswith("evaluation.")}
        made_by = () if version == TRAINING else (version,)
        name, seed = trial_id("adapter", sorted(trained.items(), key=str), *made_by), int(overrides.get("seed", 0))
        own = random.Random(name)
        losses = [level - 0.3 + 1.5 * math.exp(-step / 8) + own.gauss(0, 0.15) for step in range(steps)]
        if not (self.path / "trials" / name).exists():
            sealed: dict[str, Any] = {"model": model, "data": data, "quantisation": quantisation, "dtype": dtype}
            sealed |= {"patience": patience, "version": version}
            self.trial(name, status=status, cause=cause, message=message, seed=seed, losses=losses, **sealed)
        if status == "finished" if evaluated is None else evaluated:
            items = self.items(level=level, noise=1 + int(name, 16) % 1000, data=data, count=count)
            owed = self.evaluation(name, "adapter", items, **settings)
        else:
            owed = self.owed(name, "adapter")
        return {"trial_id": name, "role": "adapter", "overrides": overrides, "evaluations": owed}

    def sweep(self, swept: list[str], trials: list[dict[str, Any]], name: str = "lora.r=8,16,32-1a2b3c4d", **roles: list[str]) -> Path:
        folder = self.path / "sweeps" / name
        folder.mkdir(parents=True)
        command = "python run.py -m lora.r=8,16,32"
        content = {"name": name, "command": command, "swept": swept, "created": "2026-01-01T00:00:00+00:00", "trials": trials, **roles}
        (folder / "sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return folder


def read(folder: Path) -> tuple[Results, list[Row]]:
    """A sweep's results and the rows made of them."""
    results = read_results(folder.parent.parent, folder.name)
    return results, build_rows(results)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def ranks(runs: Runs) -> Callable[..., Path]:
    """A sweep over three ranks: 8 better than the base model, 16 about as good, 32 failed."""

    def build_rows(**settings: Any) -> Path:
        return runs.sweep(
            ["lora.r"],
            [
                runs.base(**settings),
                # Not in numeric order: the table has to see to that.
                runs.adapter({"lora.r": 32}, status="failed", cause="out_of_memory", message="CUDA out of memory\nat step 3"),
                runs.adapter({"lora.r": 8}, level=4.1, overlap=0.2, **settings),
                runs.adapter({"lora.r": 16}, level=4.3, **settings),
            ],
        )

    return build_rows
