from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from bertology.viz import FigureError, effect_map, layer_effects, specificity_map, style


def _texts(ax):
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}


@pytest.fixture
def ablation():
    layer, head = np.divmod(np.arange(6), 3)
    rows = pd.DataFrame({"layer": layer, "head": head, "base": 1.0, "n": 50})
    zero = rows.assign(mode="zero", metric="target", delta=[0.1, -0.5, 0.2, 0, -0.1, 0.3])
    mean = rows.assign(mode="mean", metric="target", delta=9.0)
    p = [0.2, 0.01, 0.051, 1.0, 0.5, 0.05]
    return pd.concat([part.assign(p_adjusted=p) for part in (zero, mean)]).sample(
        frac=1, random_state=0
    )


def test_effect_map_is_the_pivoted_table_around_zero(ablation):
    ax = effect_map(ablation)
    mesh = ax.collections[0]
    assert np.array_equal(mesh.get_array(), [[0.1, -0.5, 0.2], [0, -0.1, 0.3]])
    assert mesh.norm.vmin == -mesh.norm.vmax == -0.5
    assert ax.yaxis_inverted()


def test_effect_map_marks_the_sign_of_significant_heads_only(ablation):
    ax = effect_map(ablation)
    assert _texts(ax) == {(0, 1): "−", (1, 2): "+"}
    assert ax.get_title().splitlines()[1] == "+ −: adjusted p ≤ .05"


def test_effect_map_without_p_marks_the_largest_and_says_so(ablation):
    ax = effect_map(ablation.assign(p_adjusted=np.nan))
    assert _texts(ax) == {(0, 1): "−", (1, 2): "+"}
    assert "over half the largest (no p: too little data)" in ax.get_title()
    partly = ablation.assign(p_adjusted=ablation["p_adjusted"].where(ablation["head"] == 0))
    assert _texts(effect_map(partly)) == {}


def test_effect_map_takes_the_mode_asked_for(ablation):
    assert (effect_map(ablation, mode="mean").collections[0].get_array() == 9).all()
    with pytest.raises(FigureError, match=r"choose one of \['mean', 'zero'\]"):
        effect_map(ablation, mode="resample")
    with pytest.raises(FigureError, match=r"metric = 'accuracy'"):
        effect_map(ablation, metric="accuracy")


def test_a_head_without_a_row_is_left_empty(ablation):
    without = ablation[~((ablation["layer"] == 1) & (ablation["head"] == 0))]
    mesh = effect_map(without).collections[0]
    assert np.ma.getmaskarray(mesh.get_array()).tolist() == [[False] * 3, [True, False, False]]


def test_given_axes_are_drawn_on_and_no_figure_is_made(ablation):
    ax = plt.figure().add_subplot()
    assert effect_map(ablation, ax=ax) is ax
    assert len(plt.get_fignums()) == 1


@pytest.fixture
def parts(ablation):
    """The heads, and the attention, MLP and whole of both layers, as read from a file."""
    rows = [
        (kind, layer, delta, p)
        for kind, values in {
            "attention": [(-1.0, 0.01), (-0.5, 0.3)],
            "mlp": [(0.25, 0.05), (-2.0, 0.2)],
            "layer": [(-3.0, 0.001), (-4.0, np.nan)],
        }.items()
        for layer, (delta, p) in enumerate(values)
    ]
    of_layers = pd.DataFrame(rows, columns=["kind", "layer", "delta", "p_adjusted"])
    of_layers = of_layers.assign(mode="zero", metric="target")
    a_set = of_layers.iloc[:1].assign(kind="set", layer=np.nan)
    table = pd.concat([ablation.assign(kind="head"), of_layers, a_set], ignore_index=True)
    return table.assign(ci_low=table["delta"] - 0.1, ci_high=table["delta"] + 0.3)


def test_effect_map_draws_the_heads_among_other_parts(parts, ablation):
    assert parts["head"].dtype == float
    ax = effect_map(parts)
    alone = effect_map(ablation)
    assert np.array_equal(ax.collections[0].get_array(), alone.collections[0].get_array())
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1", "2"]
    with pytest.raises(FigureError, match=r"kind = 'head'; choose one of \['attention'"):
        effect_map(parts[parts["kind"] != "head"])


def _series(ax):
    """{name: [(layer, low, value, high, filled)]}; the points lie near their layer."""
    found = {}
    for bars, dots in zip(ax.collections[::2], ax.collections[1::2], strict=True):
        found[dots.get_label()] = [
            (round(x), *segment[:, 1].tolist(), y, tuple(fill) != to_rgba("white"))
            for segment, (x, y), fill in zip(
                bars.get_segments(), dots.get_offsets(), dots.get_facecolors(), strict=True
            )
        ]
    return found


def test_parts_of_layers_with_their_intervals(parts):
    found = _series(layer_effects(parts))
    assert list(found) == ["attention", "MLP", "whole layer"]
    assert found["attention"] == [(0, -1.1, -0.7, -1.0, True), (1, -0.6, -0.2, -0.5, False)]
    assert found["MLP"] == [(0, 0.15, 0.55, 0.25, True), (1, -2.1, -1.7, -2.0, False)]
    assert [filled for *_, filled in found["whole layer"]] == [True, False]


