import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, probe_lines
from bertology.viz.lines import spread


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
    assert list(named) == ["linear, control", "majority class", "type lookup", "linear probe"]
    assert named["linear, control"] == pytest.approx(0.3, abs=0.05)
    assert named["linear probe"] == pytest.approx(0.7, abs=0.05)
    assert ax.get_ylabel() == "upos: accuracy"
    assert ax.get_xlabel() == "hidden state (0 = embeddings)"


def test_names_are_moved_apart_no_further_than_needed():
    assert spread([0.0, 1.0], 0.5) == [0.0, 1.0]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    places = spread([0.0, 0.01, 0.02, 5.0], 1.0)
    assert np.diff(places).min() > 0.99
    assert places[3] == 5.0


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
