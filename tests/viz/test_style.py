import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from bertology.viz import FigureError, style
from bertology.viz.style import PALETTE, SEQUENTIAL, axes_for, lightness


def test_a_column_is_77_mm_and_the_text_160_mm_wide():
    for columns, millimetres in ((1, 77), (2, 160)):
        with style("paper", columns=columns):
            width = axes_for(None, 2.0).get_figure().get_figwidth()
        assert width * 25.4 == pytest.approx(millimetres)


def test_print_settings_hold_inside_and_nothing_is_left_after_an_exception():
    before = dict(mpl.rcParams)
    with pytest.raises(ZeroDivisionError), style("paper"):
        assert mpl.rcParams["pdf.fonttype"] == 42
        assert mpl.rcParams["svg.fonttype"] == "none"
        assert 7 <= mpl.rcParams["xtick.labelsize"] <= 8
        _ = 1 / 0
    assert dict(mpl.rcParams) == before


def test_only_its_own_settings_are_restored():
    before = mpl.rcParams["lines.dash_capstyle"]
    try:
        with style():
            mpl.rcParams["lines.dash_capstyle"] = "round"
        assert mpl.rcParams["lines.dash_capstyle"] == "round"
    finally:
        mpl.rcParams["lines.dash_capstyle"] = before


def test_importing_changes_no_setting():
    code = (
        "import matplotlib as m; before = dict(m.rcParams); import bertology.viz; "
        "assert dict(m.rcParams) == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_drawing_code_loads_no_model_code():
    code = (
        "import sys, bertology.viz; "
        "bad = {'torch', 'transformers', 'bertology.models', 'bertology.capture'}; "
        "assert not bad & set(sys.modules), bad & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_style_says_which_there_are():
    for name, columns in (("poster", 1), ("paper", 3)):
        with pytest.raises(FigureError, match="'paper' or 'screen'"), style(name, columns=columns):
            pass


def test_lightness_of_known_colours():
    assert lightness("black") == pytest.approx(0)
    assert lightness("white") == pytest.approx(100)
    assert lightness("#777777") == pytest.approx(50, abs=0.5)


def test_neighbouring_colours_differ_in_grey():
    levels = np.array([lightness(colour) for colour in PALETTE])
    assert np.abs(np.diff(levels)).min() > 10


def test_sequential_map_darkens_evenly():
    levels = [lightness(mpl.colors.to_hex(SEQUENTIAL(x))) for x in np.linspace(0, 1, 11)]
    steps = -np.diff(levels)
    assert levels[0] == pytest.approx(100)
    assert steps.min() > 0.7 * steps.mean()
    assert steps.max() < 1.3 * steps.mean()


def test_given_axes_are_used():
    ax = plt.figure().add_subplot()
    assert axes_for(ax, 1.0) is ax
