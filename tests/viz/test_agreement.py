import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from bertology.attribution.agreement import agreement, compare
from bertology.attribution.floors import FLOORS
from bertology.attribution.scores import Scores
from bertology.attribution.words import Items
from bertology.viz import FigureError, agreement_distributions, agreement_matrix, style
from bertology.viz.agreement import distribution_rows
from bertology.viz.numbered import short_number


@pytest.fixture
def pairs():
    rows = [
        ("rollout", "lime", 0.5),
        ("rollout", "occlusion", -0.25),
        ("lime", "occlusion", 0.98),
        ("occlusion", "lime", 0.98),
        ("random", "lime", 0.001),
        ("random", "occlusion", -0.001),
        ("attention", "lime", 9.0),
        ("attention", "lime", 9.0),
    ]
    table = pd.DataFrame(rows, columns=["score", "against", "mean"])
    table = table.assign(statistic="kendall_tau_b")
    return pd.concat([table, table.assign(statistic="spearman", mean=7.0)])


def _numbers(ax):
    return {
        tuple(int(k) for k in reversed(t.get_position())): t.get_text() for t in ax.texts
    }  # fmt: skip


def test_matrix_is_the_table_in_the_order_of_the_groups(pairs):
    with style("paper", columns=1):
        ax = agreement_matrix(pairs)
    mesh = ax.collections[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == [
        "rollout",
        "random",
        "LIME",
        "occlusion",
    ]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["LIME", "occlusion"]
    drawn = mesh.get_array().filled(np.nan)
    expected = [[0.5, -0.25], [0.001, -0.001], [np.nan, 0.98], [0.98, np.nan]]
    assert np.array_equal(drawn, expected, equal_nan=True)
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-1, 1)
    assert _numbers(ax) == {
        (0, 0): ".50", (0, 1): "−.25", (1, 0): ".00", (1, 1): ".00", (2, 1): ".98", (3, 0): ".98",
    }  # fmt: skip


def test_numbers_can_be_read_on_their_cells(pairs):
    colours = {t.get_text(): to_rgb(t.get_color()) for t in agreement_matrix(pairs).texts}
    assert colours[".98"] == (1, 1, 1)
    assert colours[".00"] == (0, 0, 0)


def test_narrow_cells_have_signs_in_place_of_numbers():
    names = [f"score {k:02}" for k in range(14)]
    rows = [(a, b, "kendall_tau_b", 0.5 - (a < b)) for a in names for b in names if a != b]
    table = pd.DataFrame(rows, columns=["score", "against", "statistic", "mean"])
    with style("paper", columns=1):
        texts = _numbers(agreement_matrix(table))
    assert texts == {(a, b): "−" for a in range(14) for b in range(14) if a < b}
    with style("paper", columns=2):
        texts = _numbers(agreement_matrix(table))
    assert texts[0, 1] == "−.50"
    assert texts[1, 0] == ".50"
    assert len(texts) == 14 * 13


def test_numbers_are_short_and_their_sign_is_right():
    values = {0.0: ".00", -0.004: ".00", -0.006: "−.01", 1.0: "1.00", -1.0: "−1.00", 10.5: "10.50"}
    assert {value: short_number(value) for value in values} == values


def test_doubled_pairs_and_heads_alone_are_refused(pairs):
    with pytest.raises(FigureError, match="score = rollout, against = lime comes more than once"):
        agreement_matrix(pd.concat([pairs, pairs]))
    with pytest.raises(FigureError, match="only single heads"):
        agreement_matrix(pairs[pairs["score"] == "attention"])


@pytest.fixture
def sentences():
    """101 sentences; the quantiles of a score are those of 0, .01, … 1 moved and scaled."""
    even = np.linspace(0, 1, 101)
    values = {
        "rollout": even,
        "position": even / 2,
        "random": even / 2 - 0.1,
        "lime": even / 2 + 0.2,
        "occlusion": even / 2 + 0.1,
        "attention": even * 0 + 9,
    }
    parts = [
        pd.DataFrame({"score": score, "value": own, "sentence": range(101)})
        for score, own in values.items()
    ]
    table = pd.concat(parts).assign(against="leave_one_out", statistic="kendall_tau_b")
    return table.sample(frac=1, random_state=0)


def test_boxes_are_the_quantiles_of_the_sentences(sentences):
    ax = agreement_distributions(sentences, against="leave_one_out")
    whiskers, medians = (c.get_segments() for c in ax.collections)
    box = ax.patches[-5]
    assert ax.get_yticklabels()[0].get_text() == "rollout (101)"
    assert whiskers[0][:, 0] == pytest.approx([0.05, 0.95])
    assert (box.get_x(), box.get_x() + box.get_width()) == pytest.approx((0.25, 0.75))
    assert medians[0][:, 0] == pytest.approx([0.5, 0.5])
    assert {round(y, 6) for y in whiskers[0][:, 1]} == {0}


def test_bands_are_the_middle_halves_of_the_best_floor_and_the_closest_method(sentences):
    ax = agreement_distributions(sentences, against="leave_one_out")
    bands = {p.get_label(): p for p in ax.patches if p.get_hatch()}
    assert set(bands) == {"best floor: word position", "closest method: LIME"}
    for name, ends in zip(bands, ((0.125, 0.375), (0.325, 0.575)), strict=True):
        band = bands[name]
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(ends)
    assert len({band.get_hatch() for band in bands.values()}) == 2


def test_sentences_without_a_value_are_not_counted(sentences):
    table = sentences.copy()
    table.loc[(table["score"] == "rollout") & (table["sentence"] < 100), "value"] = np.nan
    rows = distribution_rows(table)
    assert rows["score"].tolist() == ["rollout", "position", "random", "lime", "occlusion"]
    assert rows["n"].tolist() == [1, 101, 101, 101, 101]
    assert rows.loc[0, "q50"] == 1
    with pytest.raises(FigureError, match="No score has a value"):
        distribution_rows(table.assign(value=np.nan))


def test_strata_mixed_in_one_table_are_refused(sentences):
    with pytest.raises(FigureError, match="comes more than once"):
        agreement_distributions(pd.concat([sentences, sentences]), against="leave_one_out")
    with pytest.raises(FigureError, match=r"'lime'; choose one of \['leave_one_out'\]"):
        agreement_distributions(sentences, against="lime")


def test_tables_of_the_analysis_are_drawn_as_they_are():
    generator = np.random.default_rng(0)
    names = ("rollout", "lime", "occlusion")
    items = Items(tuple("abcdefgh"), np.arange(8), np.arange(8))
    scores = [
        Scores(
            items, np.array([0]), np.array([0]), generator.random((1, 8)),
            {name: generator.random(8) for name in (*names, *FLOORS)},
        )
        for _ in range(12)
    ]  # fmt: skip
    how = {"seed": 0, "names": names, "against": names}
    table = compare(scores, **how).table()
    means = agreement(scores, range(12), **how)
    with style("paper", columns=1):
        matrix = agreement_matrix(means)
        boxes = agreement_distributions(table, against="lime")
    rows = means[(means["score"] == "random") & (means["statistic"] == "kendall_tau_b")]
    row = [t.get_text() for t in matrix.get_yticklabels()].index("random")
    drawn = matrix.collections[0].get_array()[row]
    assert sorted(drawn) == pytest.approx(sorted(rows["mean"]))
    assert [t.get_text() for t in boxes.get_yticklabels()][-1] == "occlusion (12)"
