import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

from analysis import ablation_figure
from analysis.ablation_figure import numeric_key, scale
from analysis.figure_style import COLUMN_WIDTH, DOTS_PER_INCH, colours, shortened, spread_labels
from analysis.loss_curves import curves, smooth, window
from analysis.report import write
from analysis.sweep_results import setting_keys
from tests.analysis.conftest import TRAINING, read


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([8, 16, 32], "log2"), ([0.5, 1], "log2"), ([1e-4, 2e-4], "linear"), ([1e-5, 1e-3], "log10"), ([8], "linear"), ([0, 8], "linear")],
)
def test_scale(values, wanted):
    assert scale(values) == wanted


def test_numbers_go_on_x_before_names(runs):
    trials = [runs.adapter({"method": name, "lora.r": r, "optim.lr": 1e-4}) for name in ("lora", "qlora") for r in (8, 16)]
    rows = read(runs.sweep(["method", "optim.lr", "lora.r"], trials))[1]
    assert numeric_key(rows, ["method", "optim.lr", "lora.r"]) == "lora.r"
    assert numeric_key(rows, ["method", "optim.lr"]) == "optim.lr"
    assert numeric_key(rows, ["method"]) is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_spread_keeps_labels_apart_in_order_and_inside(places):
    put = spread_labels(places, 10, 0, 100)
    assert all(-1e-6 <= place <= 100 + 1e-6 for place in put)
    ordered = [put[index] for index in sorted(range(len(places)), key=lambda index: places[index])]
    assert all(later - sooner >= 10 - 1e-6 for sooner, later in pairwise(ordered))


def test_spread_leaves_alone_what_has_room():
    assert spread_labels([80, 20], 10, 0, 100) == [80, 20]


def sweeps(runs):
    long = "meta-llama/Llama-3.1-8B-Instruct-of-a-long-name"
    base, models = runs.base(), [runs.base(model="small"), runs.base(model=long)]
    return {
        "one": ([], [base, runs.adapter({})]),
        "ranks": (["lora.r"], [base, *(runs.adapter({"lora.r": r}) for r in (8, 16, 32))]),
        "grid": (
            ["lora.r", "optim.lr"],
            [
                base,
                *(
                    runs.adapter({"lora.r": r, "optim.lr": lr}, status="failed" if r == 8 else "finished")
                    for r in (8, 16)
                    for lr in (1e-4, 1e-3, 2e-3)
                ),
            ],
        ),
        "models": (["model"], [*models, runs.adapter({"model": "small"}, model="small"), runs.adapter({"model": long}, model=long)]),
        "names": (["optim.schedule"], [base, *(runs.adapter({"optim.schedule": one}) for one in ("cosine", "linear"))]),
        "evaluations": (
            ["evaluation.max_new_tokens"],
            [
                entry
                for length in (8, 16)
                for entry in (runs.base(max_new_tokens=length), runs.adapter({"evaluation.max_new_tokens": length}, max_new_tokens=length))
            ],
        ),
        "failed": (["lora.r"], [runs.adapter({"lora.r": 64}, status="failed", steps=0)]),
    }


def drawn(folder, monkeypatch):
    """The axes that a sweep's figure is drawn into."""
    kept = []
    monkeypatch.setattr(ablation_figure, "save_figure", lambda made, *_: kept.append(made) or [])
    results, rows = read(folder)
    ablation_figure.draw_figure(rows, setting_keys(results.sweep), folder / "report")
    return kept[0].axes[0]


@pytest.mark.parametrize(("quantisation", "lines"), [("nf4", 2), ("none", 0)])
def test_a_base_line_crosses_the_axes_only_where_it_is_every_settings_own(runs, monkeypatch, quantisation, lines):
    trials = [runs.base(quantisation=quantisation), *(runs.adapter({"lora.r": r}) for r in (8, 16))]
    axes = drawn(runs.sweep(["lora.r"], trials), monkeypatch)
    assert sum(list(line.get_xdata()) == [0, 1] for line in axes.lines) == lines


