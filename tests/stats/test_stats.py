"""Statistics against closed forms, scipy, and simulation."""

import numpy as np
import pytest
import scipy.stats

from bertology.stats import (
    benjamini_hochberg,
    bootstrap_ratio,
    holm,
    is_descriptive,
    kendall_tau_b,
    max_t,
    rank_biased_overlap,
    sign_flip,
    spearman,
    wilson,
)


def test_wilson_worked_examples() -> None:
    # .868 of 1591 has an interval of about 1.7 points to either side; .941 of 286 is [.907, .963].
    low, high = wilson(np.array([0.868 * 1591, 0.941 * 286]), np.array([1591, 286]))
    assert (high[0] - low[0]) / 2 == pytest.approx(0.0167, abs=3e-4)
    np.testing.assert_allclose([low[1], high[1]], [0.907, 0.963], atol=1e-3)
    theirs = scipy.stats.binomtest(7, 20).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(np.array(7), np.array(20)), [theirs.low, theirs.high])
    assert np.isnan(wilson(np.array(0), np.array(0))).all()


def test_ratio_of_sums_not_mean_of_ratios() -> None:
    estimate, low, high = bootstrap_ratio(np.array([1.0, 30.0]), np.array([1.0, 60.0]), seed=0)
    assert estimate == pytest.approx(31 / 61)
    assert (low, high) == (pytest.approx(0.5), pytest.approx(1.0))


def test_bootstrap_is_seeded_and_shares_draws_between_cells() -> None:
    generator = np.random.default_rng(1)
    values, count = generator.normal(size=(40, 3, 2)), np.ones(40)
    one, two = bootstrap_ratio(values, count, seed=3), bootstrap_ratio(values, count, seed=3)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    single = bootstrap_ratio(values[:, 1, 1], count, seed=3)
    np.testing.assert_allclose([x[1, 1] for x in one], single)
    other = bootstrap_ratio(values, count, seed=4)
    assert not np.allclose(one[1], other[1])


def test_bootstrap_blocks_do_not_change_the_kind_of_result() -> None:
    # More units than fit one block of weights.
    values = np.random.default_rng(0).normal(loc=2, size=3000)
    estimate, low, high = bootstrap_ratio(values, np.ones(3000), seed=0)
    half = 1.96 * values.std() / np.sqrt(3000)
    assert estimate == pytest.approx(values.mean())
    assert (high - low) / 2 == pytest.approx(half, rel=0.08)


def test_empty_cells_are_nan() -> None:
    estimate, low, high = bootstrap_ratio(np.zeros((5, 1)), np.zeros((5, 1)), seed=0)
    assert np.isnan([estimate, low, high]).all()


def test_bootstrap_intervals_cover() -> None:
    generator = np.random.default_rng(0)
    runs, units = 2000, 60
    sizes = generator.integers(1, 6, size=(units, runs)).astype(float)
    # Per unit a shared effect: sentences of a document are alike.
    effects = generator.normal(size=(units, runs))
    sums = sizes * effects + np.sqrt(sizes) * generator.normal(size=(units, runs))
    _, low, high = bootstrap_ratio(sums, sizes, seed=0)
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97


def test_sign_flip_against_exact_enumeration() -> None:
    differences = np.array([1.0, 2.0, 3.0, -1.0, 2.5, 0.5, 1.5, 2.0])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1).T
    exact = (signs @ differences >= differences.sum() - 1e-9).mean()
    p = sign_flip(differences, seed=0, two_sided=False)
    assert p == pytest.approx(exact, abs=0.005)
    assert sign_flip(differences, seed=0, two_sided=True) == pytest.approx(2 * exact, abs=0.007)
    assert sign_flip(np.zeros(20), seed=0, two_sided=True) == 1


