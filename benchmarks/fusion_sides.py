"""The sides of benchmarks/fusion.py, each run in a process of its own."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fused_run import lanes_of, train_fused, watched
from benchmarks.sft_run import fastest_attention, packed, published, train_sft
from benchmarks.shapes import TARGETS, random_model
from benchmarks.step_clock import StepClock

STORIES = Path(__file__).parents[1] / "persona_exp" / "corpus" / "bundled" / "saltmere"
SYSTEM = "You are a careful observer who answers in the manner of the period."
NEW_TOKENS = 32


def prepare(work: Path, setting: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], dropout: float) -> None:
    """Fetch the model, and write down what all sides read: examples in tokens, the rows that TRL packs them into, and replies to be
    evaluated on. One row is one step of the fused side."""
    from persona_exp.cli.compose import compose_config
    from persona_exp.modeling.base import load_tokenizer
    from persona_exp.modeling.cache import cache_folder
    from persona_exp.modeling.chat import encode
    from persona_exp.modeling.source import fetch

    model = compose_config([f"model={setting['model']}"]).model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    tokenizer = load_tokenizer(folder, model.chat_template)
    pairs = dialogues(setting["words"])
    held_out = pairs[: setting["items"]]
    told = [encode(tokenizer, one, setting["tokens"], model.system_role, model.end_of_turn) for one in pairs[setting["items"] :]]
    windows = rows_of([len(one.input_ids) for one in told], setting["tokens"], setting["steps"])
    count = sum(len(window) for window in windows)
    shared = {
        **setting,
        "folder": str(folder),
        "chat_template": model.chat_template,
        "system_role": model.system_role,
        "end_of_turn": model.end_of_turn,
        "targets": list(TARGETS) if setting["shape"] else model.target_modules,
        "dtype": model.dtype,
        "attention": model.attention,
        "dropout": dropout,
        "trials": list(trials),
        "held_out": held_out,
        "examples": [[told[n % len(told)].input_ids, told[n % len(told)].labels] for n in range(count)],
        "windows": windows,
    }
    (work / "work.json").write_text(json.dumps(shared))


def rows_of(lengths: Sequence[int], tokens: int, steps: int) -> list[list[int]]:
    """As many examples as SFTTrainer packs into `steps` rows of `tokens` tokens, by number, row by row; `lengths` begin anew where the
    examples are too few."""
    from datasets import Dataset
    from datasets.utils import disable_progress_bars
    from trl import pack_dataset

    disable_progress_bars()

    def rows(count: int) -> list[list[int]]:
        named = Dataset.from_dict({"numbers": [[n] * lengths[n % len(lengths)] for n in range(count)]})
        return [list(dict.fromkeys(row)) for row in pack_dataset(named, tokens, "bfd")["numbers"]]

    few, many = steps, 2 * steps
    while len(rows(many)) <= steps:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if len(rows(middle)) <= steps else (few, middle)
    return rows(few)


def dialogues(words: int) -> list[list[dict[str, str]]]:
    """Each paragraph of the bundled stories as what is said to the one before; the longest are of `words` words."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(STORIES.glob("*.txt")))
    paragraphs = [" ".join(one.split()) for one in re.split(r"\n\s*\n", text) if 5 <= len(one.split()) <= words]
    return [
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}, {"role": "assistant", "content": told}]
        for asked, told in zip(paragraphs[::2], paragraphs[1::2], strict=False)
    ]


