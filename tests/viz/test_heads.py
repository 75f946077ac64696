"""Figures of the head analyses: what is drawn is the table."""

import numpy as np
import pandas as pd
import pytest

from bertology.viz import (
    FigureError,
    comparison_map,
    head_space,
    layer_curves,
    relation_head_map,
    representation_map,
    save,
    style,
)
from bertology.viz.relation_heads import relation_by_head


def cells(layers: int = 2, heads: int = 3) -> pd.DataFrame:
    layer, head = np.divmod(np.arange(layers * heads), heads)
    return pd.DataFrame({"layer": layer, "head": head})


@pytest.fixture
def statistics() -> pd.DataFrame:
    rows = cells().assign(mean=np.arange(6) / 10, baseline=0.25, statistic="cls")
    other = rows.assign(statistic="sep", mean=0.5)
    entropy = rows.assign(statistic="entropy", mean=np.arange(6), baseline=3.0)
    return pd.concat([rows, other, entropy]).sample(frac=1, random_state=0)


def test_layer_curves_go_through_the_means_of_the_layers(statistics):
    ax = layer_curves(statistics, statistics=["cls", "sep"])
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["cls"].get_ydata(), [0.1, 0.4])
    np.testing.assert_allclose(lines["sep"].get_ydata(), [0.5, 0.5])
    marks = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert sorted(marks[0].get_ydata()) == pytest.approx(np.arange(6) / 10)
    assert any(line.get_linestyle() == ":" and set(line.get_ydata()) == {0.25} for line in ax.lines)
    # Marks of one statistic stand beside those of the other.
    assert not set(marks[0].get_xdata()) & set(marks[1].get_xdata())
    assert layer_curves(statistics, statistics=["entropy"]).get_ylabel() == "entropy (nats)"


def test_statistics_of_different_units_are_not_drawn_together(statistics):
    with pytest.raises(FigureError, match=r"units \['entropy \(nats\)', 'share of attention'\]"):
        layer_curves(statistics, statistics=["cls", "entropy"])
    with pytest.raises(FigureError, match="units of none"):
        layer_curves(statistics, statistics=[])
    with pytest.raises(FigureError, match="statistic = 'punctuation'"):
        layer_curves(statistics)


@pytest.fixture
def clusters() -> pd.DataFrame:
    places = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.5, 0.5], [9, 9]], float)
    return cells().assign(
        x=places[:, 0], y=places[:, 1], cluster=[0, 0, 0, 0, 0, 1],
        name=["other", "sep", "sep", "next", "other", "broad"],
    )  # fmt: skip


def test_heads_lie_where_the_table_says_and_the_lonely_are_named(clusters):
    ax = head_space(clusters, label=1)
    drawn = np.concatenate([marks.get_offsets() for marks in ax.collections])
    assert sorted(map(tuple, drawn)) == sorted(zip(clusters["x"], clusters["y"], strict=True))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == "sep" and labels[-1] == "other" and len(labels) == 4
    assert [text.get_text() for text in ax.texts] == ["L1H2"]


def test_heads_can_be_told_apart_by_layer_or_cluster(clusters):
    for by, groups in (("layer", 2), ("cluster", 2), ("name", 4)):
        assert len(head_space(clusters, by=by).collections) == groups
    with pytest.raises(FigureError, match="name, layer, cluster"):
        head_space(clusters, by="head")


@pytest.fixture
def relations() -> pd.DataFrame:
    parts = []
    for relation, n, values in (("det", 9, [0.9, 0.1, 0.2]), ("obj", 30, [0.2, 0.3, 0.1])):
        for direction, shift in (("dependent_to_head", 0.0), ("head_to_dependent", -0.1)):
            rows = cells(1).assign(relation=relation, direction=direction, n=n)
            parts.append(rows.assign(accuracy=np.array(values) + shift, baseline_accuracy=0.25))
    return pd.concat(parts)


def test_relation_by_head_takes_the_better_direction_and_the_frequent_first(relations):
    grid, layers = relation_by_head(relations, 20)
    assert list(grid.index) == ["obj", "det"] and layers.tolist() == [0, 0, 0]
    np.testing.assert_allclose(grid.loc["det"], [0.65, -0.15, -0.05])
    assert list(relation_by_head(relations, 1)[0].index) == ["obj"]


def test_the_best_head_of_a_relation_is_marked(relations):
    ax = relation_head_map(relations)
    marks = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert marks == {(0, 1): "+", (1, 0): "+"}
    below = relations.assign(baseline_accuracy=1.0)
    assert not relation_head_map(below).texts


@pytest.fixture
def comparison() -> pd.DataFrame:
    rows = cells().assign(measure="cosine", mean=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    low = [0.3, 0.2, 0.1, 0.0, -0.1, 0.1]
    rows = rows.assign(difference_low=low, difference_high=0.5)
    jsd = rows.assign(measure="jsd", difference_low=-0.4, difference_high=[-0.1] * 5 + [0.1])
    return pd.concat([rows, jsd])


def test_comparison_map_marks_heads_no_more_alike_than_sentences(comparison):
    ax = comparison_map(comparison)
    assert ax.collections[0].get_array()[0, 0] == 0.9
    marks = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in ax.texts}
    assert marks == {(1, 0): "−", (1, 1): "−"}
    # Of a divergence, less is more alike.
    ax = comparison_map(comparison, measure="jsd")
    assert [tuple(map(int, t.get_position())) for t in ax.texts] == [(2, 1)]


def test_representation_map_is_the_pivoted_table():
    table = pd.DataFrame(
        {"layer": [0, 0, 1, 1], "other_layer": [0, 1, 0, 1], "measure": "cka",
         "value": [1.0, 0.5, 0.4, 0.9]}
    )  # fmt: skip
    mesh = representation_map(table).collections[0]
    assert mesh.get_array().tolist() == [[1.0, 0.5], [0.4, 0.9]]
    with pytest.raises(FigureError, match="more than once"):
        representation_map(pd.concat([table, table]))


def test_all_are_saved_at_the_exact_width(
    statistics, clusters, relations, comparison, tmp_path
):  # fmt: skip
    with style("paper", columns=1):
        for name, ax in {
            "curves": layer_curves(statistics, statistics=["cls", "sep"]),
            "space": head_space(clusters),
            "relations": relation_head_map(relations),
            "comparison": comparison_map(comparison),
        }.items():
            width = ax.figure.get_size_inches()[0]
            assert width == pytest.approx(7.7 / 2.54)
            assert len(save(ax, tmp_path / name)) == 3
