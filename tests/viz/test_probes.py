from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from bertology.viz import FigureError, learning_curves, probe_lines, probe_map, save, style


@pytest.fixture
def probes():
    layers = [2, 0, 1]  # as they come
    linear = pd.DataFrame({"layer": layers, "value": [0.7, 0.5, 0.6], "probe": "linear"})
    linear = linear.assign(control=[0.3, 0.1, 0.2])
    majority = pd.DataFrame({"layer": layers, "value": 0.4, "probe": "majority"})
    lookup = pd.DataFrame({"layer": [np.nan], "value": 0.65, "probe": "lookup"})
    table = pd.concat([linear, majority, lookup]).assign(task="upos", metric="accuracy", n=100)
    table = table.assign(ci_low=table["value"] - 0.1, ci_high=table["value"] + 0.05)
    return pd.concat([table, table.assign(task="depth", value=0.0)])


def _line(ax, style):
    return next(line for line in ax.lines if line.get_linestyle() == style)


def test_probe_control_and_band_follow_the_layers(probes):
    ax = probe_lines(probes, task="upos")
    assert _line(ax, "-").get_xydata().tolist() == [[0, 0.5], [1, 0.6], [2, 0.7]]
    assert _line(ax, "--").get_xydata().tolist() == [[0, 0.1], [1, 0.2], [2, 0.3]]
    band = {tuple(np.round(point, 6)) for point in ax.collections[0].get_paths()[0].vertices}
    assert {(0, 0.4), (0, 0.55), (2, 0.6), (2, 0.75)} <= band


def test_baselines_are_level_lines_however_they_are_tabled(probes):
    ax = probe_lines(probes, task="upos")
    dotted = [line for line in ax.lines if line.get_linestyle() == ":"]
    assert [list(line.get_ydata()) for line in dotted] == [[0.4, 0.4], [0.65, 0.65]]
    assert all(list(line.get_xdata()) == [0, 1] for line in dotted)  # of the width of the axes


def test_lines_are_named_at_their_ends(probes):
    ax = probe_lines(probes, task="upos")
    named = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert list(named) == [
        "linear, control labels",
        "majority class",
        "type lookup",
        "linear probe",
    ]
    assert named["linear, control labels"] == pytest.approx(0.3, abs=0.05)
    assert named["linear probe"] == pytest.approx(0.7, abs=0.05)
    assert ax.get_ylabel() == "upos: accuracy"
    assert ax.get_xlabel() == "hidden state (0 = embeddings)"


def test_a_baseline_by_layer_is_drawn_by_layer(probes):
    rows = probes["probe"] == "majority"
    probes.loc[rows, "value"] = probes.loc[rows, "layer"] / 10
    ax = probe_lines(probes, task="upos")
    dotted = next(line for line in ax.lines if line.get_linestyle() == ":")
    assert dotted.get_xydata().tolist() == [[0, 0.0], [1, 0.1], [2, 0.2]]


def test_unknown_task_ambiguous_metric_and_missing_probe_are_refused(probes):
    with pytest.raises(FigureError, match=r"task = 'ner'; choose one of \['depth', 'upos'\]"):
        probe_lines(probes, task="ner")
    both = pd.concat([probes, probes.assign(metric="f1")])
    with pytest.raises(FigureError, match=r"\['accuracy', 'f1'\]: say which"):
        probe_lines(both, task="upos")
    assert probe_lines(both, task="upos", metric="f1").get_ylabel() == "upos: f1"
    with pytest.raises(FigureError, match="only baselines"):
        probe_lines(probes[probes["probe"] != "linear"], task="upos")
    with pytest.raises(FigureError, match="choose one of value, selectivity"):
        probe_lines(probes, task="upos", quantity="gain")


