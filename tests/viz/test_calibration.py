import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, calibration_map, style


@pytest.fixture
def calibration():
    rows = [
        ("shortcut", "leave_one_out", 0.98, 0.2, True),
        ("shortcut", "rollout", 0.31, 0.2, False),
        ("conjunction", "rollout", 0.9, 0.35, pd.NA),
        ("conjunction", "leave_one_out", np.nan, 0.35, pd.NA),
    ]
    table = pd.DataFrame(rows, columns=["trap", "score", "mean", "baseline", "passes"])
    return table.astype({"passes": "boolean"})


def test_every_cell_has_its_number_and_its_mark(calibration):
    with style("paper", columns=1):
        ax = calibration_map(calibration)
    texts = {tuple(reversed(t.get_position())): t.get_text() for t in ax.texts}
    assert texts == {(0, 0): ".31 ✗", (0, 1): ".90 ?", (1, 0): ".98 ✓"}
    mesh = ax.collections[0]
    drawn = mesh.get_array().filled(np.nan)
    assert np.array_equal(drawn, [[0.31, 0.9], [0.98, np.nan]], equal_nan=True)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0, 1)


def test_traps_keep_their_order_and_say_what_random_scores_reach(calibration):
    ax = calibration_map(calibration)
    columns = [t.get_text() for t in ax.get_xticklabels()]
    assert columns == ["shortcut (.20)", "conjunction (.35)"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["rollout", "leave one out"]


def test_a_missing_cell_is_left_empty(calibration):
    mesh = calibration_map(calibration.drop(index=2)).collections[0]
    assert np.ma.getmaskarray(mesh.get_array()).tolist() == [[False, True], [False, True]]


def test_doubled_cells_are_refused(calibration):
    with pytest.raises(FigureError, match="trap = shortcut, score = leave_one_out comes more"):
        calibration_map(pd.concat([calibration, calibration]))
