import numpy as np
import pandas as pd
import pytest

from bertology.viz import FigureError, latency_ratios, pruning_bars, pruning_curves, style
from bertology.viz.pruning import _short


@pytest.fixture
def curves():
    parts = []
    for place, order in enumerate(["random", "weight_norm", "reversed", "per_example"]):
        part = pd.DataFrame({"removed": [6, 0, 12]})  # not in order
        part["value"] = [0.8 - place / 10, 0.9, 0.5]
        parts.append(part.assign(order=order, metric="accuracy"))
    table = pd.concat(parts)
    table["share_removed"] = table["removed"] / 12
    return table.assign(ci_low=table["value"] - 0.02, ci_high=table["value"] + 0.05)


def _lines(ax):
    return {line.get_label(): (line.get_linestyle(), list(line.get_ydata())) for line in ax.lines}


def test_curves_are_the_table_in_order_with_references_and_base(curves):
    ax = pruning_curves(curves)
    assert _lines(ax) == {
        "weight norm": ("-", [0.9, pytest.approx(0.7), 0.5]),
        "per example": ("-", [0.9, pytest.approx(0.5), 0.5]),
        "random": (":", [0.9, 0.8, 0.5]),
        "reversed": ("--", [0.9, pytest.approx(0.6), 0.5]),
        "all heads": ("-", [0.9, 0.9]),
    }
    assert list(ax.lines[0].get_xdata()) == [0, 0.5, 1]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(_lines(ax))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("heads removed", "accuracy")


def test_bands_are_the_intervals_and_that_of_random_is_grey(curves):
    bands = pruning_curves(curves).collections
    for band, middle in zip(bands, (0.7, 0.5, 0.8), strict=True):
        vertices = band.get_paths()[0].vertices
        half = vertices[vertices[:, 0] == 0.5, 1]
        assert (half.min(), half.max()) == pytest.approx((middle - 0.02, middle + 0.05))
    red, green, blue, alpha = bands[2].get_facecolor()[0]
    assert red == green == blue
    assert alpha == 1.0


def test_without_the_whole_model_no_line_of_it_is_drawn(curves):
    assert "all heads" not in _lines(pruning_curves(curves[curves["removed"] > 0]))


def test_curves_of_one_metric_and_not_too_many(curves):
    both = pd.concat([curves, curves.assign(metric="loss", value=2.0)])
    with pytest.raises(FigureError, match=r"\['accuracy', 'loss'\]: say which with `metric=`"):
        pruning_curves(both)
    assert set(_lines(pruning_curves(both, metric="loss"))["random"][1]) == {2.0}
    with pytest.raises(FigureError, match="'f1'; choose one of"):
        pruning_curves(both, metric="f1")
    with pytest.raises(FigureError, match="comes more than once"):
        pruning_curves(pd.concat([curves, curves]))
    one = curves[curves["order"] == "weight_norm"]
    with pytest.raises(FigureError, match="9 orders cannot be told apart"):
        pruning_curves(pd.concat([one.assign(order=f"order {k}") for k in range(9)]))
    with pytest.raises(FigureError, match=r"lacks the columns \['share_removed'\]"):
        pruning_curves(curves.drop(columns="share_removed"))


@pytest.fixture
def pruning():
    return pd.DataFrame(
        [
            ("minimal_pair_accuracy", 0.8, 0.6, -0.2, -0.24, -0.1, 1000),
            ("perplexity", 20.0, 30.0, 10.0, 8.0, 14.0, 50),
            ("parameters", 22_713_216, 18_004_224, -4_708_992, np.nan, np.nan, np.nan),
        ],
        columns=["metric", "before", "after", "delta", "ci_low", "ci_high", "n"],
    )


