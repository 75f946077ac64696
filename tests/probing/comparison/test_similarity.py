"""CKA, RSA, the jackknife and the Mantel test against closed forms, brute force and simulation."""

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group, spearmanr

from bertology.probing.comparison import linear_cka, rsa
from bertology.probing.comparison.similarity import (
    Kernel,
    cka,
    dissimilarity_ranks,
    hsic,
    jackknife_interval,
    permuted_rsa,
)


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_unbiased_hsic_is_the_u_statistic_over_distinct_tokens() -> None:
    x, y = normal(0, 7, 3) + 5, normal(1, 7, 2)
    k, ell = x @ x.T, y @ y.T
    terms = [
        k[i, j] * (ell[i, j] + ell[q, r] - 2 * ell[i, q])
        for i, j, q, r in permutations(range(7), 4)
    ]
    assert hsic(Kernel.of(x), Kernel.of(y)) == pytest.approx([np.mean(terms)])


def test_leaving_a_block_out_equals_computing_on_the_rest() -> None:
    x, y, blocks = normal(0, 12, 4), normal(1, 12, 3), np.arange(12) % 3
    whole = hsic(Kernel.of(x, blocks), Kernel.of(y, blocks))
    assert whole.shape == (4,)
    for block in range(3):
        kept = blocks != block
        rest = hsic(Kernel.of(x[kept]), Kernel.of(y[kept]))
        assert whole[1 + block] == pytest.approx(rest[0])


@pytest.mark.parametrize("unbiased", [True, False])
def test_cka_is_1_under_rotation_and_scale_and_shift(unbiased: bool) -> None:
    x = normal(0, 50, 8)
    y = 3 * x @ ortho_group.rvs(8, random_state=0) + 7
    assert linear_cka(x, y, unbiased=unbiased) == pytest.approx(1)
    # A control: stretched along one dimension it is no longer the same.
    assert linear_cka(x, x * np.array([9, *[1] * 7]), unbiased=unbiased) < 0.7


@pytest.mark.parametrize(("tokens", "width"), [(200, 10), (20, 768)])
def test_independent_representations(tokens: int, width: int) -> None:
    """Plain CKA of independent ones is about d / (n + d), .049 and .976; the unbiased one is 0."""
    draws = [(normal(2 * i, tokens, width), normal(2 * i + 1, tokens, width)) for i in range(30)]
    plain = [linear_cka(x, y, unbiased=False) for x, y in draws]
    unbiased = [linear_cka(x, y) for x, y in draws]
    # Wishart moments: E tr(W²) = m d (m + d + 1), E ‖YᵀX‖² = m d², with m = n − 1.
    assert np.mean(plain) == pytest.approx(width / (tokens + width), abs=3e-3)
    error = np.std(unbiased) / np.sqrt(len(draws))
    assert abs(np.mean(unbiased)) < 3 * error < 0.05


def test_cka_of_known_covariance() -> None:
    """Of 10 equal dimensions 4 are shared: ‖Σxy‖² / (‖Σxx‖ ‖Σyy‖) = 4 / 10, at n near d too."""
    found = []
    for seed in range(60):
        x, other = normal(2 * seed, 60, 10), normal(2 * seed + 1, 60, 10)
        found.append(linear_cka(x, np.hstack([x[:, :4], other[:, 4:]])))
    assert np.mean(found) == pytest.approx(0.4, abs=0.02)


def test_cka_of_what_does_not_vary_is_nan() -> None:
    assert np.isnan(linear_cka(np.ones((9, 2)), normal(0, 9, 2)))
    assert np.isnan(linear_cka(np.ones((9, 2)), normal(0, 9, 2), unbiased=False))


def test_jackknife_intervals_cover_the_known_cka() -> None:
    covered, blocks, runs = 0, np.arange(100) % 20, 700
    for seed in range(runs):
        generator = np.random.default_rng(seed)
        x, noise = generator.normal(size=(2, 100, 5))
        y = np.hstack([x[:, :3], noise[:, 3:]])
        a, b = Kernel.of(x, blocks), Kernel.of(y, blocks)
        low, high = jackknife_interval(cka(hsic(a, b), hsic(a, a), hsic(b, b)))
        covered += low <= 3 / 5 <= high
    assert 0.93 <= covered / runs <= 0.97


def test_jackknife_of_a_mean_is_the_t_interval() -> None:
    values = normal(0, 20)
    without = (values.sum() - values) / 19
    low, high = jackknife_interval(np.array([values.mean() - 5, *without]))
    half = 2.093024 * values.std(ddof=1) / np.sqrt(20)
    assert (low, high) == pytest.approx((values.mean() - 5 - half, values.mean() - 5 + half))


def test_rsa_is_spearman_of_cosine_distances() -> None:
    x, y = normal(0, 15, 4) + 3, normal(1, 15, 6)
    expected = spearmanr(pdist(x - x.mean(0), "cosine"), pdist(y - y.mean(0), "cosine")).statistic
    assert rsa(x, y) == pytest.approx(expected)
    assert abs(expected) < 0.5


def test_rsa_is_1_under_rotation_and_scale_and_shift() -> None:
    x = normal(0, 30, 8)
    assert rsa(x, 3 * x @ ortho_group.rvs(8, random_state=0) + 7) == pytest.approx(1)
    assert rsa(x, x * np.array([9, *[1] * 7])) < 0.9


def mantel_p(x: np.ndarray, y: np.ndarray, group: int, seed: int) -> float:
    first, second = dissimilarity_ranks(x)[None], dissimilarity_ranks(y)[None]
    permuted = permuted_rsa(first, second, group, draws=99, seed=seed)[:, 0, 0]
    return float(1 + (permuted >= (first @ second.T).item()).sum()) / 100


def in_units(generator: np.random.Generator, units: int, group: int) -> np.ndarray:
    """States that are alike within a unit."""
    shared = np.repeat(generator.normal(size=(units, 4)), group, axis=0)
    return shared + 0.3 * generator.normal(size=shared.shape)


def test_mantel_p_is_uniform_for_unrelated_states() -> None:
    together, singly = [], []
    for seed in range(300):
        generator = np.random.default_rng(seed)
        x, y = in_units(generator, 12, 3), in_units(generator, 12, 3)
        together.append(mantel_p(x, y, 3, seed))
        singly.append(mantel_p(x, y, 1, seed))
    for level in (0.05, 0.1, 0.5):
        error = np.sqrt(level * (1 - level) / 300)
        assert abs(np.mean(np.array(together) <= level) - level) < 3 * error
    # A control: all tokens of one unit are also one in the other model, which permuting single
    # tokens takes for a relation.
    assert np.mean(np.array(singly) <= 0.05) > 0.3


def test_mantel_p_of_related_states_is_small() -> None:
    x = normal(0, 24, 5)
    assert mantel_p(x, x + normal(1, 24, 5), 2, 0) == 0.01
