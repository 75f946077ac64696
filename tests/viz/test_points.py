import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, agreement_points, preference_points, relation_points
from bertology.viz.points import agreement_rows


@pytest.fixture
def agreement():
    rows = [("attention", 0, 0, 0.1), ("attention", 0, 1, -0.2)]
    single = {"rollout": 0.3, "random": 0.0, "leave_one_out": 0.5, "attention_mean": 0.4}
    rows += [(score, np.nan, np.nan, mean) for score, mean in single.items()]
    table = pd.DataFrame(rows, columns=["score", "layer", "head", "mean"])
    table = table.assign(statistic="kendall_tau_b", against="integrated_gradients", n=1000)
    table = table.assign(ci_low=table["mean"] - 0.1, ci_high=table["mean"] + 0.05)
    other = table.assign(statistic="top_k", mean=9.0)
    return pd.concat([table, other])


def _labels(ax):
    return {t.get_text(): t.get_position()[1] for t in ax.get_yticklabels()}


def _points(ax):
    """{y: (low, mean, high)} of the points with intervals."""
    found = {}
    for container in ax.containers:
        line, _, (bars,) = container
        for x, y, bar in zip(*line.get_data(), bars.get_segments(), strict=True):
            found[y] = (bar[0, 0], x, bar[1, 0])
    return found


def test_each_score_is_drawn_at_its_label_with_its_interval(agreement):
    ax = agreement_points(agreement, against="integrated_gradients")
    labels, points = _labels(ax), _points(ax)
    expected = {"rollout": 0.3, "random": 0.0, "leave one out": 0.5, "all heads, mean": 0.4}
    assert len(points) == len(expected)
    for name, mean in expected.items():
        assert points[labels[name]] == pytest.approx((mean - 0.1, mean, mean + 0.05))


def test_all_heads_are_one_row_without_intervals(agreement):
    ax = agreement_points(agreement, against="integrated_gradients")
    strip = next(line for line in ax.lines if line.get_marker() == "|")
    assert strip.get_xdata().tolist() == [0.1, -0.2]
    assert set(strip.get_ydata()) == {_labels(ax)["each head"]}


def test_groups_are_apart_and_under_headings(agreement):
    labels = _labels(agreement_points(agreement, against="integrated_gradients"))
    assert labels["all heads, mean"] < labels["rollout"]
    assert labels["rollout"] < labels["floors:"] < labels["random"]
    assert labels["random"] < labels["other importance methods:"] < labels["leave one out"]
    assert labels["random"] - labels["rollout"] > 2


def test_a_score_without_a_group_is_not_lost(agreement):
    rows = agreement[agreement["statistic"] == "kendall_tau_b"]
    rows = agreement_rows(rows.replace({"score": {"rollout": "my_own_score"}}))
    assert rows.iloc[-1][["group", "name"]].tolist() == ["other scores", "my own score"]


def test_axis_names_the_measure_and_the_number_of_sentences(agreement):
    label = agreement_points(agreement, against="integrated_gradients").get_xlabel()
    assert "Kendall τ-b" in label
    assert "1,000 sentences" in label


def test_unknown_reference_lists_those_there_are(agreement):
    with pytest.raises(FigureError, match=r"'lime'; choose one of \['integrated_gradients'\]"):
        agreement_points(agreement, against="lime")


@pytest.fixture
def best_heads():
    return pd.DataFrame(
        {
            "relation": ["obj", "det"],
            "direction": ["dependent_to_head", "head_to_dependent"],
            "layer": [7, 0],
            "head": [9, 1],
            "accuracy": [0.5, 0.9],
            "ci_low": [0.4, 0.8],
            "ci_high": [0.55, 0.97],
            "n": [40, 300],
            "baseline_offset": [-1, 1],
            "baseline_accuracy": [0.45, 0.6],
            "p_adjusted": [0.05, 0.001],
            "same_head": [True, False],
        }
    )


def test_relations_best_first_with_head_and_direction(best_heads):
    ax = relation_points(best_heads)
    assert _labels(ax) == {"det (300)": 0, "obj (40)": 1}
    named = {t.get_position()[1]: t.get_text() for t in ax.texts}
    assert named == {0: "L0H1 head→dep", 1: "L7H9 dep→head"}
    assert ax.yaxis_inverted()


def test_accuracy_interval_and_baseline_of_a_relation(best_heads):
    ax = relation_points(best_heads)
    points = _points(ax)
    assert points[0] == pytest.approx((0.8, 0.9, 0.97))
    assert points[1] == pytest.approx((0.4, 0.5, 0.55))
    baseline = next(line for line in ax.lines if line.get_marker() == "|")
    assert baseline.get_xdata().tolist() == [0.6, 0.45]


def test_only_relations_with_p_below_05_are_filled(best_heads):
    fills = {
        container[0].get_ydata()[0]: container[0].get_markerfacecolor()
        for container in relation_points(best_heads).containers
    }
    assert fills[1] == "white"
    assert fills[0] != "white"


def test_unknown_direction_is_refused(best_heads):
    with pytest.raises(FigureError, match=r"\['up'\]; expected one of \['dependent_to_head'"):
        relation_points(best_heads.assign(direction="up"))


@pytest.fixture
def preferences():
    table = pd.DataFrame(
        {
            "level": ["phenomenon", "phenomenon", "paradigm", "overall"],
            "name": ["island_effects", "binding", "wh_island", "pairs"],
            "accuracy": [0.5, 0.9, 0.4, 0.7],
            "n": [1000, 2000, 1000, 3000],
            "p_adjusted": [0.05, 0.001, 0.9, 0.01],
        }
    )
    table = table.assign(measure="pll", ci_low=table["accuracy"] - 0.1, baseline=0.5)
    return table.assign(ci_high=table["accuracy"] + 0.05)


def test_preferences_best_first_with_intervals_and_guessing(preferences):
    ax = preference_points(preferences)
    assert _labels(ax) == {"binding (2,000)": 0, "island effects (1,000)": 1}
    points = _points(ax)
    assert points[0] == pytest.approx((0.8, 0.9, 0.95))
    assert points[1] == pytest.approx((0.4, 0.5, 0.55))
    assert [0.5, 0.5] in [list(line.get_xdata()) for line in ax.lines]
    fills = {c[0].get_ydata()[0]: c[0].get_markerfacecolor() for c in ax.containers}
    assert fills[1] == "white"
    assert fills[0] != "white"
    assert ax.get_xlim()[0] < 0.4


def test_one_level_and_one_measure_of_preference_are_drawn(preferences):
    assert list(_labels(preference_points(preferences, level="paradigm"))) == ["wh island (1,000)"]
    with pytest.raises(FigureError, match="level = 'words'"):
        preference_points(preferences, level="words")
    both = pd.concat([preferences, preferences.assign(measure="mean", accuracy=0.6)])
    with pytest.raises(FigureError, match=r"\['mean', 'pll'\]: say which with `measure=`"):
        preference_points(both)
    assert _points(preference_points(both, measure="mean"))[0][1] == 0.6
