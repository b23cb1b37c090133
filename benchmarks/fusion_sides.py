"""The sides of benchmarks/fusion.py, each run in a process of its own."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.fused_run import slots_of, train_fused, watched
from benchmarks.sft_run import fastest_attention, packed, published, train_sft
from benchmarks.shapes import TARGETS, random_model
from benchmarks.step_clock import StepClock

STORIES = Path(__file__).parents[1] / "persona_exp" / "corpus" / "bundled" / "saltmere"
SYSTEM = "You are a careful observer who answers in the manner of the period."
NEW_TOKENS = 32


def prepare(work: Path, setting: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], dropout: float) -> None:
    """Fetch the model, and write down what all sides read: examples in tokens, the rows that TRL packs them into, and replies to be
    evaluated on. One row is one step of the fused side."""
    from persona_exp.cli.config_from_overrides import compose_config
    from persona_exp.modeling.model_cache import cache_folder
    from persona_exp.modeling.model_source import fetch
    from persona_exp.modeling.supervised_token_mask import encode
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    model = compose_config([f"model={setting['model']}"]).model
    folder = fetch(model.source, model.location, model.revision, model.sha256, cache_folder())
    tokenizer = load_tokenizer(folder, model.chat_template)
    pairs = dialogues(setting["words"])
    held_out = pairs[: setting["items"]]
    encoded = [encode(tokenizer, one, setting["tokens"], model.system_role, model.end_of_turn) for one in pairs[setting["items"] :]]
    windows = rows_of([len(one.input_ids) for one in encoded], setting["tokens"], setting["steps"])
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
        "examples": [[encoded[n % len(encoded)].input_ids, encoded[n % len(encoded)].labels] for n in range(count)],
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
        [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}, {"role": "assistant", "content": answer}]
        for said, answer in zip(paragraphs[::2], paragraphs[1::2], strict=False)
    ]


def run(side: str, work: Path, trials: Sequence[int]) -> None:
    """Load, train and evaluate; write the seconds of each, the tokens and the scores to `work`."""
    shared = json.loads((work / "work.json").read_text())
    began = time.perf_counter()
    from persona_exp.modeling.tokenizer_loading import load_tokenizer

    tokenizer = load_tokenizer(Path(shared["folder"]), shared["chat_template"])
    attention = (shared["trl_attention"] or fastest_attention()) if side == "packed" else shared["attention"]
    model = load(shared, attention)
    cached = side == "fused" and shared["quantisation"] == "nf4" and shared["cache_dequantized"]
    if cached:
        from persona_exp.modeling.nf4_dequantisation import dequantise

        dequantise(model)
    clock, row_tokens = StepClock(), None
    loading = time.perf_counter() - began
    numbered = {number: shared["trials"][number] for number in trials}
    lora = {"targets": shared["targets"], "dropout": shared["dropout"]}
    if side == "fused":
        from persona_exp.modeling.multi_lora.document_attention import ATTENTION_NAME
        from persona_exp.training.fused.row_length_probe import fitting_row_tokens
        from persona_exp.training.fused.row_packing import ROW_TOKENS

        slots = slots_of(model, numbered, shared["examples"], shared["windows"], **lora)
        bundle = watched(model)
        row_tokens = shared["row_tokens"] or fitting_row_tokens(bundle, slots, ROW_TOKENS)[0]
        # Of what was tried nothing counts but its time.
        bundle.largest = (0, 0)
        train_fused(bundle, slots, len(shared["windows"]), row_tokens, clock)
        largest, activate_adapters, attention = bundle.largest, bundle.activate_adapters, f"{ATTENTION_NAME}, evaluated with {attention}"
    elif side == "untrained":
        largest, activate_adapters = (0, 0), None
    else:
        batching = packed(shared["tokens"], shared["trl_autocast"]) if side == "packed" else published(shared["trl_autocast"])
        model, largest = train_sft(
            model,
            tokenizer,
            shared["examples"],
            numbered[trials[0]],
            batching,
            **lora,
            folder=work,
            clock=clock,
        )
        activate_adapters = None
    trained = time.perf_counter()
    nats = evaluate(model, tokenizer, shared, trials, activate_adapters)
    ended = time.perf_counter()
    parts = {"loading": loading, "training": trained - began - loading, "evaluation": ended - trained, **clock.parts()}
    facts: dict[str, Any] = {"attention": attention, "largest_batch": largest, "nats": nats, "row_tokens": row_tokens}
    (work / f"{side}.json").write_text(json.dumps({"parts": parts, **facts}))


def load(shared: Mapping[str, Any], attention: str) -> Any:
    """The base model: of that shape with random weights, or from its folder."""
    from persona_exp.modeling.model_loading import load_model

    if shared["shape"]:
        return random_model(shared["shape"], shared["quantisation"], attention)
    return load_model(Path(shared["folder"]), shared["quantisation"], True, shared["dtype"], attention)


def evaluate(
    model: Any, tokenizer: Any, shared: Mapping[str, Any], trials: Sequence[int], activate_adapters: Any, *, spoken: bool = True
) -> list[float]:
    """Nats a token of the held-out replies under each trial's adapter; a quarter of them are spoken too."""
    from persona_exp.evaluation.batch_adapters import BatchAdapters
    from persona_exp.evaluation.evaluation_items import scored_text
    from persona_exp.evaluation.greedy_generation import GenerationSettings, generate_replies
    from persona_exp.evaluation.reply_likelihood import score_replies
    from persona_exp.modeling.chat_template import end_of_turn_id
    from persona_exp.modeling.supervised_token_mask import encode

    length, role, end = 1024, shared["system_role"], shared["end_of_turn"]
    encoded = [encode(tokenizer, messages, length, role, end) for messages in shared["held_out"]]
    end_id = end_of_turn_id(tokenizer, end)
    texts = [scored_text(tokenizer, one, messages, end_id) for one, messages in zip(encoded, shared["held_out"], strict=True)]
    prompts = [messages[:-1] for messages in shared["held_out"][: max(1, len(encoded) // 4)]]

    def adapters(items: Sequence[Any]) -> BatchAdapters | None:
        return BatchAdapters([trial for trial in trials for _ in items], activate_adapters) if activate_adapters else None

    scores = score_replies(model, encoded * len(trials), texts * len(trials), end_id=end_id, batch_size=24, adapters=adapters(encoded))
    if spoken:
        generate_replies(
            model,
            tokenizer,
            prompts * len(trials),
            GenerationSettings(length, role, end, NEW_TOKENS, 24 * len(trials)),
            adapters=adapters(prompts),
        )
    parts = [scores[start : start + len(encoded)] for start in range(0, len(scores), len(encoded))]
    return [sum(one.nats for one in part) / sum(one.tokens for one in part) for part in parts]
