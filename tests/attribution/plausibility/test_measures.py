"""Measures against rationales, by hand and by law."""

import numpy as np
import pytest

from bertology.attribution.plausibility import (
    area_under_curve,
    iou_f1,
    moved_evidence,
    plausibility,
    precision_recall_area,
    revised_words,
    token_f1,
)
from bertology.errors import AttributionError


def marks(text: str) -> np.ndarray:
    return np.array([mark == "1" for mark in text])


def test_f1_of_words_by_hand() -> None:
    # Precision 2/3, recall 2/4.
    assert token_f1(marks("111000"), marks("011110")) == pytest.approx(4 / 7)
    assert token_f1(marks("1100"), marks("1100")) == 1
    assert token_f1(marks("1100"), marks("0011")) == 0


def test_f1_of_spans_by_hand() -> None:
    # Spans (0, 3) and (5, 6) against (1, 3): 2/3 of the union, and nothing.
    assert iou_f1(marks("1110010"), marks("0110000")) == pytest.approx(2 * 0.5 / 1.5)
    assert iou_f1(marks("1110000"), marks("0011100")) == 0
    assert iou_f1(marks("0110"), marks("0110")) == 1


def test_areas_by_hand() -> None:
    scores, rationale = np.array([4.0, 3.0, 2.0, 1.0]), marks("1010")
    # Precision 1 at recall 1/2 and 2/3 at recall 1.
    assert precision_recall_area(scores, rationale) == pytest.approx(0.5 + 0.5 * 2 / 3)
    # Trapezoids through (0, 1), (.5, 1), (.5, .5), (1, 2/3).
    assert area_under_curve(scores, rationale) == pytest.approx(0.5 + 0.5 * (0.5 + 2 / 3) / 2)
    assert precision_recall_area(-scores, marks("0001")) == 1
    assert np.isnan(precision_recall_area(scores, marks("1111")))
    assert area_under_curve(scores, marks("1111")) == 1


def test_perfect_scores_and_random_scores() -> None:
    generator = np.random.default_rng(0)
    rationales = [generator.random(40) < 0.2 for _ in range(300)]
    rationales = [r if r.any() else marks("1" + "0" * 39) for r in rationales]
    scores = [{"perfect": r.astype(float), "noise": generator.random(40)} for r in rationales]
    table = plausibility(scores, rationales, range(300), seed=0).set_index(["score", "metric"])
    density = table["density"].iloc[0]
    assert table.loc[("perfect", "average_precision"), "mean"] == 1
    assert table.loc[("perfect", "auprc"), "mean"] == 1
    assert table.loc[("perfect", "token_f1"), "mean"] > 0.85
    noise = table.loc[("noise", "average_precision")]
    # Average precision of random scores exceeds the density a little on short texts.
    assert density < noise["mean"] < density + 0.08
    assert noise["difference_low"] < 0 < noise["difference_high"]
    assert table.loc[("perfect", "average_precision"), "difference_low"] > 0.5
    assert table.loc[("noise", "token_f1"), "mean"] == pytest.approx(density, abs=0.03)


def test_rationales_must_fit() -> None:
    with pytest.raises(AttributionError, match="3 scored words and a rationale over 2"):
        plausibility([{"a": np.ones(3)}], [marks("10")], [0], seed=0)
    with pytest.raises(AttributionError, match="No text has a rationale"):
        plausibility([{"a": np.ones(2)}], [marks("00")], [0], seed=0)


def test_revised_words() -> None:
    first, second = ["I", "love", "this", "Film", "a", "lot"], ["I", "hate", "this", "film"]
    left, right = revised_words(first, second)
    assert left.tolist() == [False, True, False, False, True, True]
    assert right.tolist() == [False, True, False, False]


def test_evidence_on_revised_words() -> None:
    revised = [marks("0100"), marks("0011")] * 20
    scores = [
        {"there": own * 2.0, "even": np.ones(4), "signed": np.where(own, -3.0, 1.0)}
        for own in revised
    ]
    table = moved_evidence(scores, revised, range(40), seed=0).set_index("score")
    assert table.loc["there", "mean"] == 1
    assert table.loc["even", "difference"] == 0
    # Absolute scores: 3 of 6, and 6 of 8.
    assert table.loc["signed", "mean"] == pytest.approx((3 / 6 + 6 / 8) / 2)
    assert table.loc["signed", "baseline"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert table["p_adjusted"].tolist() == [pytest.approx(1 / 10_001), 1, pytest.approx(1 / 10_001)]


def test_the_reviews_of_a_pair_are_one_unit() -> None:
    """20 pairs of one and the same gain are 20 draws, not 40; below 30 texts there is no p."""
    revised = [marks("0100")] * 40
    gains = [np.array([1.0, 5.0 if n // 2 < 15 else 0.1, 1.0, 1.0]) for n in range(40)]
    scores = [{"often": own} for own in gains]
    pairs = moved_evidence(scores, revised, [n // 2 for n in range(40)], seed=0).loc[0]
    texts = moved_evidence(scores, revised, range(40), seed=0).loc[0]
    assert pairs["difference"] == pytest.approx(texts["difference"])
    assert texts["p_adjusted"] < pairs["p_adjusted"] < 0.05
    width = pairs["difference_high"] - pairs["difference_low"]
    assert width > 1.2 * (texts["difference_high"] - texts["difference_low"])
    few = moved_evidence(scores[:28], revised[:28], [n // 2 for n in range(28)], seed=0).loc[0]
    assert few["descriptive"] and np.isnan(few["p_adjusted"])
