"""What holds for every classifier that torch trains."""

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.bilinear import BilinearProbe
from bertology.probing.representations.estimators.classifier import TorchClassifier
from bertology.probing.representations.estimators.edge import EdgeProbe
from bertology.probing.representations.estimators.linear import GRID
from bertology.probing.representations.estimators.mix import ScalarMixProbe
from bertology.probing.representations.estimators.mlp import MLPProbe


class SameWordTwice(BilinearProbe):
    """Pairs of a word with itself, so that scikit-learn may give any number of features."""

    def _checked(self, X, *y):
        checked = TorchClassifier._checked(self, X, *y)
        features = checked[0] if y else checked
        pairs = np.concatenate([features, features], axis=1)
        return (pairs, checked[1]) if y else pairs


PROBES = [
    MLPProbe(Cs=(1.0,), epochs=3),
    BilinearProbe(rank=16, Cs=(1.0,), epochs=6),
    EdgeProbe(width=8, hidden=8, Cs=(1.0,), epochs=3),
    ScalarMixProbe(Cs=(1.0,), epochs=3),
]
every_probe = pytest.mark.parametrize("probe", PROBES, ids=lambda probe: type(probe).__name__)


def _weights_are_not_repetitions(estimator):
    return {
        "check_sample_weight_equivalence_on_dense_data": "batches and held-out items are drawn "
        "among the rows, so a row given twice is not a row of weight 2 to the last digit"
    }


@parametrize_with_checks(PROBES[:1], expected_failed_checks=_weights_are_not_repetitions)
def test_mlp_probe_is_a_scikit_learn_classifier(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [SameWordTwice(rank=16, Cs=(1.0,), epochs=6), *PROBES[2:]],
    expected_failed_checks=_weights_are_not_repetitions,
)
def test_all_are_scikit_learn_classifiers(estimator, check):
    check(estimator)


