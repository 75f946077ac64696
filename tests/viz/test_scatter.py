from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from bertology.viz import FigureError, effect_against_importance, permutation_scatter, style


def _points(ax):
    """{(x, y): filled} of the heads."""
    dots = ax.collections[-1]
    white = [tuple(colour) == to_rgba("white") for colour in dots.get_facecolors()]
    places = map(tuple, np.round(dots.get_offsets(), 3).tolist())
    return dict(zip(places, [not blank for blank in white], strict=True))


def _arms(ax):
    """The intervals: {y: (low x, high x)} and {x: (low y, high y)}."""
    upright, level = ax.collections[:2]
    return (
        {round(s[0, 1], 3): s[:, 0].tolist() for s in level.get_segments()},
        {round(s[0, 0], 3): s[:, 1].tolist() for s in upright.get_segments()},
    )


def test_a_summary_is_drawn_as_it_is(summary):
    ax = effect_against_importance(summary)
    assert _points(ax) == {
        (0.0, 0.0): False, (0.2, 0.1): False, (0.1, -0.2): True,
        (0.3, 0.3): True, (0.5, -0.4): True, (0.4, 0.5): True,
    }  # fmt: skip
    assert _arms(ax)[1][0.5] == pytest.approx([-0.42, -0.35])
    assert (ax.get_title(), ax.get_xlabel()) == ("filled: adjusted p ≤ .05", "importance")


@pytest.fixture
def importance():
    layer, head = np.divmod(np.arange(6)[::-1], 3)  # not in the order of the ablation
    table = pd.DataFrame({"layer": layer, "head": head, "importance": np.arange(6)[::-1] / 10})
    table = table.assign(ci_low=table["importance"] - 0.01, ci_high=table["importance"] + 0.02)
    other = table.assign(importance=9.0, method="output_norm")
    return pd.concat([table.assign(method="per_example"), other])


@pytest.fixture
def ablation():
    layer, head = np.divmod(np.arange(6), 3)
    delta = np.array([0.1, -0.5, 0.2, 0.0, -0.1, 0.3])
    heads = pd.DataFrame({"layer": layer, "head": head, "delta": delta, "kind": "head"})
    heads["p_adjusted"] = [0.2, 0.01, 0.05, 1.0, 0.051, np.nan]
    whole = pd.DataFrame({"layer": [0], "head": [np.nan], "delta": [-9.0], "kind": "layer"})
    table = pd.concat([heads, whole.assign(p_adjusted=0.01)])
    table = table.assign(ci_low=table["delta"] - 0.1, ci_high=table["delta"] + 0.2)
    zero = table.assign(mode="zero", metric="target")
    return pd.concat([zero, zero.assign(mode="mean", delta=8.0)])


def test_importance_meets_the_effect_of_the_same_head(importance, ablation):
    ax = effect_against_importance(importance, ablation, method="per_example")
    assert _points(ax) == {
        (0.0, 0.1): False, (0.1, -0.5): True, (0.2, 0.2): True,
        (0.3, 0.0): False, (0.4, -0.1): False, (0.5, 0.3): False,
    }  # fmt: skip
    across, upright = _arms(ax)
    assert across[-0.5] == pytest.approx([0.09, 0.12])
    assert upright[0.1] == pytest.approx([-0.6, -0.3])
    assert ax.get_xlabel() == "importance: per example"
    assert ax.get_ylabel() == "change of target (zero ablation)"
    assert [text.get_text() for text in ax.texts][:2] == ["L0H1", "L1H2"]


def test_the_rank_correlation_given_is_printed(importance, ablation):
    correlations = pd.DataFrame({
        "method": ["per_example", "output_norm"], "mode": "zero", "metric": "target",
        "value": [0.714, 0.1], "ci_low": [-0.2, 0.0], "ci_high": [0.9, 0.2],
    })  # fmt: skip

    def title(table):
        ax = effect_against_importance(
            importance, ablation, method="per_example", correlation=table
        )
        return ax.get_title().splitlines()[0]

    assert title(correlations) == "rank correlation 0.71 [−0.20, 0.90]"
    assert title(correlations.assign(ci_low=np.nan)) == "rank correlation 0.71"
    kinds = [correlations.assign(statistic="pearson", value=0.2)]
    kinds.append(correlations.assign(statistic="spearman"))
    assert title(pd.concat(kinds)) == "Spearman's ρ 0.71 [−0.20, 0.90]"
    with pytest.raises(FigureError, match="has 2 rows for this figure; keep the one"):
        title(correlations.drop(columns="method"))
    with pytest.raises(FigureError, match=r"lacks the columns \['value'"):
        title(correlations.drop(columns="value"))


def test_tables_that_do_not_belong_together_are_refused(importance, ablation):
    with pytest.raises(FigureError, match=r"\['output_norm', 'per_example'\]: say which"):
        effect_against_importance(importance, ablation)
    own = importance[importance["method"] == "per_example"]
    with pytest.raises(
        FigureError, match=r"1 heads are in one table only, such as L1H2 in that of abl"
    ):
        effect_against_importance(own.iloc[1:], ablation)
    with pytest.raises(FigureError, match=r"such as L0H0 in that of importance"):
        effect_against_importance(own, ablation[ablation["delta"] != 0.1])
    with pytest.raises(FigureError, match="comes more than once"):
        effect_against_importance(pd.concat([own, own]), ablation)
    with pytest.raises(FigureError, match="'resample'; choose one of"):
        effect_against_importance(own, ablation, mode="resample")


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
