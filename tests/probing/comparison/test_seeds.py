"""Several models as units: heads matched across them, and intervals over models and texts."""

import numpy as np
import pandas as pd
import pytest

from bertology.capture import capture
from bertology.errors import ModelError
from bertology.probing.comparison import SeedComparison, compare_seeds
from bertology.probing.comparison.seeds import over_models_and_units

from .changed import random_texts, with_first_blocks, with_noise, with_permuted_heads


def test_renumbered_heads_are_one_and_the_same(tiny_model, tmp_path) -> None:
    model, corpus = tiny_model("bert"), random_texts(40)
    orders = ([2, 0, 3, 1], [3, 2, 1, 0])
    models = [model, *(with_permuted_heads(model, order) for order in orders)]
    result = compare_seeds(models, corpus)
    table = result.table
    np.testing.assert_allclose(table["sd"], 0, atol=1e-6)
    # The numbers of the first model's heads on the odd texts.
    attention = [one.attention.astype(float) for one in capture(model, corpus.sentences[1::2])]
    largest = np.mean([maps.max(-1).mean(-1) for maps in attention], axis=0)
    found = table[table["statistic"] == "max"]
    np.testing.assert_allclose(found["mean"], largest.ravel(), atol=1e-5)
    assert (table["n"] == 20).all() and (table["models"] == 3).all()
    assert table["descriptive"].all()  # three models
    assert {"cls", "sep"} <= set(table["statistic"])
    for number, order in enumerate(orders, 1):
        matching = result.matching[result.matching["model"] == number]
        assert [order[head] for head in matching["match_head"]] == matching["head"].tolist()
        np.testing.assert_allclose(matching["jsd"], 0, atol=1e-6)
    result.save(tmp_path)
    pd.testing.assert_frame_equal(SeedComparison.load(tmp_path).table, table)


def test_other_models_spread(tiny_model) -> None:
    model, corpus = tiny_model("gpt2"), random_texts(24)
    # A control: an unequal model gives a spread. Models without [CLS] have no such rows.
    result = compare_seeds([model, model], corpus).table
    np.testing.assert_allclose(result["sd"], 0, atol=1e-7)
    assert not {"cls", "sep"} & set(result["statistic"])
    bert = tiny_model("bert")
    assert compare_seeds([bert, with_noise(bert, 0.3)], corpus).table["sd"].max() > 0.05


def test_what_are_no_seeds_of_one_model_is_refused(tiny_model) -> None:
    model = tiny_model("bert")
    with pytest.raises(ModelError, match="at least two"):
        compare_seeds([model], random_texts(8))
    with pytest.raises(ModelError, match="12 heads, short has 8"):
        compare_seeds([model, with_first_blocks(model, 2)], random_texts(8))


def simulated(cells: int, models: int, units: int, spread: float) -> list[np.ndarray]:
    """Sums of each unit whose expectation is 0: effects of models, of units, and noise."""
    generator = np.random.default_rng(0)
    of_models = spread * generator.normal(size=(models, 1, cells))
    of_units = generator.normal(size=(1, units, cells))
    return list(of_models + of_units + 0.5 * generator.normal(size=(models, units, cells)))


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_intervals_over_models_and_units_cover_the_mean(spread: float) -> None:
    """Whether texts or models decide; every cell is a simulation of its own."""
    sums = simulated(600, 30, 60, spread)
    mean, low, high, sd = over_models_and_units(sums, np.ones(60), seed=0)
    assert 0.93 <= ((low <= 0) & (high >= 0)).mean() <= 0.97
    np.testing.assert_allclose(mean, np.mean(sums, axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(sd, np.mean(sums, axis=1).std(0, ddof=1), atol=1e-6)
    # A control: draws of units within each model apart miss what texts do to all models.
    apart = np.std([one.mean(0) for one in sums], axis=0, ddof=1) / np.sqrt(30)
    assert (np.abs(mean) < 1.96 * apart).mean() < 0.93
