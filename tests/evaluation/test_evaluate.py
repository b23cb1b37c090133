import copy
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from persona_exp.config.schema import Config
from persona_exp.errors import UserError
from persona_exp.evaluation import eval_mode_precision, evaluation_files, evaluation_id
from persona_exp.evaluation import evaluate as module
from persona_exp.evaluation.evaluate import EvaluatedModel, evaluate
from persona_exp.evaluation.evaluation_items import conversation, scored_text
from persona_exp.evaluation.evaluation_target import EvaluationSettings, EvaluationTarget
from persona_exp.modeling.supervised_token_mask import encode, encode_prompt

END = "<|im_end|>"
GOLDEN = Path(__file__).parents[1] / "golden" / "evaluation_metrics.json"
NAMES = ["eval_id", "trial_id", "condition", "split", "settings", "counts", "metrics"]


def run(tiny: tuple[Any, Any], examples: list[dict[str, Any]], destination: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    arguments: dict[str, Any] = {
        "eval_id": "0123456789ab", "trial_id": "ba9876543210", "split": "test", "condition": "base+system", "max_length": 1024,
        "system_role": "system", "end_of_turn": END, "likelihood_items": 5, "generated_items": 3, "max_new_tokens": 8, "batch_size": 2,
    }  # fmt: skip
    given = {**arguments, **changes}
    target = EvaluationTarget(given.pop("eval_id"), given.pop("trial_id"), given.pop("condition"), examples, destination)
    (measured,) = evaluate(EvaluatedModel(*tiny), [target], EvaluationSettings(**given))
    if isinstance(measured, Exception):
        raise measured
    return measured


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
    assert list(generations[0]) == ["example", "book", "prompt", "reference", "generated", "finish_reason", "loops"]
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
    assert counts["shortened_answered_prompts"] == 0
    assert counts["cut_replies"] > 0
    assert metrics["bits_per_byte"]["n"] < sum(len(example["messages"][-1]["content"].encode()) for example in examples)


def test_prompts_that_are_shortened_before_they_are_answered_are_counted(
    tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path
) -> None:
    lengths = sorted(len(encode_prompt(tiny[1], one["messages"][:-1], 1024, "system")) for one in examples)
    run(tiny, examples, tmp_path, generated_items=100, max_length=lengths[-1] - 1)
    counts = json.loads((tmp_path / "metrics.json").read_text())["counts"]
    assert (counts["shortened_answered_prompts"], counts["skipped_prompts"]) == (lengths.count(lengths[-1]), 0)


def test_impossible_values_leave_nothing_behind(
    tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = copy.deepcopy(tiny[0])
    broken.get_input_embeddings().weight.data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"5 of 5 replies have a likelihood that is not finite.*optim\.lr"):
        run((broken, tiny[1]), examples, tmp_path)
    monkeypatch.setattr(evaluation_files, "summarise", lambda *_: {}["perplexity"])
    with pytest.raises(KeyError):
        run(tiny, examples, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def as_on_a_gpu(tiny: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """(a model in bfloat16 that is computed as on a GPU, tokenizer)."""
    for where in (module, eval_mode_precision):
        monkeypatch.setattr(where, "on_cpu", lambda model: False)
    monkeypatch.setattr(module, "GPU_SCORED", 3)
    monkeypatch.setattr(module, "GPU_ANSWERED", 2)
    return copy.deepcopy(tiny[0]).bfloat16(), tiny[1]


def test_a_gpu_has_batches_of_one_target_whatever_the_setting(
    as_on_a_gpu: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    activated: list[list[int]] = []

    @contextmanager
    def activate(slots: Sequence[int]) -> Iterator[None]:
        activated.append(list(slots))
        yield

    def measured(name: str, slots: Sequence[int], batch_size: int) -> list[Any]:
        settings = EvaluationSettings("test", 1024, "system", END, 5, 3, 2, batch_size)
        folders = [tmp_path / f"{name}-{slot}" for slot in slots]
        targets = [
            EvaluationTarget(f"{slot:012}", "1" * 12, "adapter", examples, folder, slot)
            for slot, folder in zip(slots, folders, strict=True)
        ]
        evaluate(EvaluatedModel(*as_on_a_gpu, activate), targets, settings)
        return [[(folder / f"{file}.jsonl").read_bytes() for file in ("items", "generations")] for folder in folders]

    (alone,) = measured("alone", [1], 1)
    one = list(activated)
    assert one[:3] == [[1], [1] * 3, [1] * 2], "tried and scored"
    assert one[3:5] == [[1], [1, 1]], "tried"
    assert one[5:] == [[1, 1]] * 2 + [[1]] * 2, "answered"
    activated.clear()
    assert measured("together", [0, 1, 2], 24)[1] == alone
    assert activated == [[slot for _ in batch] for slot in (0, 1, 2) for batch in one]
    assert json.loads((tmp_path / "alone-1" / "metrics.json").read_text())["settings"]["precision"] == "bfloat16, output head in float32"
    assert "evaluation.batch_size is for a CPU and does nothing here" in capsys.readouterr().out


def test_a_gpu_takes_the_softmax_of_float32_products(as_on_a_gpu: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    import torch

    found = run(as_on_a_gpu, examples, tmp_path)
    assert {one.dtype for one in as_on_a_gpu[0].parameters()} == {torch.bfloat16}
    items = lines(tmp_path / "items.jsonl")
    model, tokenizer = as_on_a_gpu
    messages = next(one["messages"] for one in examples if one["id"] == items[0]["example"])
    item = encode(tokenizer, messages, 1024, "system", END)
    with torch.no_grad():
        states = model.base_model(torch.tensor([item.input_ids])).last_hidden_state[0]
        weights = model.get_output_embeddings().weight
        nats = torch.nn.functional.cross_entropy(states[:-1].float() @ weights.float().T, torch.tensor(item.labels[1:]), reduction="sum")
    # Half precision below the head, in another batch.
    assert items[0]["nats_with_end"] == pytest.approx(float(nats), rel=1e-3)
    assert math.isfinite(found["perplexity"]["value"])


def test_an_error_of_one_target_is_its_own(tiny: tuple[Any, Any], examples: list[dict[str, Any]], tmp_path: Path) -> None:
    settings = EvaluationSettings("test", 1024, "system", END, 5, 3, 2, 4)
    given = (("base", examples), ("base", []), ("base+system", examples))
    targets = [EvaluationTarget(f"{at:012}", "1" * 12, condition, own, tmp_path / str(at)) for at, (condition, own) in enumerate(given)]
    (tmp_path / "2").write_text("in the way of its folder")
    first, second, third = evaluate(EvaluatedModel(*tiny), targets, settings)
    assert isinstance(first, dict)
    assert isinstance(second, UserError)
    assert isinstance(third, OSError)
    assert (tmp_path / "0" / "metrics.json").is_file()


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
    first = evaluation_id.evaluation_id(**ARGUMENTS)
    assert len(first) == 12
    assert set(first) <= set("0123456789abcdef")
    changed = [evaluation_id.evaluation_id(**{**ARGUMENTS, name: value + value}) for name, value in ARGUMENTS.items()]
    monkeypatch.setattr(evaluation_id, "EVALUATION_VERSION", evaluation_id.EVALUATION_VERSION + 1)
    changed.append(evaluation_id.evaluation_id(**ARGUMENTS))
    assert len({first, *changed}) == len(ARGUMENTS) + 2


def test_default_caps(config: Any) -> None:
    composed: Config = config()
    assert (composed.evaluation.likelihood_items, composed.evaluation.generated_items) == (100, 24)