def test_control_sources_have_lines_of_their_own(probes):
    probes = probes.assign(source=probes["probe"].map({"linear": "model"}))
    linear = probes[probes["probe"] == "linear"]
    # Two random models, of which the mean is drawn.
    random = [linear.assign(source="random_weights", value=linear["value"] - d) for d in (0.2, 0.4)]
    ax = probe_lines(pd.concat([probes, *random]), task="upos")
    assert _line(ax, "-").get_xydata().tolist() == [[0, 0.5], [1, 0.6], [2, 0.7]]
    assert _line(ax, "-.").get_ydata() == pytest.approx([0.2, 0.3, 0.4])
    assert "linear, random weights" in [text.get_text() for text in ax.texts]


def test_several_tasks_are_lines_without_baselines(probes):
    ax = probe_lines(probes, task=["upos", "depth"])
    solid = [line for line in ax.lines if line.get_marker()]
    assert [line.get_ydata().tolist() for line in solid] == [[0.5, 0.6, 0.7], [0.0, 0.0, 0.0]]
    assert len(ax.lines) == 2
    assert [text.get_text() for text in ax.texts] == ["depth", "upos"]
    assert ax.get_ylabel() == "accuracy"
    many = pd.concat([probes[probes["task"] == "upos"].assign(task=f"task {k}") for k in range(9)])
    with pytest.raises(FigureError, match=r"9 lines cannot be told apart.*choose with `task=`"):
        probe_lines(many, task=[f"task {k}" for k in range(9)])


def test_selectivity_has_its_own_band_and_a_line_at_zero(probes):
    gain = probes["value"] - probes["control"]
    probes = probes.assign(
        selectivity=gain, selectivity_ci_low=gain - 0.02, selectivity_ci_high=gain + 0.03
    )
    ax = probe_lines(probes, task="upos", quantity="selectivity")
    line = next(line for line in ax.lines if line.get_marker() == "o")
    assert line.get_ydata() == pytest.approx([0.4, 0.4, 0.4])
    band = {tuple(np.round(point, 6)) for point in ax.collections[0].get_paths()[0].vertices}
    assert {(0, 0.38), (0, 0.43), (2, 0.38), (2, 0.43)} <= band
    assert [list(line.get_ydata()) for line in ax.lines if not line.get_marker()] == []
    assert [0, 0] in [list(line.get_ydata()) for line in ax.lines]
    assert ax.get_ylabel() == "upos: accuracy: selectivity"


def test_description_lengths_are_read_against_the_uniform_code(probes):
    linear = probes[(probes["probe"] == "linear") & (probes["task"] == "upos")]
    mdl = linear.assign(metric="compression", value=linear["value"] * 10, source="model", model=0)
    ax = probe_lines(mdl, task="upos", metric="compression")
    assert _line(ax, "-").get_ydata() == pytest.approx([5, 6, 7])
    assert _line(ax, ":").get_ydata() == [1.0, 1.0]
    assert "uniform code" in [text.get_text() for text in ax.texts]
    lengths = probe_lines(mdl.assign(metric="codelength"), task="upos")
    assert lengths.get_ylabel() == "upos: codelength (bits)"
    assert ":" not in [line.get_linestyle() for line in lengths.lines]


@pytest.fixture
def curves():
    sizes = [400, 100, 200]  # as they come
    first = pd.DataFrame({"layer": 0, "sentences": sizes, "value": [0.8, 0.6, 0.7]})
    first = first.assign(control=[0.3, 0.1, 0.2])
    parts = [first, first.assign(layer=1, value=first["value"] + 0.1)]
    table = pd.concat(parts).assign(task="upos", probe="linear", source="model")
    table = table.assign(ci_low=table["value"] - 0.1, ci_high=table["value"] + 0.05)
    return pd.concat([table, table.assign(source="random_weights", value=0.0)])


