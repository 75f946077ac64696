"""The scalar mix: it finds the layer, and its summaries have closed forms."""

import numpy as np
import pytest

from bertology.probing.representations.estimators.mix import (
    ScalarMixProbe,
    centre_of_gravity,
    cumulative_correct,
    expected_layer,
)

QUICK = {"Cs": (0.1,), "epochs": 10}


def _layers(where, layers=4, items=500, seed=0):
    """Noise in every layer, and the label in one of them."""
    rng = np.random.default_rng(seed)
    y = rng.choice(list("ABC"), items)
    X = rng.standard_normal((items, layers, 8)).astype(np.float32)
    X[:, where, :3] += 4 * (y[:, None] == np.array(list("ABC")))
    return X, y


@pytest.mark.parametrize("last", [0, 1, 6, 12, 24])
def test_the_centre_of_an_even_mix_is_half_of_the_last_layer(last):
    assert centre_of_gravity(np.full(last + 1, 1 / (last + 1))) == pytest.approx(
        last / 2, abs=1e-12
    )


def test_the_centre_of_one_layer_is_that_layer():
    assert centre_of_gravity(np.eye(5)[3]) == 3


@pytest.mark.parametrize("where", [0, 2, 3])
def test_the_mix_finds_the_layer_that_holds_the_label(where):
    X, y = _layers(where)
    probe = ScalarMixProbe(**QUICK).fit(X[:300], y[:300])
    assert probe.weights_[where] > 0.7
    assert probe.weights_.sum() == pytest.approx(1)
    assert probe.score(X[300:], y[300:]) > 0.95
    assert probe.centre_of_gravity_ == pytest.approx(np.arange(4) @ probe.weights_)
    assert probe.weight_entropy_ == pytest.approx(-(probe.weights_ @ np.log(probe.weights_)))


def test_a_mix_of_equal_layers_stays_even():
    X, y = _layers(0, layers=1)
    probe = ScalarMixProbe(**QUICK).fit(np.repeat(X, 5, axis=1), y)
    assert probe.centre_of_gravity_ == pytest.approx(2, abs=1e-6)
    assert probe.weight_entropy_ == pytest.approx(np.log(5), abs=1e-6)


def test_the_norm_of_a_layer_does_not_matter():
    X, y = _layers(2)
    scales = np.array([1000, 1, 0.001, 10])[:, None]
    plain, scaled = (ScalarMixProbe(**QUICK).fit(x, y) for x in (X, X * scales + 5 * scales))
    np.testing.assert_allclose(scaled.weights_, plain.weights_, atol=1e-3)


def test_expected_layer_in_closed_form():
    assert expected_layer(np.array([0.5, 0.7, 0.9])) == pytest.approx(1.5)
    assert expected_layer(np.array([0.5, 0.5, 0.5, 0.9])) == pytest.approx(3)
    # The second gain is negative: 0.4 · 1 − 0.1 · 2, over 0.3.
    assert expected_layer(np.array([0.5, 0.9, 0.8])) == pytest.approx(2 / 3)
    draws = expected_layer(np.array([[0.5, 0.7, 0.9], [0.5, 0.9, 0.5], [0.5, 0.6, 0.4]]))
    np.testing.assert_allclose(draws, [1.5, np.nan, np.nan])


def test_cumulative_mixes_gain_where_the_label_is():
    X, y = _layers(2)
    correct = cumulative_correct(
        ScalarMixProbe(**QUICK), X[:300], y[:300], X[300:], y[300:], np.arange(300) // 3
    )
    assert correct.shape == (4, 200) and correct.dtype == bool
    scores = correct.mean(axis=1)
    assert (scores[:2] < 0.5).all() and (scores[2:] > 0.9).all()
    assert expected_layer(scores) == pytest.approx(2, abs=0.2)
    single = ScalarMixProbe(**QUICK).fit(X[:300, :3], y[:300], np.arange(300) // 3)
    np.testing.assert_array_equal(single.predict(X[300:, :3]) == y[300:], correct[2])