def test_bars_are_shares_of_before_with_the_paired_interval(pruning):
    ax = pruning_bars(pruning)
    before, after = ax.containers
    assert [bar.get_width() for bar in before] == [1, 1, 1]
    assert [bar.get_width() for bar in after] == pytest.approx([0.75, 1.5, 18_004_224 / 22_713_216])
    first, second, *_ = ax.collections[0].get_segments()
    assert [*first[:, 0], *second[:, 0]] == pytest.approx([0.7, 0.875, 1.4, 1.7])


def test_sizes_have_no_count(pruning):
    counted = pruning.assign(n=pruning["n"].fillna(0))
    names = {text.get_text() for text in pruning_bars(counted).texts}
    assert {"parameters", "perplexity (50)"} <= names


def test_the_numbers_themselves_stand_above_their_bars(pruning):
    ax = pruning_bars(pruning)
    rows = {}
    for text in ax.texts:
        rows.setdefault(round(text.get_position()[1] + 0.3), []).append(text.get_text())
    assert rows == {
        0: ["minimal pair accuracy (1,000)", "0.800 → 0.600"],
        1: ["perplexity (50)", "20 → 30"],
        2: ["parameters", "22.7 M → 18.0 M"],
    }
    assert ax.yaxis_inverted()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (72, "72"), (9_999, "9999"), (12_345, "12.3 k"), (1.5e6, "1.50 M"), (2.5e9, "2.50 G"),
        (123.4, "123"), (0.91, "0.910"), (-0.5, "−0.500"), (1234.6, "1235"),
    ],
)  # fmt: skip
def test_numbers_are_short(value, written):
    assert _short(value) == written


def test_names_and_numbers_of_bars_do_not_meet(pruning):
    with style():
        ax = pruning_bars(pruning)
        figure = ax.get_figure()
        figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in ax.texts]
    bars = [bar.get_window_extent() for container in ax.containers for bar in container]
    for place, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in [*boxes[place + 1 :], *bars])


def test_what_has_no_share_is_refused(pruning):
    with pytest.raises(FigureError, match=r"\['MCC'\] are not above 0 before pruning"):
        pruning_bars(pruning.assign(metric=["MCC", "b", "c"], before=[0.0, 1.0, 1.0]))
    with pytest.raises(FigureError, match="metric = perplexity comes more than once"):
        pruning_bars(pd.concat([pruning, pruning.iloc[1:2]]))


@pytest.fixture
def latency():
    table = pd.DataFrame(
        [(16, 512, 0.7), (1, 16, 0.98), (1, 128, 0.9), (16, 128, 0.75)],
        columns=["batch_size", "length", "ratio"],
    )
    return table.assign(ratio_low=table["ratio"] - 0.05, ratio_high=table["ratio"] + 0.02)


def test_ratios_by_length_and_batch_size(latency):
    ax = latency_ratios(latency)
    lengths = [t.get_text() for t in ax.get_xticklabels()]
    assert lengths == ["16", "128", "512"]
    found = {}
    for bars, dots in zip(ax.collections[::2], ax.collections[1::2], strict=True):
        for segment, (x, y) in zip(bars.get_segments(), dots.get_offsets(), strict=True):
            found[dots.get_label(), lengths[round(x)]] = (*segment[:, 1], y)
    assert found == {
        ("1", "16"): pytest.approx((0.93, 1.0, 0.98)),
        ("1", "128"): pytest.approx((0.85, 0.92, 0.9)),
        ("16", "128"): pytest.approx((0.7, 0.77, 0.75)),
        ("16", "512"): pytest.approx((0.65, 0.72, 0.7)),
    }
    assert [1, 1] in [list(line.get_ydata()) for line in ax.lines]


def test_ratios_twice_or_of_too_many_batch_sizes_are_refused(latency):
    with pytest.raises(FigureError, match="batch_size = 16, length = 512 comes more than once"):
        latency_ratios(pd.concat([latency, latency]))
    many = pd.concat([latency.iloc[:1].assign(batch_size=2**k) for k in range(9)])
    with pytest.raises(FigureError, match="9 batch sizes cannot be told apart"):
        latency_ratios(many)