def test_max_t_controls_the_family_and_finds_an_effect() -> None:
    generator = np.random.default_rng(0)
    runs = 500
    flagged = [(max_t(generator.normal(size=(30, 10)), seed=s) < 0.05).any() for s in range(runs)]
    assert 0.02 <= np.mean(flagged) <= 0.05 + 1.96 * np.sqrt(0.05 * 0.95 / runs)
    data = generator.normal(size=(40, 30))
    data[:, 7] += 1.2
    p = max_t(data, seed=0)
    assert p[7] < 0.01 and (p < 0.05).sum() == 1
    # Adjusted values are never below the unadjusted ones.
    assert (p >= sign_flip(data, seed=0, two_sided=True) - 0.01).all()
    assert max_t(np.zeros((10, 2)), seed=0).tolist() == [1, 1]


def test_holm_and_benjamini_hochberg_by_hand() -> None:
    p = np.array([0.01, 0.04, 0.03, np.nan])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, np.nan])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.03, 0.04, 0.04, np.nan])
    assert holm(np.array([])).shape == (0,)
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_descriptive_below_30_counts_or_10_units() -> None:
    assert is_descriptive(29, 100) and is_descriptive(100, 9)
    assert not is_descriptive(30, 10)


def test_kendall_tau_b_is_scipys() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(0, 4, size=(5, 11)).astype(float)  # with ties
    second = generator.normal(size=(3, 11))
    expected = [[scipy.stats.kendalltau(a, b).statistic for b in second] for a in first]
    np.testing.assert_allclose(kendall_tau_b(first, second), expected)
    assert np.isnan(kendall_tau_b(np.ones((1, 6)), second[:, :6])).all()


def test_kendall_worked_examples() -> None:
    ours = kendall_tau_b(np.array([[1, 2, 3, 4, 5]]), np.array([[2, 1, 4, 3, 5]]))
    assert ours.item() == pytest.approx(0.6)
    tied = kendall_tau_b(np.array([[1, 1, 1, 2]]), np.array([[1, 2, 3, 4]]))
    assert tied.item() == pytest.approx(0.707, abs=5e-4)


def test_spearman_is_scipys_and_right_under_ties() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(0, 4, size=(5, 11)).astype(float)
    second = generator.normal(size=(3, 11))
    expected = [[scipy.stats.spearmanr(a, b).statistic for b in second] for a in first]
    np.testing.assert_allclose(spearman(first, second), expected)
    worked = spearman(np.array([[1, 2, 3, 4, 5]]), np.array([[2, 1, 4, 3, 5]]))
    assert worked.item() == pytest.approx(0.8)
    # The shortcut formula on dense ranks gives .10 here.
    tied = spearman(np.array([[1, 1, 1, 2]]), np.array([[1, 2, 3, 4]]))
    assert tied.item() == pytest.approx(0.775, abs=5e-4)
    assert np.isnan(spearman(np.ones((1, 6)), second[:, :6])).all()


def test_rank_biased_overlap_worked_examples() -> None:
    def overlap(first: list[float], second: list[float]) -> float:
        return rank_biased_overlap(np.array([first]), np.array([second])).item()

    assert overlap([3, 2, 1], [3, 1, 2]) == pytest.approx(0.955, abs=5e-4)  # abc / acb
    assert overlap([4, 3, 2, 1], [1, 2, 3, 4]) == pytest.approx(0.783, abs=5e-4)  # abcd / dcba
    assert overlap([4, 3, 2, 1], [8, 7, 5, 1]) == pytest.approx(1)
    # A tie lies between its two orders, exactly in the middle for two items.
    middle = (overlap([3, 2, 1], [3, 2, 1]) + overlap([3, 2, 1], [2, 3, 1])) / 2
    assert overlap([3, 2, 1], [2, 2, 1]) == pytest.approx(middle)
    assert np.isnan(overlap([1, 1, 1], [1, 2, 3]))


def test_wilson_stays_within_a_proportion() -> None:
    low, high = wilson(np.array([0, 7]), np.array([7, 7]))
    assert low[0] == 0 and high[1] == 1
