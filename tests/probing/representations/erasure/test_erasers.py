"""Erasers erase: known answers of INLP, LEACE and the controls, each beside its opposite."""

import sys

import numpy as np
import pytest
import torch
from scipy.linalg import null_space
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from bertology import BertologyError
from bertology.probing.representations.erasure import (
    INLP,
    LEACE,
    RandomRank,
    RandomVariance,
    ShuffledLabels,
    removed_variance,
)
from bertology.probing.representations.estimators.linear import LinearProbe

LABELS = np.array(["ADJ", "NOUN", "VERB"])
WIDTH = 20


def made_up(seed, items=600, strength=1.5):
    """Labels that shift the mean of uneven states (item, hidden), whose own mean is not zero."""
    rng = np.random.default_rng(seed)
    shifts = strength * np.random.default_rng(99).standard_normal((3, WIDTH))
    labels = rng.integers(0, 3, items)
    noise = rng.standard_normal((items, WIDTH)) * np.geomspace(0.3, 3, WIDTH)
    return noise + shifts[labels] + 4, LABELS[labels]


@pytest.fixture(scope="module")
def data():
    return made_up(0)


CONCEPT = [INLP(), INLP(affine=True), LEACE(), LEACE(shrinkage=False)]
CONTROLS = [
    RandomRank(5),
    RandomRank(5, affine=False),
    RandomVariance(0.4),
    ShuffledLabels(INLP(rank=4)),
    ShuffledLabels(LEACE()),
]


def accuracy(eraser, data, probe=None):
    """Accuracy on new items of a probe trained on erased ones."""
    others, asked = made_up(1)
    fitted = (probe or LinearProbe()).fit(eraser.transform(data[0]), data[1])
    return (fitted.predict(eraser.transform(others)) == asked).mean()


@parametrize_with_checks([INLP(), LEACE(), RandomRank(), RandomVariance()])
def test_erasers_are_estimators(estimator, check):
    check(estimator)


@pytest.mark.parametrize("eraser", [*CONCEPT, *CONTROLS], ids=str)
def test_erasing_twice_is_erasing_once(eraser, data):
    eraser.fit(*data)
    P = eraser.projection_
    np.testing.assert_allclose(P @ P, P, atol=1e-10)
    assert np.linalg.matrix_rank(P) == WIDTH - eraser.rank_
    assert 0 < eraser.rank_ < WIDTH
    once = eraser.transform(data[0])
    np.testing.assert_allclose(eraser.transform(once), once, atol=1e-9)
    if "LEACE" in str(eraser):  # the smallest change is oblique
        assert np.abs(P - P.T).max() > 1e-2
    else:
        assert (P == P.T).all()


@pytest.mark.parametrize("eraser", CONCEPT, ids=str)
def test_a_linear_probe_reads_labels_before_and_not_after(eraser, data):
    nothing = RandomRank(0).fit(*data)
    assert accuracy(nothing, data) > 0.9
    # The tolerance of INLP, and chance: guessing is right a third of the time.
    allowed = 0.03 if isinstance(eraser, INLP) else 0
    assert accuracy(eraser.fit(*data), data) <= binom.ppf(0.999, 600, 1 / 3) / 600 + allowed


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_controls_leave_the_labels_readable(control, data):
    assert accuracy(control.fit(*data), data) > 0.8


def test_what_is_not_linear_stays():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((1600, 10))
    # The label is whether two coordinates agree in their signs, and in the mean of a third.
    labels = np.where(states[:, 1] * states[:, 2] > 0, "A", "B")
    states[:, 0] += np.where(labels == "A", 2, -2)
    erased = LEACE().fit(states[:800], labels[:800]).transform(states)

    def score(probe, features):
        return probe.fit(features[:800], labels[:800]).score(features[800:], labels[800:])

    assert score(LinearProbe(), states) > 0.95
    assert score(LinearProbe(), erased) < 0.6
    mlp = MLPClassifier(hidden_layer_sizes=(32,), alpha=1, max_iter=1000, random_state=0)
    assert score(mlp, erased) > 0.8


def test_inlp_projects_onto_the_intersection_of_null_spaces(data):
    X, y = data
    split = GroupKFold(5, shuffle=True, random_state=3)
    fitted = next(split.split(X, y, np.arange(len(y))))[0]
    weights, P = [], np.eye(WIDTH)
    for _ in range(3):
        probe = LinearProbe(Cs=(1.0,), seed=3).fit((X @ P)[fitted], y[fitted])
        weights.append((probe.coef_ - probe.coef_.mean(0)) @ P)
        free = null_space(np.vstack(weights), rcond=1e-8)
        P = free @ free.T
    eraser = INLP(rank=6, seed=3).fit(X, y)
    np.testing.assert_allclose(eraser.projection_, P, atol=1e-6)
    assert (eraser.rank_, eraser.rounds_) == (6, 3)
    np.testing.assert_allclose(eraser.transform(X), X @ P, atol=1e-4)