def test_the_parts_of_a_layer_do_not_lie_on_each_other(parts):
    dots = layer_effects(parts).collections[1::2]
    places = sorted(x for own in dots for x, _ in own.get_offsets())
    assert np.diff(places).min() > 0.2
    # The whole of a layer is nearer to it than to the next.
    assert np.abs(np.array(places) - np.round(places)).max() < 0.3


def test_layers_without_some_kind_are_drawn_and_heads_alone_refused(parts):
    assert list(_series(layer_effects(parts[parts["kind"] != "mlp"]))) == [
        "attention", "whole layer",
    ]  # fmt: skip
    with pytest.raises(FigureError, match=r"expected kind attention, mlp, layer, found .*'head'"):
        layer_effects(parts[parts["kind"].isin(["head", "set"])])
    with pytest.raises(FigureError, match="comes more than once"):
        layer_effects(pd.concat([parts, parts]))


@pytest.fixture
def specificity():
    rows = [
        ("determiner heads", "det_noun", -0.3, 0.001), ("determiner heads", "UPOS", 0.0, 1.0),
        ("L0H1", "det_noun", 0.1, 0.05), ("L0H1", "UPOS", -0.05, 0.06),
        ("L3 mlp", "det_noun", 0.02, 0.4), ("L3 mlp", "UPOS", -0.2, 0.01),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["part", "behaviour", "delta", "p_adjusted"]).assign(
        metric="accuracy"
    )


def test_specificity_is_the_table_in_its_order_with_signs(specificity):
    ax = specificity_map(specificity)
    mesh = ax.collections[0]
    assert np.array_equal(mesh.get_array(), [[-0.3, 0.0], [0.1, -0.05], [0.02, -0.2]])
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-0.3, 0.3)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["determiner heads", "L0H1", "L3 mlp"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["det noun", "UPOS"]
    assert _texts(ax) == {(0, 0): "−", (1, 0): "+", (2, 1): "−"}
    assert mesh.colorbar.ax.get_ylabel() == "change of accuracy"


def test_the_parts_with_the_largest_changes_are_kept_in_order(specificity):
    ax = specificity_map(specificity, most=2)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["determiner heads", "L3 mlp"]
    assert _texts(ax) == {(0, 0): "−", (1, 1): "−"}
    assert ax.get_title().splitlines()[0] == "2 of 3 parts, the largest changes"


def test_behaviours_may_have_a_metric_each_but_not_several(specificity):
    own = specificity["metric"].where(specificity["behaviour"] == "UPOS", "pairs")
    ax = specificity_map(specificity.assign(metric=own))
    assert ax.collections[0].colorbar.ax.get_ylabel() == "change of the score"
    both = pd.concat([specificity, specificity.assign(metric="f1", delta=0.5)])
    with pytest.raises(FigureError, match=r"\['accuracy', 'f1'\]: say which with `metric=`"):
        specificity_map(both)
    assert (specificity_map(both, metric="f1").collections[0].get_array() == 0.5).all()
    with pytest.raises(FigureError, match="comes more than once"):
        specificity_map(pd.concat([specificity, specificity]))


def test_long_names_and_many_heads_stay_inside_the_figure():
    names = ["determiner_noun_agreement_with_adjective_irregular_2", "anaphor_gender", "UPOS"]
    rows = [(f"L{k // 12}H{k % 12}", name, 0.1, 0.5) for k in range(48) for name in names]
    table = pd.DataFrame(rows, columns=["part", "behaviour", "delta", "p_adjusted"])
    with style():
        ax = specificity_map(table.assign(metric="accuracy"))
        figure = ax.get_figure()
        figure.draw_without_rendering()
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title]
    for box in (label.get_window_extent() for label in labels):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1
    heights = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert all(above.y0 >= below.y1 for above, below in pairwise(heights))


def test_columns_too_narrow_for_their_names_are_refused():
    def table(columns):
        rows = [("L0H1", f"paradigm {k}", 0.1, 0.5) for k in range(columns)]
        named = pd.DataFrame(rows, columns=["part", "behaviour", "delta", "p_adjusted"])
        return named.assign(metric="accuracy")

    with style("paper", columns=1):
        names = specificity_map(table(5)).get_xticklabels()
        assert {name.get_fontsize() for name in names} == {7.0}
        with pytest.raises(FigureError, match=r"60 columns are too narrow .* in a figure of 3"):
            specificity_map(table(60))
    with style("paper", columns=2):
        ax = specificity_map(table(60))
        ax.get_figure().draw_without_rendering()
        names = ax.get_xticklabels()
        places = [ax.transData.transform(name.get_position())[0] for name in names]
        apart = np.diff(places).min() * 72 / ax.get_figure().dpi
    assert all(5 <= name.get_fontsize() <= apart + 0.01 for name in names)
    assert names[0].get_fontsize() < 7
