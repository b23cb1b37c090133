import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from analysis.curves import curves, smooth, window
from analysis.figure import numeric_key, scale
from analysis.frame import load
from analysis.report import write
from analysis.rows import build
from analysis.style import COLUMN_WIDTH, DOTS_PER_INCH, colours, short, spread


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([8, 16, 32], "log2"), ([0.5, 1], "log2"), ([1e-4, 2e-4], "linear"), ([1e-5, 1e-3], "log10"), ([8], "linear"), ([0, 8], "linear")],
)
def test_scale(values, wanted):
    assert scale(values) == wanted


def test_numbers_go_on_x_before_names(runs):
    trials = [runs.adapter({"method": name, "lora.r": r, "optim.lr": 1e-4}) for name in ("lora", "qlora") for r in (8, 16)]
    rows = build(load(runs.path, runs.sweep(["method", "optim.lr", "lora.r"], trials).name, {}))
    assert numeric_key(rows, ["method", "optim.lr", "lora.r"]) == "lora.r"
    assert numeric_key(rows, ["method", "optim.lr"]) == "optim.lr"
    assert numeric_key(rows, ["method"]) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_spread_keeps_labels_apart_in_order_and_inside(places):
    put = spread(places, 10, 0, 100)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in put)
    ordered = [put[index] for index in sorted(range(len(places)), key=lambda index: places[index])]
    assert all(later - sooner >= 10 - 1e-6 for sooner, later in pairwise(ordered))


def test_spread_leaves_alone_what_has_room():
    assert spread([80, 20], 10, 0, 100) == [80, 20]


def sweeps(runs):
    long = "meta-llama/Llama-3.1-8B-Instruct-of-a-long-name"
    base, models = runs.base(), [runs.base(model="small"), runs.base(model=long)]
    return {
        "one": ([], [base, runs.adapter({})]),
        "ranks": (["lora.r"], [base, *(runs.adapter({"lora.r": r}) for r in (8, 16, 32))]),
        "grid": (["lora.r", "optim.lr"], [base, *(runs.adapter({"lora.r": r, "optim.lr": lr}, status="failed" if r == 8 else "finished")
                                                  for r in (8, 16) for lr in (1e-4, 1e-3, 2e-3))]),
        "models": (["model"], [*models, runs.adapter({"model": "small"}, model="small"), runs.adapter({"model": long}, model=long)]),
        "names": (["optim.schedule"], [base, *(runs.adapter({"optim.schedule": one}) for one in ("cosine", "linear"))]),
        "failed": (["lora.r"], [runs.adapter({"lora.r": 64}, status="failed", steps=0)]),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["one", "ranks", "grid", "models", "names", "failed"])
def test_figures_are_a_column_wide_with_embedded_fonts(runs, name):
    swept, trials = sweeps(runs)[name]
    paths = write(runs.sweep(swept, trials, name=name), {})[1]["paths"]
    assert ("loss.pdf" in paths) == (name != "failed")
    for file in (file for file in paths if file.endswith(".png")):
        pixels = imread(paths[file])
        assert pixels.shape[1] == round(COLUMN_WIDTH * DOTS_PER_INCH)
        # Nothing touches the edge: no label is cut.
        edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert (edges[:, :3] == 1).all()
    for file in (file for file in paths if file.endswith(".pdf")):
        content = Path(paths[file]).read_bytes()
        assert b"/FontFile2" in content
        assert b"/Type3" not in re.sub(rb"\s", b"", content)


def test_figures_are_the_same_bytes_again(ranks):
    folder = ranks()
    read = [{file: (folder / "report" / file).read_bytes() for file in write(folder, {})[1]["paths"]} for _ in range(2)]
    assert read[0] == read[1]
    assert not list((folder / "report").glob(".*"))


def test_curves_of_failed_trials_say_so(ranks):
    folder = ranks()
    results = load(folder.parent.parent, folder.name, {})
    found = curves(results, build(results))
    assert [(curve.name, curve.fate, len(curve.losses)) for curve in found] == [("r=8", "", 24), ("r=16", "", 24), ("r=32", "failed", 24)]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.sampled_from([1, 3, 5]))
def test_smoothing_stays_in_range_and_keeps_constants(losses, width):
    width = min(width, len(losses) | 1)
    line = smooth(np.array(losses), width)
    assert len(line) == max(len(losses), width)
    assert min(losses) - 1e-9 <= line[: len(losses)].min()
    assert line.max() <= max(losses) + 1e-9


@pytest.mark.parametrize(("steps", "wanted"), [(1, 1), (24, 1), (60, 5), (1000, 81)])
def test_window(steps, wanted):
    assert window(steps) == wanted


def test_short():
    assert short("cosine") == "cosine"
    assert len(short("x" * 50)) == 30


def test_enough_colours():
    assert len({tuple(colour) for colour in colours(12)}) == 12