def _separable(items=200, features=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((items, features)).astype(np.float32)
    # Of both halves, so that it is bilinear, too, and of one word, so that a linear probe reads it.
    return X, np.where(X[:, 0] > 0, "B", "A")


@every_probe
def test_the_seed_fixes_the_numbers_and_another_changes_them(probe):
    X, y = _separable()
    first, same, other = (
        clone(probe).set_params(seed=seed).fit(X, y).predict_proba(X) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


@every_probe
def test_works_in_clone_pipeline_and_grid_search(probe):
    X, y = _separable()
    assert clone(probe).get_params() == probe.get_params()
    name = type(probe).__name__.lower()
    pipeline = make_pipeline(StandardScaler(), clone(probe))
    search = GridSearchCV(pipeline, {f"{name}__Cs": [(1e-6,), (1.0,)]}, cv=2).fit(X, y)
    assert search.best_params_ == {f"{name}__Cs": (1.0,)}
    assert search.best_score_ > 0.85


@every_probe
def test_tensors_are_arrays(probe):
    X, y = _separable()
    codes, weights, groups = (y == "B").astype(int), np.linspace(1, 2, len(y)), np.arange(200) // 2
    plain = clone(probe).fit(X, codes, groups, weights)
    tensors = [torch.from_numpy(np.asarray(a)) for a in (X, codes, groups, weights)]
    from_tensors = clone(probe).fit(*tensors)
    np.testing.assert_array_equal(
        plain.predict_proba(X), from_tensors.predict_proba(tensors[0].requires_grad_())
    )


@every_probe
def test_items_of_weight_zero_are_absent(probe):
    X, y = _separable()
    noise, labels = np.full((50, 4), 1e6, dtype=np.float32), np.full(50, "C")
    weights = np.r_[np.ones(200), np.zeros(50)]
    with_them = clone(probe).fit(np.r_[X, noise], np.r_[y, labels], None, weights)
    without = clone(probe).fit(X, y)
    assert with_them.classes_.tolist() == ["A", "B"]
    np.testing.assert_array_equal(with_them.predict_proba(X), without.predict_proba(X))


@pytest.mark.parametrize("probe", PROBES[:2] + PROBES[3:], ids=lambda probe: type(probe).__name__)
def test_without_features_the_probabilities_are_the_weighted_shares(probe):
    X, y = np.zeros((400, 2)), np.tile(["A", "B"], 200)
    weights = np.where(y == "A", 3.0, 1.0)
    fitted = clone(probe).set_params(epochs=40).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(fitted.predict_proba(X[:1]), [[0.75, 0.25]], atol=0.02)
    unweighted = clone(probe).set_params(epochs=40).fit(X, y)
    np.testing.assert_allclose(unweighted.predict_proba(X[:1]), [[0.5, 0.5]], atol=0.02)


@pytest.mark.parametrize("c", [0.01, 1.0])
def test_the_objective_is_that_of_logistic_regression(c):
    # One layer of a mix is a linear classifier: what is minimised can be compared. One group has
    # nothing held out, so that training goes on to its end.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((240, 6))
    y = (X[:, :3] + rng.standard_normal((240, 3))).argmax(axis=1)
    weights = rng.integers(1, 4, len(y)).astype(float)
    X = StandardScaler().fit(X, sample_weight=weights).transform(X)
    reference = LogisticRegression(C=c, tol=1e-8).fit(X, y, sample_weight=weights)
    probe = ScalarMixProbe(Cs=(c,)).fit(X, y, np.zeros(len(y)), weights)
    np.testing.assert_allclose(probe.predict_proba(X), reference.predict_proba(X), atol=0.01)
    ours = probe.network_.output.weight.detach().numpy()

    def objective(model, coefficients):
        likelihood = log_loss(y, model.predict_proba(X), sample_weight=weights, normalize=False)
        return likelihood + (coefficients**2).sum() / (2 * c)

    assert objective(probe, ours) < 1.001 * objective(reference, reference.coef_)


def test_random_labels_are_at_chance():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((1400, 20)), rng.choice(list("ABCD"), 1400)
    probe = MLPProbe(epochs=5, Cs=(0.01, 1.0)).fit(X[:400], y[:400])
    low, high = binom.interval(0.999, 1000, 0.25)
    assert low <= (probe.predict(X[400:]) == y[400:]).sum() <= high


def test_a_group_is_never_on_both_sides_of_the_choice():
    # Copies of a row share a random label: only held-out copies of what was seen can be right.
    rng = np.random.default_rng(0)
    X = np.repeat(rng.standard_normal((100, 40)), 5, axis=0)
    y, groups = np.repeat(rng.choice(["A", "B"], 100), 5), np.repeat(np.arange(100), 5)
    by_row = MLPProbe(epochs=10).fit(X, y)
    by_group = MLPProbe(epochs=10).fit(X, y, groups)
    assert by_row.held_out_score_ > 0.9
    low, high = binom.interval(0.999, 20, 0.5)
    assert low / 20 <= by_group.held_out_score_ <= high / 20 + 0.1


def test_the_strongest_of_equal_penalties_is_chosen():
    # Nothing can be learned from nothing: all are equal.
    X, y = np.zeros((100, 3)), np.r_[np.full(70, "A"), np.full(30, "B")]
    assert MLPProbe(Cs=(1.0, 0.01, 0.1), epochs=2).fit(X, y).C_ == 0.01


def test_single_labels_and_single_groups_do_not_crash():
    X = np.eye(4)
    assert MLPProbe(epochs=2).fit(X, ["A"] * 4).predict(X).tolist() == ["A"] * 4
    one_group = MLPProbe(epochs=2).fit(X, list("ABAB"), groups=[0] * 4)
    assert min(GRID) == one_group.C_ and np.isnan(one_group.held_out_score_)
    assert len(one_group.rates_) == 2


def test_groups_that_are_too_few_are_refused():
    with pytest.raises(BertologyError, match="3 groups were given for 4 items"):
        MLPProbe().fit(np.eye(4), list("ABAB"), groups=[0, 1, 2])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@every_probe
def test_an_accelerator_trains_the_same_probe(probe):
    X, y = _separable()
    here = clone(probe).fit(X, y)
    there = clone(probe).set_params(device="cuda").fit(X, y)
    np.testing.assert_allclose(there.predict_proba(X), here.predict_proba(X), atol=1e-3)
