"""The hidden layer: what no linear probe can read is read off."""

import numpy as np

from bertology.probing.representations.estimators.mix import ScalarMixProbe
from bertology.probing.representations.estimators.mlp import MLPProbe


def test_the_product_of_two_signs_takes_a_hidden_layer():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1000, 4)).astype(np.float32)
    y = np.where(X[:, 0] * X[:, 1] > 0, "same", "different")
    probe = MLPProbe(Cs=(1.0,)).fit(X[:600], y[:600])
    assert probe.score(X[600:], y[600:]) > 0.93
    linear = ScalarMixProbe(Cs=(1.0,), epochs=5).fit(X[:600], y[:600])
    assert linear.score(X[600:], y[600:]) < 0.6


def test_hidden_units_are_as_many_as_asked_for():
    X, y = np.eye(6), list("ABABAB")
    assert MLPProbe(hidden=7, epochs=1).fit(X, y).network_[0].weight.shape == (7, 6)
