"""The linear probe: an ordinary scikit-learn classifier, at chance on noise, right on signal."""

import warnings

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import binom
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bertology.probing.representations.estimators.blocks import Features, row_blocks
from bertology.probing.representations.estimators.linear import (
    GRID,
    HELD_OUT,
    LinearProbe,
    fit_together,
)


# The check of weights compares to seven digits.
@parametrize_with_checks([LinearProbe(Cs=(0.1,), tol=1e-15)])
def test_linear_probe_is_a_scikit_learn_classifier(estimator, check):
    check(estimator)


def test_random_labels_are_at_chance():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((1400, 20)).astype(np.float32)
    labels = rng.choice(["A", "B", "C", "D"], 1400)
    probe = LinearProbe().fit(features[:400], labels[:400])
    right = int((probe.predict(features[400:]) == labels[400:]).sum())
    low, high = binom.interval(0.999, 1000, 0.25)
    assert low <= right <= high


def test_labels_in_the_features_are_read_off():
    rng = np.random.default_rng(0)
    labels = rng.choice(["A", "B", "C", "D"], 600)
    features = rng.standard_normal((600, 20)).astype(np.float32) * 0.1
    features[:, :4] += labels[:, None] == np.array(["A", "B", "C", "D"])
    probe = LinearProbe().fit(features[:400], labels[:400])
    assert probe.score(features[400:], labels[400:]) == 1.0


def test_the_scale_of_a_feature_does_not_matter():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((300, 5))
    labels = (features[:, 0] + 0.5 * rng.standard_normal(300) > 0).astype(int)
    scales = np.array([1000.0, 0.01, 1.0, 5.0, 1.0])
    first = LinearProbe().fit(features, labels).predict(features)
    second = LinearProbe().fit(features * scales + 3, labels).predict(features * scales + 3)
    assert (first == second).mean() > 0.99


def test_a_feature_too_small_to_be_squared_is_read():
    """1e-32 has all of its digits in single precision; its square has none."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=200)
    features = rng.standard_normal((200, 3)).astype(np.float32)
    features[:, 1] = 1e-32 * (2 * labels - 1)
    # Probes read so few numbers in double precision; Features as they are.
    (block,) = Features(features)
    assert block.std(dim=0, correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    assert LinearProbe().fit(features, labels).score(features, labels) == 1
    features[:, 1] = 1e-32
    assert LinearProbe().fit(features, labels).score(features, labels) < 0.75


def test_a_group_is_never_on_both_sides_of_the_choice():
    # Copies of a row share a random label: held-out copies would reward the weakest penalty.
    rng = np.random.default_rng(0)
    rows, copies = 60, 5
    features = np.repeat(rng.standard_normal((rows, 40)), copies, axis=0)
    common = rng.random(rows) < 0.7
    labels = np.repeat(np.where(common, "A", "B"), copies)
    groups = np.repeat(np.arange(rows), copies)
    by_row = LinearProbe().fit(features, labels).C_
    by_group = LinearProbe().fit(features, labels, groups=groups).C_
    assert by_group == 1e-3
    assert by_row >= 0.1


def test_single_labels_and_single_groups_do_not_crash():
    features = np.eye(4)
    assert LinearProbe().fit(features, ["A"] * 4).predict(features).tolist() == ["A"] * 4
    one_group = LinearProbe().fit(features, list("ABAB"), groups=[0] * 4)
    assert one_group.C_ == 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_seed_fixes_the_fit(seed):
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((200, 6)), rng.choice(["A", "B"], 200)
    first, second = (LinearProbe(seed=seed).fit(features, labels) for _ in range(2))
    np.testing.assert_array_equal(first.predict(features), second.predict(features))
    assert first.C_ == second.C_


def test_probe_works_in_clone_pipeline_and_grid_search():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((120, 4))
    labels = np.where(features[:, 0] > 0, "A", "B")
    assert clone(LinearProbe(Cs=(0.5,), seed=3)).get_params()["Cs"] == (0.5,)
    pipeline = make_pipeline(StandardScaler(), LinearProbe())
    search = GridSearchCV(pipeline, {"linearprobe__Cs": [(1e-3,), (1.0,)]}, cv=2)
    assert search.fit(features, labels).best_score_ > 0.9


def drawn(rows: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features far from mean 0, and three labels that depend on them."""
    rng = np.random.default_rng(seed)
    features = (rng.standard_normal((rows, 8)) * np.arange(1, 9) + 30).astype(np.float32)
    logits = (features - 30) / np.arange(1, 9) @ rng.standard_normal((8, 3))
    return features, np.array(["A", "B", "C"])[(logits + rng.gumbel(size=logits.shape)).argmax(1)]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_is_scikit_learn_on_standardised_features(classes):
    features, labels = drawn()
    if classes == 2:
        labels = np.where(labels == "A", "A", "other")
    probe = LinearProbe(Cs=(0.1,)).fit(features[:300], labels[:300])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, tol=1e-8, max_iter=10_000))
    model.fit(features[:300].astype(float), labels[:300])
    np.testing.assert_array_equal(probe.classes_, model.classes_)
    difference = probe.predict_proba(features[300:]) - model.predict_proba(features[300:])
    assert np.abs(difference).max() < 0.03
    close = LinearProbe(Cs=(0.1,), tol=1e-9).fit(features[:300].astype(float), labels[:300])
    np.testing.assert_allclose(
        close.predict_proba(features[300:]), model.predict_proba(features[300:]), atol=1e-4
    )
    np.testing.assert_array_equal(close.predict(features[300:]), model.predict(features[300:]))


