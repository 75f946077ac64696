"""The linear probe: an ordinary scikit-learn classifier, at chance on noise, right on signal."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bertology.probing.representations.estimators.linear import LinearProbe


# The check of weights compares to seven digits.
@parametrize_with_checks([LinearProbe(Cs=(0.1,), tol=1e-16)])
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
