from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, erasure_curves


@pytest.fixture
def points():
    shares = np.array([0.5, 0.0, 1.0])  # not in order
    parts = []
    for place, score in enumerate(["lime", "random", "leave_one_out_reversed", "rollout"]):
        for metric, mean in (("deletion", 1 - shares), ("insertion", shares)):
            part = pd.DataFrame({"share": shares, "mean": mean * (1 - place / 10)})
            parts.append(part.assign(score=score, metric=metric, operator="mask"))
    table = pd.concat(parts)
    return table.assign(ci_low=table["mean"] - 0.02, ci_high=table["mean"] + 0.05)


def _lines(ax):
    return {line.get_label(): (line.get_linestyle(), line.get_ydata()) for line in ax.lines}


@pytest.mark.parametrize(
    ("metric", "ends"), [("deletion", [1, 0.5, 0]), ("insertion", [0, 0.5, 1])]
)
def test_curves_are_the_table_in_order_with_the_two_references(points, metric, ends):
    ax = erasure_curves(SimpleNamespace(table="areas", points=points), metric=metric)
    lines = _lines(ax)
    assert list(lines) == ["rollout", "LIME", "random", "leave one out, reversed"]
    for name, factor in zip(lines, (0.7, 1.0, 0.9, 0.8), strict=True):
        assert lines[name][1] == pytest.approx(np.array(ends) * factor)
    assert [style for style, _ in lines.values()] == ["-", "-", ":", "--"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(lines)
    assert len(ax.collections) == 4


def test_bands_are_the_intervals(points):
    ax = erasure_curves(points, scores=["lime"])
    for band, factor in zip(ax.collections, (1.0, 0.9, 0.8), strict=True):
        vertices = band.get_paths()[0].vertices
        start = vertices[vertices[:, 0] == 0, 1]
        assert (start.min(), start.max()) == pytest.approx((factor - 0.02, factor + 0.05))


def test_rankings_can_be_chosen_and_the_references_stay(points):
    names = list(_lines(erasure_curves(points, scores=["lime"])))
    assert names == ["LIME", "random", "leave one out, reversed"]
    without = points[~points["score"].isin(["random", "leave_one_out_reversed"])]
    assert list(_lines(erasure_curves(without))) == ["rollout", "LIME"]


def test_one_operator_is_drawn(points):
    both = pd.concat([points, points.assign(operator="pad", mean=0.25)])
    with pytest.raises(FigureError, match=r"\['mask', 'pad'\]: say which with `operator=`"):
        erasure_curves(both)
    assert set(_lines(erasure_curves(both, operator="pad"))["LIME"][1]) == {0.25}


def test_what_cannot_be_drawn_is_refused(points):
    with pytest.raises(FigureError, match=r"'sufficiency'; choose one of \['deletion'"):
        erasure_curves(points, metric="sufficiency")
    with pytest.raises(FigureError, match="'alti'; choose one of"):
        erasure_curves(points, scores=["alti"])
    with pytest.raises(FigureError, match="comes more than once"):
        erasure_curves(pd.concat([points, points]))
    lime = points[points["score"] == "lime"]
    many = pd.concat([lime.assign(score=f"score {k}") for k in range(9)])
    with pytest.raises(FigureError, match="9 lines cannot be told apart"):
        erasure_curves(many)
