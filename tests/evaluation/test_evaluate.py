import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.evaluation import evaluate as module
from persona_exp.evaluation.evaluate import conversation, evaluate, evaluation_id, scored_text
from persona_exp.evaluation.metrics import ImpossibleMetric
from persona_exp.evaluation.subject import Settings, Subject
from persona_exp.modeling.chat import encode

END = "<|im_end|>"
GOLDEN = Path(__file__).parents[1] / "golden" / "evaluation_metrics.json"
NAMES = ["eval_id", "trial_id", "condition", "split", "settings", "counts", "metrics"]


def run(tiny: tuple[Any, Any], examples: list[dict[str, Any]], destination: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    arguments: dict[str, Any] = {
        "eval_id": "0123456789ab", "trial_id": "ba9876543210", "split": "test", "condition": "base+system", "max_length": 1024,
        "system_role": "system", "end_of_turn": END, "likelihood_items": 5, "generated_items": 3, "max_new_tokens": 8, "batch_size": 2,
    }  # fmt: skip
    given = {**arguments, **changes}
    subject = Subject(given.pop("eval_id"), given.pop("trial_id"), given.pop("condition"), examples, destination)
    (metrics,) = evaluate(*tiny, [subject], Settings(**given))
    return metrics


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_metrics_file_is_the_golden_one(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    """A changed number needs a new EVALUATION_VERSION, and then a new golden file."""
    run(tiny, examples, tmp_path)
    found, golden = json.loads((tmp_path / "metrics.json").read_text()), json.loads(GOLDEN.read_text())
    # The library's version ends BLEU's signature.
    for one in (found, golden):
        one["settings"]["bleu"] = one["settings"]["bleu"].rpartition("|version:")[0]
    numbers = [(name, found["metrics"].pop(name), golden["metrics"].pop(name)) for name in list(golden["metrics"])]
    assert found == golden
    assert list(found) == NAMES
    for name, ours, theirs in numbers:
        assert ours == {**theirs, "value": pytest.approx(theirs["value"], rel=1e-4)}, name


def test_items_and_generations_add_up_to_the_metrics(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    metrics = run(tiny, examples, tmp_path)
    items, generations = lines(tmp_path / "items.jsonl"), lines(tmp_path / "generations.jsonl")
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"] == metrics
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generations.jsonl", "items.jsonl", "metrics.json"]

    assert len(items) == 5
    assert list(items[0]) == ["example", "book", "chapter", "nats", "tokens", "correct", "bytes", "nats_with_end", "tokens_with_end"]
    known = {example["id"]: example for example in examples}
    for item in items:
        example = known[item["example"]]
        assert (item["book"], item["chapter"]) == (example["book"], example["chapter"])
        assert item["bytes"] == len(example["messages"][-1]["content"].encode())
    tokens = sum(item["tokens"] for item in items)
    assert metrics["perplexity"]["n"] == tokens
    assert metrics["perplexity"]["value"] == pytest.approx(math.exp(sum(item["nats"] for item in items) / tokens))

    assert len(generations) == 3 == metrics["rouge1"]["n"]
    assert list(generations[0]) == ["example", "book", "prompt", "reference", "generated"]
    assert {one["example"] for one in generations} <= {one["example"] for one in items}
    for one in generations:
        messages = known[one["example"]]["messages"]
        assert one["prompt"] == messages[:-1]
        assert one["reference"] == messages[-1]["content"]
        assert END not in one["generated"]


def test_base_sees_no_system_message_and_the_same_items(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    with_system, without = tmp_path / "with", tmp_path / "without"
    prompted = run(tiny, examples, with_system)
    plain = run(tiny, examples, without, condition="base")
    assert plain["perplexity"]["n"] == prompted["perplexity"]["n"]
    assert plain["perplexity"]["value"] != prompted["perplexity"]["value"]
    assert [item["example"] for item in lines(without / "items.jsonl")] == [item["example"] for item in lines(with_system / "items.jsonl")]
    assert all(one["prompt"][0]["role"] == "user" for one in lines(without / "generations.jsonl"))
    assert all(one["prompt"][0]["role"] == "system" for one in lines(with_system / "generations.jsonl"))


def test_same_bytes_twice(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(tiny, examples, tmp_path / name)
    for name in ("metrics.json", "items.jsonl", "generations.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_no_generated_items(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    metrics = run(tiny, examples, tmp_path, generated_items=0)
    assert set(metrics) == {"perplexity", "bits_per_byte", "token_accuracy", "eval_loss"}
    assert (tmp_path / "generations.jsonl").read_text() == ""


def test_caps_beyond_the_split_take_all_of_it(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    run(tiny, examples, tmp_path, likelihood_items=100, generated_items=100)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert (written["settings"]["likelihood_items"], written["settings"]["generated_items"]) == (100, 100)
    assert [written["counts"][name] for name in ("available_items", "scored_items", "spoken_items")] == [len(examples)] * 3


def test_a_cut_reply_counts_the_bytes_that_were_scored(tiny: tuple[Any, Any], examples: list[dict[str, Any]]) -> None:
    _, tokenizer = tiny
    end = tokenizer.convert_tokens_to_ids(END)
    for example in examples:
        messages, reply = example["messages"], example["messages"][-1]["content"]
        whole = encode(tokenizer, messages, 1024, "system", END)
        assert scored_text(tokenizer, whole, messages, end) == reply
        for length in range(len(whole.input_ids) - 1, 0, -7):
            try:
                item = encode(tokenizer, messages, length, "system", END)
            except UserError:
                break
            if not item.cut:
                continue
            text = scored_text(tokenizer, item, messages, end)
            assert reply.startswith(text)
            # The tiny tokenizer is a byte-level one: what its tokens spell, an unfinished character apart, is what is counted.
            spelled = sum(len(tokenizer.convert_ids_to_tokens(label)) for label in item.labels if label not in (-100, end))
            assert spelled - 3 <= len(text.encode()) <= spelled


def test_cut_replies_are_counted(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    longest = max(len(encode(tiny[1], example["messages"], 1024, "system", END).input_ids) for example in examples)
    metrics = run(tiny, examples, tmp_path, likelihood_items=100, max_length=longest - 60)
    counts = json.loads((tmp_path / "metrics.json").read_text())["counts"]
    assert counts["shortened_prompts"] > 0
    assert counts["cut_replies"] > 0
    assert metrics["bits_per_byte"]["n"] < sum(len(example["messages"][-1]["content"].encode()) for example in examples)


def test_impossible_values_leave_nothing_behind(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    broken = copy.deepcopy(tiny[0])
    broken.get_input_embeddings().weight.data.fill_(math.nan)
    with pytest.raises(ImpossibleMetric, match="perplexity = nan"):
        run((broken, tiny[1]), examples, tmp_path, generated_items=0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_evaluate_is_the_users_to_mend(tiny: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.test"):
        run(tiny, [], tmp_path)
    with pytest.raises(ValueError, match="few-shot"):
        run(tiny, [{}], tmp_path, condition="few-shot")


def test_conversation_keeps_or_drops_the_system_message(examples: list[dict[str, Any]]) -> None:
    messages = examples[0]["messages"]
    assert conversation(messages, "adapter") == conversation(messages, "base+system") == messages
    assert conversation(messages, "base") == messages[1:]


ARGUMENTS: dict[str, Any] = {
    "trial_id": "a" * 12, "data_id": "b" * 12, "split": "test", "condition": "adapter", "likelihood_items": 100, "generated_items": 24,
    "max_new_tokens": 64, "max_length": 1024,
}  # fmt: skip


def test_evaluation_id_depends_on_all_that_changes_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluation_id(**ARGUMENTS)
    assert len(first) == 12
    assert set(first) <= set("0123456789abcdef")
    changed = [evaluation_id(**{**ARGUMENTS, name: value + value}) for name, value in ARGUMENTS.items()]
    monkeypatch.setattr(module, "EVALUATION_VERSION", module.EVALUATION_VERSION + 1)
    changed.append(evaluation_id(**ARGUMENTS))
    assert len({first, *changed}) == len(ARGUMENTS) + 2


def test_default_caps(config: Any) -> None:
    composed: Config = config()
    assert (composed.evaluation.likelihood_items, composed.evaluation.generated_items) == (100, 24)
