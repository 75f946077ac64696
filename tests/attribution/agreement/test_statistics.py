"""Statistics of two rankings: worked examples, and chance by going through all orders."""

from itertools import permutations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from bertology.attribution.agreement import STATISTICS


def of(statistic: str, first: list[float], second: list[float]) -> float:
    found = STATISTICS[statistic].compare(np.array([first], float), np.array([second], float))
    return float(found[0, 0])


def ranking(order: str) -> list[float]:
    """Scores of the items a, b, c, … whose ranking is the order given."""
    return [float(-order.index(item)) for item in sorted(order)]


def test_worked_examples() -> None:
    pair = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5]
    assert of("kendall_tau_b", *pair) == pytest.approx(0.6)
    assert of("spearman", *pair) == pytest.approx(0.8)
    tied = [1, 1, 1, 2], [1, 2, 3, 4]
    assert of("kendall_tau_b", *tied) == pytest.approx(0.7071, abs=1e-4)
    assert of("spearman", *tied) == pytest.approx(0.7746, abs=1e-4)
    overlap = "rank_biased_overlap"
    assert of(overlap, ranking("abc"), ranking("acb")) == pytest.approx(0.955)
    assert of(overlap, ranking("abcd"), ranking("dcba")) == pytest.approx(0.783)


def test_divergence_is_the_square_of_what_scipy_returns() -> None:
    p, q = [0.5, 0.3, 0.2], [0.1, 0.2, 0.7]
    assert of("jensen_shannon", p, q) == pytest.approx(jensenshannon(p, q) ** 2)
    # Of absolute scores, and of their shares: neither sign nor size matters.
    assert of("jensen_shannon", [-5, 3, -2], q) == pytest.approx(jensenshannon(p, q) ** 2)
    assert of("jensen_shannon", [1, 0], [0, 1]) == pytest.approx(np.log(2))
    assert np.isnan(of("jensen_shannon", [1, 1, 1], q))


def test_top_overlap_by_hand() -> None:
    first, second = [9.0, 8, 7, 1, 2, 3], [9.0, 1, 8, 2, 7, 3]
    assert of("top_1_overlap", first, second) == 1
    assert of("top_3_overlap", ranking("abcdef"), ranking("defabc")) == 0
    assert of("top_3_overlap", first, second) == pytest.approx(2 / 3)
    # The second of three that tie for the second place is a third of each.
    assert of("top_1_overlap", [1, 1, 1, 0], [3, 2, 1, 0]) == pytest.approx(1 / 3)
    # All items are in common, whatever their order.
    assert np.isnan(of("top_3_overlap", first[:3], second[:3]))
    assert np.isnan(of("top_10_overlap", first, second))


@pytest.mark.parametrize("name", list(STATISTICS))
def test_chance_is_the_mean_over_all_orders(name: str) -> None:
    generator = np.random.default_rng(0)
    items = 12 if name == "top_10_overlap" else 6
    first, second = generator.random((2, items)), generator.random((2, items))
    second[1, :2] = second[1, 2]
    if items == 6:
        orders = np.array(list(permutations(range(items))))
    else:
        orders = generator.permuted(np.tile(np.arange(items), (4000, 1)), axis=1)
    statistic = STATISTICS[name]
    chance = statistic.chance(first, second)
    for place, row in enumerate(second):
        found = statistic.compare(first, row[orders]).mean(1)
        np.testing.assert_allclose(chance[:, place], found, atol=1e-9 if items == 6 else 0.01)


@pytest.mark.parametrize("name", list(STATISTICS))
def test_rows_are_compared_with_rows(name: str) -> None:
    generator = np.random.default_rng(1)
    first, second = generator.random((3, 12)), generator.random((2, 12))
    found = STATISTICS[name].compare(first, second)
    assert found.shape == (3, 2)
    assert found[2, 1] == pytest.approx(of(name, list(first[2]), list(second[1])))
    itself = STATISTICS[name].compare(first, first).diagonal()
    assert itself == pytest.approx(1.0 if STATISTICS[name].higher_is_closer else 0.0)