def run(side: str, work: Path, trials: Sequence[int]) -> None:
    """Load, train and evaluate; write the seconds of each, the tokens and the scores to `work`."""
    shared = json.loads((work / "work.json").read_text())
    began = time.perf_counter()
    from persona_exp.modeling.base import load_tokenizer

    tokenizer = load_tokenizer(Path(shared["folder"]), shared["chat_template"])
    attention = (shared["trl_attention"] or fastest_attention()) if side == "packed" else shared["attention"]
    model = load(shared, attention)
    cached = side == "fused" and shared["quantisation"] == "nf4" and shared["cache_dequantized"]
    if cached:
        from persona_exp.modeling.dequantisation import dequantise

        dequantise(model)
    clock, row_tokens = StepClock(), None
    loading = time.perf_counter() - began
    numbered = {number: shared["trials"][number] for number in trials}
    told = {"targets": shared["targets"], "dropout": shared["dropout"]}
    if side == "fused":
        from persona_exp.modeling.bundle.attention import NAME
        from persona_exp.training.fused.probe import rows_that_fit
        from persona_exp.trial.bundle import ROW_TOKENS

        lanes = lanes_of(model, numbered, shared["examples"], shared["windows"], **told)
        bundle = watched(model)
        row_tokens = shared["row_tokens"] or rows_that_fit(bundle, lanes, ROW_TOKENS)[0]
        # Of what was tried nothing counts but its time.
        bundle.largest = (0, 0)
        train_fused(bundle, lanes, len(shared["windows"]), row_tokens, clock)
        largest, speaking, attention = bundle.largest, bundle.speaking, f"{NAME}, evaluated with {attention}"
    elif side == "untrained":
        largest, speaking = (0, 0), None
    else:
        batching = packed(shared["tokens"]) if side == "packed" else published()
        model, largest = train_sft(
            model,
            tokenizer,
            shared["examples"],
            numbered[trials[0]],
            batching,
            **told,
            folder=work,
            clock=clock,
            autocast=shared["trl_autocast"],
        )
        speaking = None
    trained = time.perf_counter()
    nats = evaluate(model, tokenizer, shared, trials, speaking)
    ended = time.perf_counter()
    parts = {"loading": loading, "training": trained - began - loading, "evaluation": ended - trained, **clock.parts()}
    facts: dict[str, Any] = {"attention": attention, "largest_batch": largest, "nats": nats, "row_tokens": row_tokens}
    (work / f"{side}.json").write_text(json.dumps({"parts": parts, **facts}))


def load(shared: Mapping[str, Any], attention: str) -> Any:
    """The base model: of that shape with random weights, or from its folder."""
    from persona_exp.modeling.base import load_model

    if shared["shape"]:
        return random_model(shared["shape"], shared["quantisation"], attention)
    return load_model(Path(shared["folder"]), shared["quantisation"], True, shared["dtype"], attention)


def evaluate(
    model: Any, tokenizer: Any, shared: Mapping[str, Any], trials: Sequence[int], speaking: Any, *, spoken: bool = True
) -> list[float]:
    """Nats a token of the held-out replies under each trial's adapter; a quarter of them are spoken too."""
    from persona_exp.evaluation.evaluate import scored_text
    from persona_exp.evaluation.generation import generate
    from persona_exp.evaluation.likelihood import score
    from persona_exp.evaluation.voices import Voices
    from persona_exp.modeling.chat import encode, end_of_turn_id

    length, role, end = 1024, shared["system_role"], shared["end_of_turn"]
    encoded = [encode(tokenizer, messages, length, role, end) for messages in shared["held_out"]]
    end_id = end_of_turn_id(tokenizer, end)
    texts = [scored_text(tokenizer, one, messages, end_id) for one, messages in zip(encoded, shared["held_out"], strict=True)]
    prompts = [messages[:-1] for messages in shared["held_out"][: max(1, len(encoded) // 4)]]

    def voices(items: Sequence[Any]) -> Voices | None:
        return Voices([trial for trial in trials for _ in items], speaking) if speaking else None

    scores = score(model, encoded * len(trials), texts * len(trials), end_id=end_id, batch_size=24, voices=voices(encoded))
    if spoken:
        generate(
            model,
            tokenizer,
            prompts * len(trials),
            max_length=length,
            system_role=role,
            end_of_turn=end,
            max_new_tokens=NEW_TOKENS,
            batch_size=24 * len(trials),
            voices=voices(prompts),
        )
    parts = [scores[start : start + len(encoded)] for start in range(0, len(scores), len(encoded))]
    return [sum(one.nats for one in part) / sum(one.tokens for one in part) for part in parts]