def test_inlp_stops_at_the_majority(data):
    eraser = INLP().fit(*data)
    assert len(eraser.accuracies_) == eraser.rounds_ + 1
    assert min(eraser.accuracies_[:-1]) > eraser.majority_ + 0.01 >= eraser.accuracies_[-1]
    assert eraser.accuracies_[0] > 0.9
    assert 1 / 3 <= eraser.majority_ < 0.5
    # Not a multiple of what a round removes.
    assert INLP(rank=5).fit(*data).rank_ == 5


def test_inlp_holds_out_whole_groups():
    rng = np.random.default_rng(0)
    # Each group has a vector and a label of its own: nothing can be known of a new group.
    groups = np.repeat(np.arange(80), 10)
    states = rng.standard_normal((80, 60))[groups] + 0.01 * rng.standard_normal((800, 60))
    labels = rng.integers(0, 2, 80)[groups]
    # With a rank the penalty is given, so only INLP's own split holds out.
    assert INLP(rank=1).fit(states, labels, groups).accuracies_[0] < 0.75
    assert INLP(rank=1).fit(states, labels).accuracies_[0] > 0.9


def test_nothing_to_erase_erases_nothing():
    rng = np.random.default_rng(0)
    states = rng.standard_normal((400, 5))
    labels = np.where(rng.random(400) < 0.9, "A", "B")
    eraser = INLP().fit(states, labels)
    assert eraser.rank_ == eraser.rounds_ == 0
    assert (eraser.transform(states) == states).all()


@pytest.mark.parametrize("shrinkage", [True, False])
def test_leace_leaves_no_covariance_with_the_labels(shrinkage, data):
    X, y = data
    z = (y[:, None] == LABELS).astype(float)

    def covariance(states):
        return np.abs((states - states.mean(0)).T @ (z - z.mean(0)) / len(z)).max()

    eraser = LEACE(shrinkage=shrinkage).fit(X, y)
    assert covariance(X) > 0.3
    assert covariance(eraser.transform(X)) < 1e-12
    assert eraser.rank_ == 2
    # What is fitted on some data erases other data only in expectation.
    assert 1e-3 < covariance(eraser.transform(made_up(1)[0])) < 0.3


def test_a_refitted_regression_has_no_weights(data):
    X, y = data
    scaled = (X - X.mean(0)) / X.std(0)
    before = LogisticRegression(tol=1e-10, max_iter=5000).fit(scaled, y)
    after = LogisticRegression(tol=1e-10, max_iter=5000).fit(LEACE().fit_transform(scaled, y), y)
    assert np.abs(before.coef_).max() > 0.1
    assert np.abs(after.coef_).max() < 1e-4


def test_leace_is_its_formula(data):
    X, y = data
    z = (y[:, None] == LABELS).astype(float)
    centred = X - X.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(X) - 1))
    W = vectors / np.sqrt(values) @ vectors.T
    crossed = W @ centred.T @ (z - z.mean(0))
    U = np.linalg.svd(crossed)[0][:, :2]
    P = np.eye(WIDTH) - np.linalg.inv(W) @ U @ U.T @ W
    eraser = LEACE(shrinkage=False).fit(X, y)
    np.testing.assert_allclose(eraser.projection_, P, atol=1e-9)
    np.testing.assert_allclose(eraser.transform(X), X.mean(0) + centred @ P.T, atol=1e-9)
    # No other projection that erases as much changes less (Belrose et al. 2023, theorem 4.3).
    shifts = np.linalg.svd(centred.T @ (z - z.mean(0)))[0][:, :2]
    orthogonal = X - centred @ shifts @ shifts.T
    changed = ((eraser.transform(X) - X) ** 2).sum()
    assert 0 < changed < 0.99 * ((orthogonal - X) ** 2).sum()


def test_rare_labels_are_erased_too():
    rng = np.random.default_rng(0)
    states, labels = rng.standard_normal((20_000, 4)), np.full(20_000, "A", dtype=object)
    labels[:4] = "B"
    states[:4] += 2

    def left(eraser):
        erased = eraser.fit(states, labels).transform(states)
        return np.abs(erased[labels == "B"].mean(0) - erased[labels == "A"].mean(0)).max()

    assert left(LEACE()) < 1e-8
    assert left(LEACE(svd_tol=0.05)) > 1


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_features_of_no_or_tiny_size_hold_no_label(value, data):
    X, y = data
    # Beside it one that tells the labels apart, at a scale where sums with others are rounding.
    tiny = 1e-32 * (X[:, 0] + (y == "NOUN"))
    states = np.column_stack([X[:, :9], tiny, np.full(len(X), value), X[:, 9:]])
    erased = LEACE().fit_transform(states, y)
    assert (erased[:, 10] == value).all()
    # Standardised without mercy: rounding that depends on the label would be read off it.
    scaled = (erased - erased.mean(0)) / np.where(erased.std(0) > 0, erased.std(0), 1)
    fitted = LogisticRegression(max_iter=2000).fit(scaled, y)
    assert np.abs(fitted.coef_).max() < 1e-3
    assert erased[:, 9].std() > 1e-33