def test_coefficients_are_on_the_features_as_given():
    features, labels = drawn()
    probe = LinearProbe().fit(features, labels)
    logits = features.astype(float) @ probe.coef_.T + probe.intercept_
    np.testing.assert_allclose(softmax(logits, axis=1), probe.predict_proba(features), rtol=1e-12)
    two = LinearProbe().fit(features, labels == "A")
    assert two.coef_.shape == (1, 8)
    logits = (features.astype(float) @ two.coef_.T + two.intercept_)[:, 0]
    np.testing.assert_array_equal(two.predict(features), logits > 0)
    np.testing.assert_allclose(two.predict_proba(features)[:, 1], 1 / (1 + np.exp(-logits)))


def many_label_sets(features: np.ndarray, labels: np.ndarray) -> tuple[list, list]:
    """Labels, two of them, noise, one class, a resample, and a subset that lacks a label."""
    rng = np.random.default_rng(1)
    resample = np.bincount(rng.integers(0, 400, 400), minlength=400)
    label_sets = [
        labels,
        labels == "A",
        rng.choice(list("wxyz"), 400),
        ["only"] * 400,
        labels,
        labels,
    ]
    return label_sets, [None, None, None, None, resample, (labels != "B") & (np.arange(400) > 99)]


def test_fitting_together_is_fitting_one_by_one():
    features, labels = drawn()
    label_sets, weights = many_label_sets(features, labels)
    groups = np.arange(400) // 4
    options = {"Cs": GRID, "seed": 2, "tol": 1e-9}
    together = fit_together(
        features.astype(float), label_sets, groups=groups, sample_weights=weights, **options
    )
    for probe, own, weight in zip(together, label_sets, weights, strict=True):
        alone = LinearProbe(**options).fit(features.astype(float), own, groups, weight)
        assert probe.get_params() == alone.get_params()
        assert (probe.C_, probe.n_features_in_) == (alone.C_, 8)
        np.testing.assert_array_equal(probe.classes_, alone.classes_)
        np.testing.assert_allclose(probe.coef_, alone.coef_, atol=1e-4)
        np.testing.assert_array_equal(probe.predict(features), alone.predict(features))
    assert together[3].predict(features[:2]).tolist() == ["only", "only"]
    assert together[5].classes_.tolist() == ["A", "C"]
    assert len({probe.C_ for probe in together}) > 1


def test_many_columns_are_solved_in_batches(monkeypatch):
    features, labels = drawn()
    features = features.astype(float)
    label_sets, weights = many_label_sets(features, labels)
    whole = fit_together(features, label_sets, sample_weights=weights, tol=1e-9)
    monkeypatch.setattr("bertology.probing.representations.estimators.linear._MAX_COLUMNS", 5)
    parts = fit_together(features, label_sets, sample_weights=weights, tol=1e-9)
    for first, second in zip(whole, parts, strict=True):
        np.testing.assert_allclose(first.coef_, second.coef_, atol=1e-2)


