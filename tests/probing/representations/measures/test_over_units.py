"""Means over items and their intervals over units."""

import numpy as np
import pytest

from bertology.probing.representations.measures.over_units import mean_over_units, sums_over_units
from bertology.stats import bootstrap_ratio


def test_sums_are_of_each_unit_in_whatever_order_items_come() -> None:
    values = np.array([[1.0, 2.0, 4.0, 8.0, 16.0], [1.0, 0.0, 1.0, 0.0, 1.0]])
    sums, counts = sums_over_units(values, np.array([7, 3, 7, 5, 3]))
    assert sums.tolist() == [[18, 1], [8, 0], [5, 2]] and counts.tolist() == [2, 1, 2]


def test_intervals_are_those_of_the_ratio_of_sums() -> None:
    rng = np.random.default_rng(0)
    values, units = rng.random((2, 3, 400)), rng.integers(40, size=400)
    mean, low, high, few = mean_over_units(values, units, seed=3)
    sums = np.stack([values[..., units == unit].sum(axis=-1) for unit in range(40)])
    expected = bootstrap_ratio(sums, np.bincount(units), seed=3)
    for ours, theirs in zip((mean, low, high), expected, strict=True):
        assert ours == pytest.approx(theirs)
    assert mean == pytest.approx(values.mean(axis=-1)) and not few


def test_too_few_units_have_no_interval() -> None:
    mean, low, high, few = mean_over_units(np.ones((2, 90)), np.arange(90) // 10, seed=0)
    assert few and mean.tolist() == [1, 1] and np.isnan([low, high]).all()
    assert not mean_over_units(np.ones(100), np.arange(100) // 10, seed=0)[3]
    assert mean_over_units(np.ones(29), np.arange(29), seed=0)[3]
