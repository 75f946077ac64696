"""The table of counterfactual attention, from changes made by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from bertology.attribution.counterfactual.scrambling import Cell, Changes
from bertology.attribution.counterfactual.search import Alternatives
from bertology.attribution.counterfactual.table import (
    COLUMNS,
    changes_by_text,
    counterfactual_table,
    epsilon_table,
)
from bertology.stats import max_t

CELLS = (Cell("all", None, None), Cell("head", 0, 0), Cell("head", 0, 1), Cell("head", 0, 2))


def changes(texts: int) -> Changes:
    """Head 0 matters more than noise, head 1 less, head 2 as much; `other` has half the texts."""
    generator = np.random.default_rng(0)
    scrambled = generator.uniform(0.2, 0.3, (texts, 4, 2, 3))
    noise = generator.uniform(0.2, 0.3, (texts, 4, 2, 3))
    noise[:, 1] -= 0.15
    noise[:, 2] += 0.15
    scrambled[::2, :, 1] = noise[::2, :, 1] = np.nan
    scrambled[:, :, 1, 1:] = np.nan
    return Changes("total_variation", CELLS, ("permuted", "other"), scrambled, noise)


def test_means_differences_and_tests() -> None:
    own = changes(40)
    table = counterfactual_table(own, range(40), seed=0)
    assert tuple(table.columns) == COLUMNS
    assert table["metric"].unique().tolist() == ["total_variation", "total_variation_median"]
    permuted = table[(table["map"] == "permuted") & (table["metric"] == "total_variation")]
    moved, noise = (values[:, :, 0].mean(-1) for values in (own.scrambled, own.noise))
    np.testing.assert_allclose(permuted["mean"], moved.mean(0))
    np.testing.assert_allclose(permuted["baseline"], noise.mean(0))
    np.testing.assert_allclose(permuted["difference"], (moved - noise).mean(0))
    heads = permuted[permuted["scope"] == "head"]
    np.testing.assert_allclose(heads["p_adjusted"], max_t((moved - noise)[:, 1:], seed=0))
    low, high, p = (
        heads[c].to_numpy() for c in ("difference_low", "difference_high", "p_adjusted")
    )
    assert low[0] > 0.1 and high[1] < -0.1 and low[2] < 0 < high[2]
    assert p[0] < 0.001 and p[1] < 0.001 and p[2] > 0.05
    assert (permuted["n"] == 40).all() and not permuted["descriptive"].any()
    median = table[table["metric"] == "total_variation_median"]
    expected = np.median(own.scrambled[:, :, 0], -1).mean(0)
    np.testing.assert_allclose(median["mean"], expected)
    other = table[table["map"] == "other"]
    assert (other["n"] == 20).all()
    np.testing.assert_allclose(other["mean"], own.scrambled[1::2, :, 1, 0].mean(0))
    np.testing.assert_allclose(other["baseline"], own.noise[1::2, :, 1].mean((0, 2)))


def test_too_little_data_is_described_only() -> None:
    table = counterfactual_table(changes(20), range(20), seed=0)
    assert table["descriptive"].all() and table["p_adjusted"].isna().all()


def test_rounding_is_no_effect() -> None:
    own = changes(40)
    tiny = np.full_like(own.scrambled, 0.1)
    table = counterfactual_table(
        Changes("total_variation", CELLS, own.maps, tiny + 1e-8, tiny), range(40), seed=0
    )
    assert (table["p_adjusted"] == 1).all()


def test_texts_without_the_map_have_no_row() -> None:
    own = changes(4)
    encodings = [SimpleNamespace(sentence=SimpleNamespace(id=f"s{n}")) for n in range(4)]
    prepared = SimpleNamespace(kept=[0, 2, 3, 5], encodings=encodings)
    table = changes_by_text(own, prepared)
    assert len(table) == 4 * 4 + 2 * 4
    row = table[(table["example"] == 2) & (table["map"] == "other") & (table["head"] == 1)].iloc[0]
    assert row["id"] == "s1" and row["layer"] == 0
    assert row["value"] == pytest.approx(own.scrambled[1, 2, 1, 0])
    assert row["baseline"] == pytest.approx(own.noise[1, 2, 1].mean())


def test_epsilon_curves() -> None:
    generator = np.random.default_rng(0)
    jsd, read, moved = np.sort(generator.uniform(0, 0.6, (3, 40, 2, 3)), axis=-1)
    bound, read_bound = generator.uniform(0.6, 0.69, (2, 40, 2))
    found = Alternatives("total_variation", (None, 4), (0.01, 0.1, 1.0), 10, 1, jsd, read, moved,
                         bound, read_bound)  # fmt: skip
    table = epsilon_table(found, range(40), seed=0)
    assert len(table) == 2 * 2 * 3
    row = table[(table["layer"] == 4) & (table["statistic"] == "read_jsd")].iloc[1]
    assert (row["scope"], row["epsilon"], row["n"]) == ("layer", 0.1, 40)
    assert row["mean"] == pytest.approx(read[:, 1, 1].mean())
    assert row["bound"] == pytest.approx(read_bound[:, 1].mean())
    assert row["moved"] == pytest.approx(moved[:, 1, 1].mean())
    assert row["ci_low"] < row["mean"] < row["ci_high"] and not row["descriptive"]
    everywhere = table[table["scope"] == "all"]
    assert everywhere["layer"].isna().all()
    np.testing.assert_allclose(everywhere["mean"][:3], jsd[:, 0].mean(0))