def test_learning_curves_follow_the_sizes_on_a_log_axis(curves):
    ax = learning_curves(curves, task="upos")
    assert ax.get_xscale() == "log"
    solid = [line for line in ax.lines if line.get_linestyle() == "-"]
    assert solid[0].get_xdata().tolist() == [100, 200, 400]
    assert solid[0].get_ydata() == pytest.approx([0.6, 0.7, 0.8])
    assert solid[1].get_ydata() == pytest.approx([0.7, 0.8, 0.9])
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed[0].get_ydata() == pytest.approx([0.1, 0.2, 0.3])
    assert [text.get_text() for text in ax.texts] == ["control labels", "layer 0", "layer 1"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["100", "400"]
    band = {tuple(np.round(point, 6)) for point in ax.collections[0].get_paths()[0].vertices}
    assert {(100, 0.5), (100, 0.65), (400, 0.7), (400, 0.85)} <= band


def test_layers_of_learning_curves_can_be_chosen(curves):
    ax = learning_curves(curves, task="upos", layers=[1])
    assert [text.get_text() for text in ax.texts] == ["control labels", "layer 1"]
    with pytest.raises(FigureError, match=r"layer = 7; choose one of \[0, 1\]"):
        learning_curves(curves, task="upos", layers=[7])
    many = pd.concat([curves.assign(layer=k) for k in range(9)]).drop_duplicates(
        ["layer", "sentences", "source"]
    )
    with pytest.raises(FigureError, match=r"9 lines.*choose with `layers=`"):
        learning_curves(many, task="upos")


def _grid(ax):
    return ax.collections[0].get_array().filled(np.nan)


def test_the_map_has_a_row_for_each_task_and_no_baseline(probes):
    ax = probe_map(probes)
    assert _grid(ax) == pytest.approx(np.array([[0.5, 0.6, 0.7], [0, 0, 0]]))
    assert [text.get_text() for text in ax.get_yticklabels()] == ["upos", "depth"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "2"]
    over = probe_map(probes.assign(over_lookup=probes["value"] - 0.55), quantity="over_lookup")
    signs = [(t.get_position(), t.get_text()) for t in over.texts]
    assert ((0, 0), "−") in signs  # .5 is below .55
    assert len(signs) == 4


def test_the_map_rings_the_layer_that_was_chosen(probes):
    best = pd.DataFrame(
        {"task": ["upos", "upos", "depth"], "probe": ["mlp", "linear", "linear"],
         "layer": [0, 2, 1], "value": 0.5}
    )  # fmt: skip
    ax = probe_map(SimpleNamespace(table=probes, best=best))
    rings = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines]
    assert rings == [(2, 0), (1, 1)]
    # White on the darkest cell, black on the lightest.
    colours = [to_hex(line.get_markeredgecolor()) for line in ax.lines]
    assert colours == ["#ffffff", "#000000"]
    assert not probe_map(probes).lines


def test_what_the_map_cannot_choose_is_asked_for(probes):
    two = pd.concat([probes, probes[probes["probe"] == "linear"].assign(probe="mlp")])
    with pytest.raises(FigureError, match=r"\['linear', 'mlp'\]: say which with `probe=`"):
        probe_map(two)
    assert _grid(probe_map(two, probe="mlp")).shape == (2, 3)
    with pytest.raises(FigureError, match="several metrics"):
        probe_map(pd.concat([probes, probes.assign(metric="f1")]))
    with pytest.raises(FigureError, match="choose one of value, selectivity, over_lookup"):
        probe_map(probes, quantity="p")


def test_nothing_is_cut_off_at_the_width_of_a_column(probes, curves, tmp_path):
    draw = {
        "lines": lambda: probe_lines(probes, task="upos"),
        "map": lambda: probe_map(probes),
        "curves": lambda: learning_curves(curves, task="upos"),
    }
    for name, figure in draw.items():
        with style("paper", columns=1):
            ax = figure()
        png = save(ax, tmp_path / name)[2]
        assert plt.imread(png).shape[1] == int(7.7 / 2.54 * 200)
        box = ax.figure.get_tightbbox()
        assert box.x0 > -0.01
        assert box.x1 < 7.7 / 2.54 + 0.01
