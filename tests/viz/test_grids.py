import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, relation_map, statistic_map, style
from bertology.viz.grids import relation_by_layer


def _texts(ax):
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}


@pytest.fixture
def heads():
    layer, head = np.divmod(np.arange(6), 3)
    return pd.DataFrame(
        {"layer": layer, "head": head, "statistic": "previous", "mean": np.arange(6) / 10}
    ).assign(ci_low=0, ci_high=1, n=9, baseline=0.25)


def test_statistic_map_starts_at_zero_and_marks_the_baseline(heads):
    ax = statistic_map(heads, statistic="previous")
    mesh = ax.collections[0]
    assert np.array_equal(mesh.get_array(), np.arange(6).reshape(2, 3) / 10)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 0.5)
    assert any(list(line.get_ydata()) == [0.25, 0.25] for line in mesh.colorbar.ax.lines)
    assert ax.get_title() == "previous (share of attention)"
    with pytest.raises(FigureError, match="'entropy'; choose one of"):
        statistic_map(heads, statistic="entropy")


@pytest.fixture
def relations():
    rows = [
        (relation, direction, layer, head, accuracy)
        for relation, shift in (("obj", 0.0), ("det", 0.3))
        for direction, extra in (("dependent_to_head", 0.0), ("head_to_dependent", 0.05))
        for layer in (0, 1)
        for head, accuracy in ((0, 0.1 + shift), (1, 0.2 * layer + shift + extra))
    ]
    columns = ["relation", "direction", "layer", "head", "accuracy"]
    return pd.DataFrame(rows, columns=columns).assign(baseline_accuracy=0.15)


def test_relation_map_is_the_best_of_each_layer_minus_the_baseline(relations):
    grid, looks = relation_by_layer(relations)
    assert grid.index.tolist() == ["det", "obj"]
    assert grid.to_numpy() == pytest.approx(np.array([[0.25, 0.4], [-0.05, 0.1]]))
    assert looks == "2 heads × 2 directions"


def test_relation_map_says_how_much_was_tried_and_marks_what_is_below(relations):
    ax = relation_map(relations)
    assert "best of 2 heads × 2 directions" in ax.get_title()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["det", "obj"]
    assert _texts(ax) == {(1, 0): "−"}


def test_given_axes_are_drawn_on_and_no_figure_is_made(heads):
    ax = plt.figure().add_subplot()
    assert statistic_map(heads, statistic="previous", ax=ax) is ax
    assert len(plt.get_fignums()) == 1


def test_large_models_get_fewer_numbers(heads):
    layer, head = np.divmod(np.arange(1024), 32)
    table = pd.DataFrame({"layer": layer, "head": head, "mean": 0.1})
    with style():
        ax = statistic_map(table.assign(statistic="self", baseline=0.1), statistic="self")
    assert [t.get_text() for t in ax.get_xticklabels()] == [str(k) for k in range(0, 32, 2)]