def test_older_rows_are_not_drawn_beside_newer_ones(runs, monkeypatch):
    trials = [runs.base(), runs.adapter({"lora.r": 4}, version=TRAINING - 1), *(runs.adapter({"lora.r": r}) for r in (8, 16))]
    axes = drawn(runs.sweep(["lora.r"], trials), monkeypatch)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["8", "16"]


@pytest.mark.long
@pytest.mark.parametrize("name", ["one", "ranks", "grid", "models", "names", "evaluations", "failed"])
def test_figures_are_a_column_wide_with_embedded_fonts(runs, name):
    swept, trials = sweeps(runs)[name]
    paths = write(runs.sweep(swept, trials, name=name))[2]
    assert ("loss.pdf" in {path.name for path in paths}) == (name != "failed")
    for path in paths:
        if path.suffix == ".png":
            pixels = imread(path)
            assert pixels.shape[1] == round(COLUMN_WIDTH * DOTS_PER_INCH)
            # Nothing touches the edge: no label is cut.
            edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
            assert (edges[:, :3] == 1).all()
        if path.suffix == ".pdf":
            content = path.read_bytes()
            assert b"/FontFile2" in content
            assert b"/Type3" not in re.sub(rb"\s", b"", content)


def test_figures_are_the_same_bytes_again(ranks):
    folder = ranks()
    first, again = ({path.name: path.read_bytes() for path in write(folder)[2]} for _ in range(2))
    assert first == again
    assert not list((folder / "report").glob(".*"))


def test_validations_are_points_of_their_own(ranks):
    results, rows = read(ranks())
    first = next(row for row in rows if row.condition == "adapter").outcomes[0]
    log = results.logs[first.trial_id]
    log[1]["eval_loss"] = 3.5
    assert [curve.validations for curve in curves(results, rows)] == [[(log[1]["step"], 3.5)], [], []]


def test_curves_of_failed_trials_say_so(ranks):
    found = curves(*read(ranks()))
    assert [(curve.name, curve.status, len(curve.losses)) for curve in found] == [("r=8", "", 24), ("r=16", "", 24), ("r=32", "failed", 24)]


def test_a_trial_that_is_evaluated_twice_has_one_curve(runs):
    swept = "evaluation.max_new_tokens"
    trials = [runs.adapter({swept: length}, max_new_tokens=length) for length in (8, 16)]
    assert [curve.name for curve in curves(*read(runs.sweep([swept], trials)))] == ["adapter"]


def test_a_long_and_a_short_run_in_one_figure(runs):
    trials = [runs.base(), runs.adapter({"lora.r": 8}, steps=200), runs.adapter({"lora.r": 16}, steps=4, status="failed")]
    folder = runs.sweep(["lora.r"], trials)
    write(folder)
    assert (folder / "report" / "loss.png").is_file()


def test_steps_without_a_loss_are_left_out(runs):
    runs.trial("feedfeedfeed", losses=[3.0, None, float("nan"), 2.0])
    entry = {"trial_id": "feedfeedfeed", "role": "adapter", "overrides": {}, "evaluations": {"adapter": "beefbeefbeef"}}
    (found,) = curves(*read(runs.sweep([], [entry])))
    assert (found.steps.tolist(), found.losses.tolist()) == ([1, 4], [3.0, 2.0])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.sampled_from([1, 3, 5, 81]))
def test_smoothing_stays_in_range(losses, width):
    line = smooth(np.array(losses), width)
    assert len(line) == len(losses)
    assert min(losses) - 1e-9 <= line.min()
    assert line.max() <= max(losses) + 1e-9


def test_smoothing_is_a_centred_mean():
    assert smooth(np.array([1.0, 4.0, 7.0, 1.0]), 3) == pytest.approx([2.5, 4, 4, 4])
    assert smooth(np.array([1.0, 4.0]), 1).tolist() == [1, 4]


@pytest.mark.parametrize(("steps", "wanted"), [(1, 1), (24, 1), (60, 5), (1000, 81)])
def test_window(steps, wanted):
    assert window(steps) == wanted


def test_short():
    assert shortened("cosine") == "cosine"
    assert len(shortened("x" * 50)) == 30


def test_enough_colours():
    assert len({tuple(colour) for colour in colours(12)}) == 12
