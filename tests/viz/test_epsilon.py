from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, epsilon_curves


@pytest.fixture
def curve():
    table = pd.DataFrame({"epsilon": [0.1, 0.01, 0.02], "mean": [0.5, 0.1, 0.3]})
    return table.assign(ci_low=table["mean"] - 0.02, ci_high=table["mean"] + 0.05, n=50)


@pytest.fixture
def layers(curve):
    parts = []
    for shift, layer in enumerate([pd.NA, 0, 11]):
        for statistic, factor in (("jsd", 1.0), ("read_jsd", 0.5)):
            part = curve.assign(layer=layer, statistic=statistic, bound=0.6 + shift / 100)
            part["mean"] = (part["mean"] + shift / 50) * factor
            parts.append(part)
    return pd.concat(parts).astype({"layer": "Int64"})


def _names(ax):
    return [text.get_text() for text in ax.texts]


def test_the_curve_is_the_table_by_epsilon_with_its_band_below_ln_2(curve):
    ax = epsilon_curves(curve)
    limit, line = ax.lines
    assert set(limit.get_ydata()) == {np.log(2)}
    assert line.get_xdata().tolist() == [0.01, 0.02, 0.1]
    assert line.get_ydata().tolist() == [0.1, 0.3, 0.5]
    band = ax.collections[0].get_paths()[0].vertices
    for epsilon, low, high in ((0.01, 0.08, 0.15), (0.1, 0.48, 0.55)):
        assert np.ptp(band[np.isclose(band[:, 0], epsilon), 1]) == pytest.approx(high - low)
    assert ax.get_ylim()[1] > np.log(2)
    assert ax.get_xscale() == "log"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0.01", "0.02", "0.1"]
    assert _names(ax) == ["found", "ln 2"]


def test_layers_have_lines_of_their_own_and_the_bound_with_the_output_free(layers):
    ax = epsilon_curves(layers)
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [set(line.get_ydata()) for line in dashed] == [{0.6}, {0.61}, {0.62}]
    assert {"all layers", "layer 0", "layer 11"} < set(_names(ax))
    drawn = [line.get_ydata()[0] for line in ax.lines if line.get_marker() != ""]
    assert drawn == pytest.approx([0.1, 0.12, 0.14])
    read = epsilon_curves(layers, statistic="read_jsd")
    drawn = [line.get_ydata()[0] for line in read.lines if line.get_marker() != ""]
    assert drawn == pytest.approx([0.05, 0.06, 0.07])
    assert "position read" in read.get_ylabel()


def test_the_curve_of_a_result_is_found(curve):
    result = SimpleNamespace(table=curve.assign(mean=0.0), epsilon_curve=curve)
    assert epsilon_curves(result).lines[1].get_ydata().tolist() == [0.1, 0.3, 0.5]


def test_other_seeds_are_a_band_of_the_middle_half_of_the_texts(curve):
    ax = epsilon_curves(curve, seeds=[*np.linspace(0.1, 0.3, 5), np.nan])
    band = next(patch for patch in ax.patches if patch.get_hatch())
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.15, 0.25))
    assert "other seeds" in _names(ax)
    assert "other seeds" not in _names(epsilon_curves(curve))


def test_what_cannot_be_drawn_is_refused(curve, layers):
    with pytest.raises(FigureError, match=r"epsilon = 0\.1 comes more than once"):
        epsilon_curves(pd.concat([curve, curve]))
    with pytest.raises(FigureError, match="log scale"):
        epsilon_curves(curve.assign(epsilon=[0.0, 0.1, 0.2]))
    with pytest.raises(FigureError, match=r"'tvd'; choose one of \['jsd', 'read_jsd'\]"):
        epsilon_curves(layers, statistic="tvd")
    many = pd.concat([layers.dropna(subset="layer").assign(layer=k) for k in range(9)])
    with pytest.raises(FigureError, match="9 lines cannot be told apart"):
        epsilon_curves(many.drop_duplicates(["layer", "statistic", "epsilon"]))
