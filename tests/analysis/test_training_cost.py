"""What training took, from the files that a trial leaves."""

import json

from analysis.report import main
from analysis.training_cost import training_caption, training_columns
from tests.analysis.conftest import read


def shown(rows):
    adapters = [row for row in rows if row.condition == "adapter"]
    return {column.header: [column.cell(row) for row in adapters] for column in training_columns(adapters)}


def record(runs, trial_id, number=1, **facts):
    path = runs.path / "trials" / trial_id / "attempts" / f"{number:04}.json"
    before = json.loads(path.read_text()) if path.exists() else {"attempt": number, "status": "finished"}
    path.write_text(json.dumps({**before, **facts}))


def publish(runs, trial_id, *shapes):
    header = {f"w{n}": {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 0]} for n, shape in enumerate(shapes)}
    text = json.dumps({**header, "__metadata__": {"format": "pt"}}).encode()
    folder = runs.path / "trials" / trial_id / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)


def test_seconds_memory_weights_and_what_was_cut(runs):
    trial = runs.adapter({"lora.r": 8})
    labels = {"examples": 120, "shortened": 3, "cut": 2, "skipped": 1}
    record(runs, trial["trial_id"], training={"seconds": 90.0, "peak_memory_bytes": 3 << 29}, labels=labels, together=2)
    record(runs, trial["trial_id"], 2, training={"seconds": 30.0, "peak_memory_bytes": 1 << 30}, together=1)
    publish(runs, trial["trial_id"], (8, 64), (64, 8))
    rows = read(runs.sweep(["lora.r"], [runs.base(), trial]))[1]
    assert shown(rows) == {
        "trained weights": ["1,024"], "minutes": ["2.00"], "peak memory, GiB": ["1.50"], "examples cut": ["6 of 120"]
    }  # fmt: skip
    assert "share by tokens" in training_caption(rows)


def test_where_validation_turned(runs, capsys):
    trials = [runs.adapter({"train.epochs": 2, "seed": seed}, steps=6) for seed in (0, 1)]
    for trial, losses in zip(trials, ((3.0, 2.5, 2.7), (3.0, 2.9, 2.8)), strict=True):
        log = runs.path / "trials" / trial["trial_id"] / "attempts" / "0001" / "train.jsonl"
        records = [json.loads(line) for line in log.read_text().splitlines()]
        for place, loss in zip((1, 3, 5), losses, strict=True):
            records[place]["eval_loss"] = loss
        log.write_text("".join(json.dumps(one) + "\n" for one in records))
    folder = runs.sweep(["train.epochs", "seed"], [runs.base(), *trials])
    assert shown(read(folder)[1]) == {"lowest validation loss at step": ["4 of 6, 6 of 6"]}
    assert main([str(folder)]) == 0
    assert "4 of 6, 6 of 6" in capsys.readouterr().out


def test_older_runs_have_no_such_table(runs):
    assert shown(read(runs.sweep(["lora.r"], [runs.base(), runs.adapter({"lora.r": 8})]))[1]) == {}
