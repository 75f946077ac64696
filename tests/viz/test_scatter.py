from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from bertology.viz import FigureError, effect_against_importance, permutation_scatter, style
from bertology.viz.scatter import effect_rows


def test_points_are_importance_and_size_apart_by_direction(summary):
    ax = effect_against_importance(summary)
    points = {c.get_label(): c.get_offsets().tolist() for c in ax.collections if c.get_label()}
    assert sorted(points["target falls"]) == [[0.1, 0.2], [0.5, 0.4]]
    assert sorted(points["target rises"]) == [[0, 0], [0.2, 0.1], [0.3, 0.3], [0.4, 0.5]]


def test_interval_of_a_fall_is_turned_over(summary):
    rows = effect_rows(summary).set_index(["layer", "head"])
    # −.4 with interval −.42 to −.35 becomes .4 with .35 to .42; .3 keeps .28 to .35.
    assert rows.loc[(1, 1), ["below", "above"]].tolist() == pytest.approx([0.05, 0.02])
    assert rows.loc[(1, 0), ["below", "above"]].tolist() == pytest.approx([0.02, 0.05])


def test_filled_only_below_05(summary):
    ax = effect_against_importance(summary)
    rises = next(c for c in ax.collections if c.get_label() == "target rises")
    white = [tuple(colour) == to_rgba("white") for colour in rises.get_facecolors()]
    assert dict(zip(np.round(rises.get_offsets()[:, 1], 3), white, strict=True)) == {
        0.5: False,
        0.3: False,
        0.1: True,
        0.0: True,
    }


def test_largest_are_named_and_names_do_not_overlap(summary):
    crowded = summary.table.copy()
    crowded["importance"] = 0.3 + np.arange(6) * 1e-4
    crowded["zero_delta"] = 0.5 + np.arange(6) * 1e-4
    for table in (summary.table, crowded):
        with style():
            ax = effect_against_importance(table)
        figure = ax.get_figure()
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in ax.texts]
        for place, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[place + 1 :])
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.width
    named = [text.get_text() for text in effect_against_importance(summary).texts]
    assert named[:2] == ["L1H2", "L1H1"]


@pytest.fixture
def permuted():
    return pd.DataFrame({
        "predicted": [1, 0, 1], "max_attention": [0.9, 0.2, 0.5], "median_tvd": [0.1, 0.3, 0.0],
    })  # fmt: skip


def test_every_text_is_a_point_in_the_look_of_its_class(permuted):
    for given in (permuted, SimpleNamespace(table=None, permutation=permuted)):
        ax = permutation_scatter(given)
        points = {c.get_label(): c.get_offsets().tolist() for c in ax.collections}
        assert points == {"0 (1)": [[0.2, 0.3]], "1 (2)": [[0.9, 0.1], [0.5, 0.0]]}
        shapes = [c.get_paths()[0].vertices.shape for c in ax.collections]
        assert shapes[0] != shapes[1]
        assert (ax.get_xlim(), ax.get_ylim()) == ((0, 1), (0, 1))


def test_more_classes_than_markers_are_refused(permuted):
    many = pd.concat([permuted.assign(predicted=k) for k in range(9)])
    with pytest.raises(FigureError, match="9 classes cannot be told apart"):
        permutation_scatter(many)
