"""Contrasts of two groups and two behaviours: closed forms, and how often they err."""

import numpy as np
import pytest

from bertology.ablation.specificity.behaviours import Hurt
from bertology.ablation.specificity.crossed import crossed, worse_than_matched


def hurt(sums, ids="x", counts=None):
    counts = np.ones(len(sums)) if counts is None else counts
    return Hurt(np.asarray(sums, float), counts, tuple(f"{ids}{i}" for i in range(len(sums))), 1e-6)


def test_contrasts_by_hand():
    a, b = hurt([[0.6, 0.1]] * 30, "a"), hurt([[0.2, 0.5]] * 40, "b")
    found = crossed(a, b, (0, 1), 0)
    np.testing.assert_allclose(found.cells, [0.6, 0.2, 0.1, 0.5])
    np.testing.assert_allclose(found.value, [0.4, 0.4, 0.5, 0.3, 0.8])
    np.testing.assert_allclose(found.low, found.value)
    np.testing.assert_allclose(found.p, 1 / 2001)
    swapped = crossed(a, b, (1, 0), 0)
    np.testing.assert_allclose(swapped.value, [-0.4, -0.4, -0.5, -0.3, -0.8])
    assert swapped.p_contrasts == 1


def test_means_weigh_units_by_their_examples():
    a = hurt([[3.0, 0.0], [0.0, 0.0]], counts=np.array([3.0, 1.0]))
    assert a.means.tolist() == [0.75, 0]


def test_the_same_examples_are_resampled_together():
    draw = np.random.default_rng(0)
    values = draw.normal(size=(50, 2))
    together = crossed(hurt(values), hurt(values), (0, 1), 0)
    apart = crossed(hurt(values, "a"), hurt(values, "b"), (0, 1), 0)
    assert together.high[0] - together.low[0] == pytest.approx(0)
    # Two means of 50 with variance 1: 2 · 1.96 · √(2/50).
    assert apart.high[0] - apart.low[0] == pytest.approx(0.784, rel=0.25)


def test_differences_of_rounding_are_no_hurt():
    tiny = hurt([[1e-8, 0.0]] * 30, "a")
    assert (crossed(tiny, hurt([[0.0, 1e-8]] * 30, "b"), (0, 1), 0).p == 1).all()


def test_intervals_cover_and_a_true_null_is_seldom_flagged():
    draw = np.random.default_rng(1)
    runs, covered, flagged, all_flagged = 150, 0, 0, 0
    # Both groups hurt both behaviours alike: no contrast is above 0.
    for run in range(runs):
        a, b = (hurt(draw.normal(0.3, 1, size=(40, 2)), name) for name in "ab")
        found = crossed(a, b, (0, 1), run)
        covered += (found.low[4] <= 0) & (found.high[4] >= 0)
        flagged += found.p[4] < 0.05
        all_flagged += found.p_contrasts < 0.05
    # Binomial bands of three standard errors around 95 % and 5 %.
    assert abs(covered / runs - 0.95) < 0.054 and abs(flagged / runs - 0.05) < 0.054
    assert all_flagged / runs < 0.05, "an intersection–union test only errs on the safe side"


def test_the_permutation_p_counts_the_group_itself():
    assert worse_than_matched(0.5, np.array([0.1, 0.2, 0.6]), 1e-6) == 0.5
    assert worse_than_matched(0.5, np.zeros(99), 1e-6) == 0.01
    assert worse_than_matched(0.0, np.zeros(9), 1e-6) == 1
    assert worse_than_matched(0.5, np.array([0.5 - 1e-9]), 1e-6) == 1, "a tie"
    assert worse_than_matched(0.5, np.empty(0), 1e-6) == 1
