"""Probes are fitted alike alone and together, and chosen by what their labels cost."""

import numpy as np
import pytest
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupShuffleSplit

from bertology.probing.representations.estimators.linear import LinearProbe
from bertology.probing.representations.measures.probabilities import (
    bits,
    fit_likely,
    fit_probes,
    label_probabilities,
)  # fmt: skip

from .classifiers import Memory

GRID = (0.001, 0.01, 0.1, 1.0)


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    """600 items: labels that can be read off, labels that can nearly be, and noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 10))
    clear = (X[:, 0] > 0).astype(int)
    noise = rng.integers(2, size=600)
    return {"X": X, "sets": np.stack([clear, noise]), "groups": np.repeat(np.arange(100), 6)}


def test_groups_reach_the_estimator(data) -> None:
    fitted = fit_probes(Memory(), data["X"], data["sets"], data["groups"])
    assert all(each.groups_ is data["groups"] for each in fitted) and len(fitted) == 2


def test_linear_probes_together_are_those_alone(data) -> None:
    together = fit_probes(LinearProbe(Cs=GRID, seed=4), data["X"], data["sets"], data["groups"])
    for one, labels in zip(together, data["sets"], strict=True):
        alone = LinearProbe(Cs=GRID, seed=4).fit(data["X"], labels, data["groups"])
        assert one.C_ == alone.C_
        # Within the tolerance of two solvers of one convex problem.
        assert one.predict_proba(data["X"]) == pytest.approx(
            alone.predict_proba(data["X"]), abs=0.01
        )


def test_the_penalty_is_the_one_with_the_cheapest_held_out_labels(data) -> None:
    """Weak where labels can be read off, strong where there is nothing to read."""
    clear, noise = fit_likely(LinearProbe(Cs=GRID), data["X"], data["sets"], data["groups"])
    split = GroupShuffleSplit(1, test_size=0.2, random_state=0)
    rows, held = next(split.split(data["X"], groups=data["groups"]))
    for chosen, labels in ((clear, data["sets"][0]), (noise, data["sets"][1])):
        losses = []
        for c in GRID:
            probe = LinearProbe(Cs=(c,)).fit(data["X"][rows], labels[rows])
            losses.append(log_loss(labels[held], probe.predict_proba(data["X"][held])))
        assert GRID[int(np.argmin(losses))] == chosen.C_
    assert clear.C_ == 1.0 and noise.C_ < 0.1
    # The probes' own rule looks at accuracy, which is as good under a stronger penalty.
    own = LinearProbe(Cs=GRID).fit(np.eye(2)[data["sets"][0]], data["sets"][0], data["groups"])
    likely = fit_likely(
        LinearProbe(Cs=GRID), np.eye(2)[data["sets"][0]], data["sets"][:1], data["groups"]
    )[0]
    costs = [
        bits(label_probabilities(probe, np.eye(2)[data["sets"][0]], data["sets"][0]), 2, 600).mean()
        for probe in (own, likely)
    ]
    assert own.C_ == 0.001 and likely.C_ == 1.0 and costs[1] < 0.05 < 0.3 < costs[0]


def test_where_nothing_can_be_held_out_the_penalty_is_the_strongest(data) -> None:
    one = fit_likely(LinearProbe(Cs=GRID), data["X"], data["sets"], np.zeros(600, int))
    assert [each.C_ for each in one] == [0.001, 0.001]


def test_labels_that_a_probe_does_not_know_have_no_probability(data) -> None:
    labels = np.array(["b", "d"], dtype=object)[data["sets"][0]]
    probe = LinearProbe().fit(data["X"], labels)
    asked = np.array(["a", "b", "c", "d", "e"], dtype=object)
    found = label_probabilities(probe, data["X"][:5], asked)
    expected = probe.predict_proba(data["X"][:5])
    assert found.tolist() == [0, expected[1, 0], 0, expected[3, 1], 0]


def test_bits_of_a_mixture() -> None:
    assert bits(np.array([1.0, 0.5, 0.0]), 4, 3) == pytest.approx(
        -np.log2([0.75 + 1 / 16, 0.375 + 1 / 16, 1 / 16])
    )
    for n in (1, 10, 1000):
        assert bits(np.array([0.0]), 17, n) == pytest.approx(np.log2(17 * (n + 1)))
        assert 0 < n * bits(np.array([1.0]), 17, n) < 1.45
