"""Tables of hidden states on states that are known."""

import numpy as np
import pytest

from bertology.probing.comparison.representations import (
    States,
    _spread,
    representation_table,
)


def states(generator: np.random.Generator, units: int, tokens: int) -> np.ndarray:
    return generator.normal(size=(units * tokens, 2, 4)).astype(np.float32)


def test_related_and_unrelated_layers() -> None:
    generator = np.random.default_rng(0)
    first = states(generator, 40, 5)
    second = states(generator, 40, 5)
    second[:, 1] = 2 * first[:, 0, ::-1]  # layer 1 of the second is layer 0 of the first, turned
    table = representation_table(
        States(first, second, np.repeat(np.arange(40), 5)), None, seed=0
    ).set_index(["measure", "layer", "other_layer"])
    for measure in ("cka", "cka_standardised", "rsa"):
        assert table.loc[(measure, 0, 1), "value"] == pytest.approx(1, abs=1e-5)
        for cell in ((0, 0), (1, 0), (1, 1)):
            row = table.loc[(measure, *cell)]
            assert row["ci_low"] < 0.02 < row["ci_high"] + 0.02 and abs(row["value"]) < 0.05
    assert table.loc[("rsa", 0, 1), "p_adjusted"] == 0.001
    assert (table.loc[("rsa", 1), "p_adjusted"] > 0.05).all()
    assert not table["descriptive"].any() and (table["n"] == 200).all()


def test_an_outlier_dimension_decides_unless_standardised() -> None:
    """Two sets that share one large dimension alone."""
    generator = np.random.default_rng(1)
    first, second = states(generator, 40, 5), states(generator, 40, 5)
    second[:, :, 0] = first[:, :, 0]
    first[:, :, 0] *= 100
    second[:, :, 0] *= 100
    table = representation_table(
        States(first, second, np.repeat(np.arange(40), 5)), None, seed=0
    ).set_index(["measure", "layer", "other_layer"])
    assert table.loc[("cka", 0, 0), "value"] > 0.99
    # One of four equal dimensions is shared: 1 / 4.
    assert table.loc[("cka_standardised", 0, 0), "value"] == pytest.approx(0.25, abs=0.06)


def test_tokens_for_rsa_come_in_groups_of_one_unit() -> None:
    counts = [3, 9, 1, 9, 0, 9]
    units = np.repeat(np.arange(6), counts)
    places = _spread(np.random.default_rng(0).permutation(units), 0)
    assert places.shape[1] == 9  # the median of the units that have any
    shuffled = np.random.default_rng(0).permutation(units)
    assert all(len(set(shuffled[row])) == 1 for row in places)
    assert sorted(shuffled[places[:, 0]]) == [1, 3, 5]
    many = _spread(np.arange(1000), 0)
    assert many.shape == (200, 1) and len(np.unique(many)) == 200
    assert _spread(np.repeat(np.arange(20), 50), 0).shape == (20, 10)
