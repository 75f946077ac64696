"""Usable information against entropies and mutual information worked out on paper."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import RidgeClassifier

from bertology.errors import BertologyError
from bertology.probing.representations.controls import ControlTask
from bertology.probing.representations.estimators.linear import LinearProbe
from bertology.probing.representations.measures import usable_information

from .classifiers import Fixed


def informed(X, labels, split, estimator=None):
    """Fit on the items before `split` and measure on the others."""
    sets = labels[None] if labels.ndim == 1 else labels
    return usable_information(
        estimator or LinearProbe(), X[:split], sets[:, :split], X[split:], sets[:, split:],
        sentences=np.arange(split),
    )  # fmt: skip


def test_a_label_in_the_input_is_known_in_full() -> None:
    """Known answer: I = H(Y)."""
    labels = np.random.default_rng(0).choice(4, p=[0.4, 0.3, 0.2, 0.1], size=4000)
    result = informed(np.eye(4)[labels], labels, 2000)
    shares = np.bincount(labels[2000:]) / 2000
    entropy = -(shares * np.log2(shares)).sum()
    # Without input: the entropy, and the divergence of the shares of 2,000 others from them.
    assert result.without.mean() == pytest.approx(entropy, abs=0.005)
    assert result.pointwise.mean() == pytest.approx(entropy, abs=0.02)
    assert result.given.max() < 0.05


def test_a_constant_input_and_noise_say_nothing() -> None:
    """Known answer: 0, and on held-out items it may be less."""
    rng = np.random.default_rng(1)
    labels = rng.integers(3, size=2000)
    constant = informed(np.ones((2000, 2)), labels, 1000)
    assert constant.pointwise == pytest.approx(np.zeros((1, 1000)), abs=0.005)
    noise = informed(rng.normal(size=(2000, 50)), labels, 1000, LinearProbe(Cs=(1.0,)))
    assert -0.2 < noise.pointwise.mean() < 0


def test_information_is_the_mutual_information_where_the_family_holds_the_truth() -> None:
    """Two normal classes: the logistic family holds P(Y|X), so I_V is Shannon's I(X;Y)."""
    rng = np.random.default_rng(2)
    labels = rng.integers(2, size=40_000)
    X = rng.normal(size=(40_000, 1)) + 2.0 * labels[:, None]

    def both(x: float) -> float:
        one, other = norm.pdf(x) / 2, norm.pdf(x - 2) / 2
        share = one / (one + other)
        return -(one * np.log2(share) + other * np.log2(1 - share))

    truth = 1 - quad(both, -8, 10)[0]
    result = informed(X, labels, 20_000, LinearProbe(Cs=(1.0,)))
    # Four standard errors of the mean of 20,000.
    error = result.pointwise.std() / np.sqrt(20_000)
    assert 0.4 < truth < 0.6
    assert result.pointwise.mean() == pytest.approx(truth, abs=4 * error) and error < 0.006


def test_pointwise_information_is_worked_out_on_paper() -> None:
    result = usable_information(
        Fixed((0.25, 0.75)), np.zeros((4, 1)), np.array([[0, 0, 0, 1]]), np.zeros((2, 1)),
        np.array([[0, 1]]), sentences=np.arange(4),
    )  # fmt: skip
    # Mixed with 1/5 of a half: 0.75 to 0.7, 0.25 to 0.3.
    assert result.without == pytest.approx(-np.log2([[0.7, 0.3]]))
    assert result.given == pytest.approx(-np.log2([[0.3, 0.7]]))
    assert result.pointwise == pytest.approx(np.log2([[3 / 7, 7 / 3]]))


def test_labels_unseen_in_training_cost_a_finite_number_and_say_nothing() -> None:
    X = np.array([[0.0], [0.1], [1.0], [1.1]])
    result = usable_information(
        LinearProbe(), X, np.array([["a", "a", "b", "b"]], dtype=object), X[:3],
        np.array([["a", "new", "b"]], dtype=object), sentences=np.arange(4),
    )  # fmt: skip
    assert result.without[0, 1] == result.given[0, 1] == pytest.approx(np.log2(3 * 5))


def test_the_table_sets_control_labels_beside_the_task() -> None:
    rng = np.random.default_rng(3)
    types = rng.integers(200, size=3000)
    vectors = rng.normal(size=(200, 12))
    labels = (vectors[:, 0] > 0).astype(int)[types]
    names = types.astype(str)
    draws = [ControlTask(seed=seed).fit(names, labels).transform(names) for seed in range(3)]
    result = informed(vectors[types], np.stack([labels, *draws]), 1500)
    table = result.table(np.arange(1500) // 25, seed=0).set_index("metric")
    own, control = result.pointwise[0].mean(), result.pointwise[1:].mean()
    row = table.loc["information"]
    assert row[["value", "control", "selectivity"]].tolist() == pytest.approx(
        [own, control, own - control]
    )
    assert row["selectivity_ci_low"] > 0.4 and row["ci_low"] < own < row["ci_high"]
    assert row["value"] == pytest.approx(
        table.loc["entropy", "value"] - table.loc["conditional_entropy", "value"]
    )
    few = result.table(np.arange(1500) // 200, seed=0)
    assert few["descriptive"].all() and few["ci_low"].isna().all()
    alone = informed(vectors[types], labels, 1500).table(np.arange(1500), seed=0)
    assert alone["control"].isna().all() and alone["ci_low"].notna().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eval_label_sets": np.zeros((2, 4), int)}, r"\(2, 4\) were given for 4 evaluation items"),
        ({"label_sets": np.zeros((1, 5), int)}, r"\(1, 5\) were given for 6 items"),
        ({"label_sets": np.zeros((1, 6), int)}, "All 6 items have the label '0'"),
        ({"estimator": RidgeClassifier()}, "RidgeClassifier gives no probabilities"),
    ],
)
def test_input_without_information_is_refused(change, message) -> None:
    given = {
        "estimator": Fixed((0.5, 0.5)),
        "X": np.zeros((6, 1)),
        "label_sets": np.arange(6)[None] % 2,
        "X_eval": np.zeros((4, 1)),
        "eval_label_sets": np.arange(4)[None] % 2,
        "sentences": np.arange(6),
    } | change
    with pytest.raises(BertologyError, match=message):
        usable_information(**given)
