import numpy as np
import pytest
from matplotlib.colors import to_rgba

from bertology.viz import FigureError, head_atlas, style
from bertology.viz.atlas import _SMALLEST, CATEGORIES, _marker_scale, atlas_markers


def test_area_is_proportional_to_the_size_of_the_change(summary):
    markers = atlas_markers(summary.table, largest=100.0).sort_values(["layer", "head"])
    areas = markers["area"].to_numpy()
    assert areas[1:] == pytest.approx([20, 40, 60, 80, 100])
    assert areas[0] == pytest.approx(100 * _SMALLEST)  # no change, but still to be seen


def test_shapes_of_one_area_cover_one_area():
    # A unit square has scale 1, a unit circle π/4, matplotlib's triangle half a square.
    assert _marker_scale("s") == pytest.approx(1)
    assert _marker_scale("o") == pytest.approx(4 / np.pi, rel=0.01)
    assert _marker_scale("<") == pytest.approx(2)


def test_marker_colour_place_and_outline_of_each_head(summary):
    with style():
        ax = head_atlas(summary)
    found = {}
    for marks in ax.collections:
        for place, (x, y) in enumerate(marks.get_offsets()):
            edges = marks.get_edgecolors()
            outlined = len(edges) > 0 and edges[place % len(edges)].tolist() == [0, 0, 0, 1]
            found[int(y), int(x)] = (marks.get_label(), outlined, marks.get_facecolors()[0])
    rows = summary.table.set_index(["layer", "head"])
    assert set(found) == set(rows.index)
    for key, (label, outlined, colour) in found.items():
        _, expected, name = CATEGORIES[rows.loc[key, "looks_at"]]
        assert label == name
        assert tuple(colour) == to_rgba(expected)
        assert outlined == (rows.loc[key, "relation"] in ("nsubj", "obj"))


def test_drawn_areas_are_proportional_across_shapes(summary):
    ax = head_atlas(summary)
    scales = {name: _marker_scale(marker) for marker, _, name in CATEGORIES.values()}
    drawn = {
        (int(y), int(x)): size / scales[marks.get_label()]
        for marks in ax.collections
        for (x, y), size in zip(marks.get_offsets(), marks.get_sizes(), strict=True)
    }
    # .5 next, .4 broad, .3 cls, .2 sep: four shapes
    for head, change in {(1, 1): 0.4, (1, 0): 0.3, (0, 2): 0.2}.items():
        assert drawn[head] / drawn[1, 2] == pytest.approx(change / 0.5)


def test_layer_0_is_on_top_and_numbers_are_those_of_the_table(summary):
    table = summary.table.assign(layer=summary.table["layer"] + 4)
    ax = head_atlas(table)
    assert ax.yaxis_inverted()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["4", "5"]


def test_legend_names_the_categories_there_are_and_true_sizes(summary):
    with style():
        ax = head_atlas(summary)
    kinds, sizes = [c for c in ax.get_children() if type(c).__name__ == "Legend"]
    names = [text.get_text() for text in kinds.get_texts()]
    assert names == ["previous token", "next token", "[CLS]", "[SEP]", "everywhere"]
    shown = [float(text.get_text()) for text in sizes.get_texts()[:2]]
    areas = [handle.get_markersize() ** 2 for handle in sizes.legend_handles[:2]]
    assert areas[0] / areas[1] == pytest.approx(shown[0] / shown[1])
    largest = max(
        marks.get_sizes().max() for marks in ax.collections if marks.get_label() == "[SEP]"
    )
    # [SEP]'s largest change is .2, drawn as a diamond, whose scale is 1.
    assert areas[0] / _marker_scale("o") / shown[0] == pytest.approx(largest / 0.2)
    assert sizes.get_texts()[-1].get_text() == "finds a relation"


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (12, 12), (32, 32)])
def test_any_size_of_model(summary, layers, heads):
    layer, head = np.divmod(np.arange(layers * heads), heads)
    row = summary.table.iloc[[5] * (layers * heads)].assign(layer=layer, head=head)
    with style():
        ax = head_atlas(row)
        ax.get_figure().draw_without_rendering()
    assert sum(len(marks.get_offsets()) for marks in ax.collections) == layers * heads
    # Markers stay inside their cell.
    cell = 72 * ax.bbox.width / ax.get_figure().dpi / heads
    assert np.sqrt(ax.collections[0].get_sizes().max() / _marker_scale(">")) <= cell


def test_heads_without_ablation_are_still_drawn(summary):
    ax = head_atlas(summary.table.assign(zero_delta=np.nan))
    assert sum(len(marks.get_offsets()) for marks in ax.collections) == 6


def test_unknown_category_is_refused(summary):
    with pytest.raises(FigureError, match=r"\['verbs'\]; expected one of \['previous'"):
        head_atlas(summary.table.assign(looks_at="verbs"))
