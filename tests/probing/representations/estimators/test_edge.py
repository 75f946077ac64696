"""The edge probe: padding never enters a number, and pooling looks where it must."""

import numpy as np
import pytest

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.edge import EdgeProbe
from bertology.probing.representations.estimators.linear import LinearProbe

SMALL = {"width": 16, "hidden": 16, "Cs": (1.0,), "epochs": 10}


def _spans(items, seed=0):
    """Two spans of up to four words; the label is said by the one word of span 1 that is marked."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((items, 2, 4, 3)).astype(np.float32)
    X[..., 1] = rng.choice([-1.0, 1.0], X.shape[:-1])
    lengths = rng.integers(1, 5, (items, 2))
    marked = rng.integers(0, lengths[:, 1])
    X[..., 0] = -2
    X[np.arange(items), 1, marked, 0] = 2
    y = np.where(X[np.arange(items), 1, marked, 1] > 0, "yes", "no")
    X[np.arange(4) >= lengths[..., None]] = np.nan
    return X, y


def test_the_word_that_matters_is_found_in_its_span():
    X, y = _spans(900)
    probe = EdgeProbe(**SMALL).fit(X[:600], y[:600])
    assert probe.score(X[600:], y[600:]) > 0.97
    means = np.nanmean(X, axis=2).reshape(len(X), -1)
    mean_pooled = LinearProbe(Cs=(1.0,)).fit(means[:600], y[:600])
    assert mean_pooled.score(means[600:], y[600:]) < 0.9


def test_places_behind_a_span_do_not_matter():
    X, y = _spans(120)
    probe = EdgeProbe(**SMALL).fit(X, y)
    longer = np.concatenate([X, np.full((120, 2, 3, 3), np.nan, dtype=np.float32)], axis=2)
    expected = probe.predict_proba(X)
    np.testing.assert_allclose(probe.predict_proba(longer), expected, rtol=1e-12)
    np.testing.assert_allclose(
        EdgeProbe(**SMALL).fit(longer, y).predict_proba(X), expected, rtol=1e-4
    )
    short = X[(np.isnan(X[..., 0]).sum(2) >= 2).all(1)]
    np.testing.assert_allclose(
        probe.predict_proba(short[:, :, :2]), probe.predict_proba(short), rtol=1e-12
    )


def test_a_table_is_one_span_of_one_word():
    X, y = _spans(80)
    table = X[:, 1, 0]
    one = EdgeProbe(**SMALL).fit(table, y).predict_proba(table)
    same = EdgeProbe(**SMALL).fit(table[:, None, None], y)
    np.testing.assert_array_equal(same.predict_proba(table[:, None, None]), one)


def test_spans_have_weights_of_their_own():
    X, y = _spans(600)
    probe = EdgeProbe(**SMALL).fit(X, y)
    assert probe.score(X[:, ::-1], y) < 0.65 < 0.95 < probe.score(X, y)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: X[:, 0], "which reads"),
        (lambda X: np.where(np.arange(3) == 1, np.nan, X), "NaN in part"),
        (lambda X: np.where(np.arange(4)[:, None] == 0, np.nan, X), "begins with NaN"),
        (lambda X: np.where(np.arange(4)[:, None] == 1, np.nan, X), "behind its end"),
    ],
)
def test_spans_that_are_none_are_refused(spoil, message):
    X = np.random.default_rng(0).standard_normal((20, 2, 4, 3))
    with pytest.raises(BertologyError, match=message):
        EdgeProbe(**SMALL).fit(spoil(X), ["A", "B"] * 10)


def test_what_is_asked_must_have_the_shape_of_training():
    X, y = _spans(40)
    probe = EdgeProbe(**SMALL).fit(X, y)
    with pytest.raises(BertologyError, match="was fitted on"):
        probe.predict(X[..., :2])
