"""Matching on numbers without and with a true match."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from bertology.probing.comparison.matching import match_heads, match_table


class Kept:
    """Divergences in two shards, as a pass keeps them."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def tensors(self, name: str) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
        assert name == "all_jsd"
        # Shards hold texts sorted by length, not in the order of the corpus.
        for members in np.array_split(np.random.default_rng(9).permutation(len(self.values)), 2):
            yield members, torch.from_numpy(self.values[members])


HEADS = [(layer, head) for layer in range(2) for head in range(5)]


def test_noise_has_no_match() -> None:
    """On the half that chose, pairs of pure noise look matched; on the other they do not."""
    values = np.random.default_rng(0).uniform(0.2, 0.4, size=(60, 10, 10))
    units = np.arange(60) // 2
    matching = match_heads(Kept(values), units)
    table = match_table(matching, HEADS, HEADS, None, seed=0)
    assert table["jsd"].mean() == pytest.approx(0.3, abs=0.005)
    assert abs(table["difference"].mean()) < 0.005
    assert table["same_match"].sum() <= 4
    # A control: scored on the half that chose it.
    own = values[units % 2 == 0][:, np.arange(10), matching.even].mean()
    assert own < 0.285


def test_true_pairs_are_found_and_scored() -> None:
    generator = np.random.default_rng(1)
    order = generator.permutation(10)
    values = generator.uniform(0.2, 0.4, size=(40, 10, 10))
    values[:, np.arange(10), order] -= 0.15
    units = np.arange(40)
    matching = match_heads(Kept(values), units)
    table = match_table(matching, HEADS, HEADS, matching, seed=0)
    assert np.array_equal(matching.even, order) and table["same_match"].all()
    pair = values[:, np.arange(10), order]
    np.testing.assert_allclose(table["jsd"], pair.mean(0))
    np.testing.assert_allclose(table["unmatched"], (values.sum(2) - pair).mean(0) / 9)
    np.testing.assert_allclose(table["difference"], table["unmatched"] - table["jsd"])
    np.testing.assert_allclose(table["null_model"], table["jsd"])
    found = list(zip(table["match_layer"], table["match_head"], strict=True))
    assert found == [HEADS[place] for place in order]
    np.testing.assert_allclose(matching.of_odd_units(), pair[1::2].mean(0))