@pytest.mark.parametrize("rank", [0, 1, 7, WIDTH])
def test_random_subspaces_have_their_rank(rank, data):
    eraser = RandomRank(rank, seed=1).fit(*data)
    assert eraser.rank_ == rank == WIDTH - np.linalg.matrix_rank(eraser.projection_, tol=1e-9)
    other = RandomRank(rank, seed=2).fit(*data).projection_
    assert np.allclose(eraser.projection_, other) == (rank in (0, WIDTH))
    if rank == 0:
        assert (eraser.transform(data[0]) == data[0]).all()
    if rank == WIDTH:
        np.testing.assert_allclose(eraser.transform(data[0]), data[0].mean(0)[None].repeat(600, 0))


def test_random_subspaces_favour_no_direction(data):
    projections = [RandomRank(5, seed=seed).fit(*data).projection_ for seed in range(400)]
    kept = np.mean(projections, axis=0)
    # Each entry of a mean over 400 draws has a standard deviation below .005.
    np.testing.assert_allclose(kept, 0.75 * np.eye(WIDTH), atol=0.025)


@pytest.mark.parametrize("share", [0, 0.02, 0.1, 0.37, 0.5, 0.9, 0.97, 1])
@pytest.mark.parametrize("seed", range(3))
def test_random_subspaces_hold_their_share_of_variance(share, seed, data):
    eraser = RandomVariance(share, seed=seed).fit(*data)
    assert removed_variance(eraser, data[0]) == pytest.approx(share, abs=1e-10)
    P = eraser.projection_
    np.testing.assert_allclose(P @ P, P, atol=1e-10)


def test_what_no_subspace_holds_is_matched_as_nearly_as_can_be(data):
    X = data[0]
    values = np.linalg.eigvalsh(np.cov(X.T))
    least = values[0] / values.sum()
    assert RandomVariance(0.4 * least).fit(X).rank_ == 0
    assert RandomVariance(1 - 0.4 * least).fit(X).rank_ == WIDTH


def test_shuffled_labels_are_the_same_method_at_the_same_size(data):
    X, y = data
    inlp = INLP().fit(X, y)
    shuffled = ShuffledLabels(INLP(rank=inlp.rank_), seed=4).fit(X, y)
    assert shuffled.rank_ == inlp.rank_
    order = np.random.default_rng(4).permutation(len(y))
    again = LEACE().fit(X, y[order])
    assert (ShuffledLabels(LEACE(), seed=4).fit(X, y).projection_ == again.projection_).all()
    assert not np.allclose(again.projection_, LEACE().fit(X, y).projection_)


def test_affine_erasers_keep_the_mean(data):
    X, y = data
    for eraser in (INLP(affine=True), LEACE(), RandomRank(5), RandomVariance(0.5)):
        np.testing.assert_allclose(eraser.fit_transform(X, y).mean(0), X.mean(0), atol=1e-9)
    published = INLP().fit(X, y)
    np.testing.assert_allclose(published.transform(X), X @ published.projection_, atol=1e-9)
    assert np.abs(published.transform(X).mean(0) - X.mean(0)).max() > 0.5


def test_tensors_are_read(data):
    X, y = data
    eraser = LEACE().fit(torch.tensor(X), torch.from_numpy(np.searchsorted(LABELS, y)))
    np.testing.assert_array_equal(eraser.projection_, LEACE().fit(X, y).projection_)
    half = torch.tensor(X[:3], dtype=torch.bfloat16, requires_grad=True)
    assert eraser.transform(half).dtype == np.float32
    # An item is erased by itself, whatever is beside it.
    np.testing.assert_allclose(eraser.transform(X[:3]), eraser.transform(X)[:3], atol=1e-12)


def test_what_cannot_be_erased_is_refused(data, monkeypatch):
    X, y = data
    for eraser in (INLP(), LEACE()):
        with pytest.raises(BertologyError, match=r"all 'ADJ'|labels are 'ADJ'"):
            eraser.fit(X, np.full(len(X), "ADJ"))
    with pytest.raises(BertologyError, match="rank is 21 and hidden states have 20"):
        RandomRank(21).fit(X)
    with pytest.raises(BertologyError, match=r"share is 1\.5; give a number from 0 to 1"):
        RandomVariance(1.5).fit(X)
    with pytest.raises(BertologyError, match="rank is -1 and hidden states have 20"):
        INLP(rank=-1).fit(X, y)
    monkeypatch.setitem(sys.modules, "concept_erasure", None)
    with pytest.raises(BertologyError, match=r"pip install 'bertology\[erasure\]'"):
        LEACE().fit(X, y)
