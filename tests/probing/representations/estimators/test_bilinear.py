"""The bilinear probe: labels that depend on how two words go together."""

import numpy as np
import pytest

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.bilinear import BilinearProbe
from bertology.probing.representations.estimators.linear import LinearProbe


def test_a_bilinear_label_is_read_off_and_no_linear_probe_reads_it():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 1200, 6)).astype(np.float32)
    form = np.zeros((6, 6))
    form[0, 3], form[1, 4] = 1, -1
    y = np.where(np.einsum("ni,ij,nj->n", first, form, second) > 0, "yes", "no")
    X = np.concatenate([first, second], axis=1)
    probe = BilinearProbe(rank=8, Cs=(1.0,)).fit(X[:800], y[:800])
    assert probe.score(X[800:], y[800:]) > 0.93
    assert LinearProbe(Cs=(1.0,)).fit(X[:800], y[:800]).score(X[800:], y[800:]) < 0.6
    # The form is not symmetric: the words the other way round are other pairs.
    swapped = np.concatenate([second, first], axis=1)
    assert probe.score(swapped[800:], y[800:]) < 0.6


def test_the_rank_limits_what_can_be_read():
    # The label is the sign of an inner product of four terms; one term alone is right on
    # 1/2 + asin(1/2)/π = 2/3 of the pairs.
    rng = np.random.default_rng(1)
    X = rng.standard_normal((1600, 8)).astype(np.float32)
    y = (X[:, :4] * X[:, 4:]).sum(axis=1) > 0
    one, four = (
        BilinearProbe(rank=rank, Cs=(1.0,)).fit(X[:1000], y[:1000]).score(X[1000:], y[1000:])
        for rank in (1, 4)
    )
    assert 0.6 < one < 0.72
    assert four > 0.93


def test_an_odd_number_of_features_is_no_pair():
    with pytest.raises(BertologyError, match="must be even"):
        BilinearProbe().fit(np.eye(3), list("ABA"))
