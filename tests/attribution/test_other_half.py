"""What is chosen is compared on other units."""

import numpy as np
import pytest

from bertology.attribution.other_half import best_on_other_half


def test_the_choice_of_one_half_is_compared_on_the_other() -> None:
    # "a" is best in the even units, "b" in the odd ones: each half gets the other's choice.
    values = np.array([[1.0, 0.0], [0.0, 1.0]] * 6)
    found, names = best_on_other_half(values, range(12), ["a", "b"])
    assert found.tolist() == [0.0] * 12
    assert set(names) == {"a", "b"}
    # One that is best everywhere is chosen for both.
    found, names = best_on_other_half(values + np.array([0.0, 2.0]), range(12), ["a", "b"])
    assert names == ("b",) and found.tolist() == [2.0, 3.0] * 6


def test_choosing_among_noise_gains_nothing() -> None:
    generator = np.random.default_rng(0)
    gains = [
        best_on_other_half(generator.normal(size=(20, 10)), range(20), list("abcdefghij"))[0].mean()
        for _ in range(400)
    ]
    # The best of ten means over ten texts would lie .49 above 0 on its own half.
    assert abs(np.mean(gains)) < 4 * np.std(gains) / 20 < 0.06


def test_missing_candidates_and_gaps_in_units() -> None:
    values = np.array([[np.nan, 1.0], [np.nan, 2.0], [np.nan, 3.0], [np.nan, 4.0]])
    found, names = best_on_other_half(values, [3, 3, 8, 8], ["a", "b"])
    assert names == ("b",) and found.tolist() == [1.0, 2.0, 3.0, 4.0]
    nothing, none = best_on_other_half(np.full((4, 2), np.nan), range(4), ["a", "b"])
    assert np.isnan(nothing).all() and none == ()
    alone, _ = best_on_other_half(np.array([[1.0]]), [0], ["a"])
    assert alone == pytest.approx(np.nan, nan_ok=True)