def test_row_blocks_and_tensors_are_as_good_as_arrays():
    features, labels = drawn()
    features = features.astype(float)
    label_sets, weights = many_label_sets(features, labels)
    options = {"sample_weights": weights, "Cs": (0.01, 0.1), "tol": 1e-9}
    whole = fit_together(features, label_sets, **options)
    blocks = fit_together(row_blocks(features, 64), label_sets, **options)
    tensors = fit_together(torch.from_numpy(features), label_sets, **options)
    for first, second, third in zip(whole, blocks, tensors, strict=True):
        assert first.C_ == second.C_
        np.testing.assert_allclose(first.coef_, second.coef_, atol=1e-4)
        np.testing.assert_array_equal(first.coef_, third.coef_)
    probe = LinearProbe().fit(torch.from_numpy(features), torch.from_numpy((labels == "A") * 1))
    np.testing.assert_array_equal(
        probe.predict(torch.from_numpy(features)), probe.predict(features)
    )


def test_the_choice_is_scored_on_rows_that_took_no_part():
    # Rows of weight 0 are neither fitted nor scored.
    features, labels = drawn()
    features = features.astype(float)
    groups = np.arange(400) // 4
    probe = LinearProbe().fit(features, labels, groups)
    assert 0.3 < probe.held_out_score_ < 1
    weights = np.where(groups < 50, 1.0, 0.0)
    part = LinearProbe(tol=1e-9).fit(features, labels, groups, weights)
    alone = LinearProbe(tol=1e-9).fit(features[:200], labels[:200], groups[:200])
    assert (part.C_, part.held_out_score_) == (alone.C_, alone.held_out_score_)
    np.testing.assert_allclose(part.coef_, alone.coef_, atol=1e-2)


def test_a_label_that_is_only_held_out_is_learned_in_the_end():
    features, labels = drawn()
    rows = np.arange(400)
    split = GroupShuffleSplit(n_splits=1, test_size=HELD_OUT, random_state=0)
    _, held = next(split.split(rows, groups=rows))
    rare = np.where(np.isin(rows, held[:3]), "rare", labels)
    probe = LinearProbe().fit(features, rare)
    assert probe.classes_.tolist() == ["A", "B", "C", "rare"]
    assert probe.coef_.shape == (4, 8)
    # The three rows could not be right.
    assert probe.held_out_score_ <= 1 - 3 / len(held)
    assert probe.predict_proba(features)[held[:3], 3].mean() > 0.01


def test_a_feature_of_zeros_changes_nothing():
    features, labels = drawn()
    with_zeros = np.concatenate([features, np.zeros((400, 1), np.float32)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = LinearProbe().fit(with_zeros, labels)
    assert (probe.coef_[:, 8] == 0).all()
    plain = LinearProbe().fit(features, labels)
    np.testing.assert_allclose(probe.coef_[:, :8], plain.coef_, atol=1e-4)


def test_labels_that_were_not_seen_are_errors():
    features, labels = drawn()
    probe = LinearProbe().fit(features, labels)
    assert probe.score(features[:10], ["unseen"] * 10) == 0
    half = np.where(np.arange(400) < 200, labels, "unseen")
    right = (probe.predict(features[:200]) == labels[:200]).sum()
    assert probe.score(features, half) == pytest.approx(right / 400)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weights": [None]}, "2 label sets came with 1 sample weights"),
        ({"groups": [0] * 399}, r"have 400 rows, but the groups have the shape \(399,\)"),
        ({"sample_weights": [None, [0.0] * 400]}, "not all zero"),
        ({"sample_weights": [None, [-1.0] * 400]}, "at least 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, message):
    features, labels = drawn()
    with pytest.raises(ValueError, match=message):
        fit_together(features, [labels, labels], **options)
    with pytest.raises(ValueError, match="the labels have the shape"):
        fit_together(features, [labels, labels[:-1]])
    with pytest.raises(ValueError, match="NaN"):
        fit_together(np.where(features > 40, np.nan, features), [labels])
    with pytest.raises(ValueError, match="NaN"):
        fit_together(row_blocks(np.where(features > 40, np.nan, features)), [labels])
