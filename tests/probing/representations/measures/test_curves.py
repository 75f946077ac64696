"""Learning curves of probes whose accuracy is known at every size."""

from itertools import pairwise

import numpy as np
import pytest

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.linear import LinearProbe
from bertology.probing.representations.measures import learning_curve
from bertology.probing.representations.measures.curves import subset_sizes

from .classifiers import Fixed, Memory


def test_sizes_are_halves_of_all() -> None:
    assert subset_sizes(8000) == [31, 62, 125, 250, 500, 1000, 2000, 4000, 8000]
    assert subset_sizes(100) == [12, 25, 50, 100]
    assert subset_sizes(20) == [10, 20]
    with pytest.raises(BertologyError, match="19 sentences are too few for a learning curve"):
        subset_sizes(19)


def test_memory_is_right_about_the_share_it_has_seen() -> None:
    """Scored on what it learned from: accuracy is the size of the subset, exactly."""
    items, sentences = np.arange(800), np.repeat(np.arange(160), 5)
    labels = items % 3
    table = learning_curve(
        Memory(), items[:, None], np.stack([labels, labels[::-1]]), items[:, None],
        np.stack([labels, np.full(800, 7)]), sentences=sentences, units=sentences, subsets=4,
    )  # fmt: skip
    assert table["sentences"].tolist() == [10, 20, 40, 80, 160]
    assert table["items"].tolist() == [50, 100, 200, 400, 800]
    assert table["value"].tolist() == [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1]
    assert table["sd"].tolist()[:-1] == [0, 0, 0, 0] and np.isnan(table["sd"].iloc[-1])
    assert table["subsets"].tolist() == [4, 4, 4, 4, 1]
    # No control label of the evaluation can be right.
    assert (table["control"] == 0).all() and table["selectivity"].tolist() == table[
        "value"
    ].tolist()
    assert (table["n"] == 800).all() and not table["descriptive"].any()


def test_subsets_are_nested_and_their_spread_is_that_over_subsets() -> None:
    items, sentences = np.arange(400), np.repeat(np.arange(80), 5)
    seen: list[tuple[int, set[int], set[int]]] = []

    class Recording(Memory):
        def fit(self, X, y, groups=None):
            seen.append((len(X), set(X[:, 0].tolist()), set(groups.tolist())))
            return super().fit(X, y, groups)

    # The first half of the evaluation items is what a subset has seen of sentences 0 to 39.
    table = learning_curve(
        Recording(), items[:, None], items[None] % 2, items[:200, None], items[None, :200] % 2,
        sentences=sentences, units=sentences[:200], subsets=3, seed=5,
    )  # fmt: skip
    sizes = [size for size, _, _ in seen]
    assert sizes == [50] * 3 + [100] * 3 + [200] * 3 + [400]
    for subset in range(3):
        chain = [seen[subset], seen[3 + subset], seen[6 + subset], seen[9]]
        for (_, small, _), (_, large, _) in pairwise(chain):
            assert small < large
        for _, chosen, groups in chain:
            assert groups == {item // 5 for item in chosen}  # Whole sentences, as groups.
            assert len(chosen) == 5 * len(groups)
    assert seen[0][1] != seen[1][1]
    for row, start in ((0, 0), (1, 3), (2, 6)):
        shares = [len({i for i in seen[start + k][1] if i < 200}) / 200 for k in range(3)]
        assert table["value"].iloc[row] == pytest.approx(np.mean(shares))
        assert table["sd"].iloc[row] == pytest.approx(np.std(shares, ddof=1))
        assert table["sd"].iloc[row] > 0


def test_what_cannot_be_learned_stays_flat_and_what_can_rises() -> None:
    rng = np.random.default_rng(0)
    X, sentences = rng.normal(size=(1200, 40)), np.repeat(np.arange(240), 5)
    rule = (X[:, :20].sum(axis=1) > 0).astype(int)
    labels = np.stack([rule, *rng.integers(2, size=(3, 1200))])
    train, held = sentences < 120, sentences >= 120
    given = {"X_eval": X[held], "eval_label_sets": labels[:, held], "sentences": sentences[train],
             "units": sentences[held]}  # fmt: skip
    table = learning_curve(LinearProbe(Cs=(0.01,)), X[train], labels[:, train], **given)
    assert table["value"].is_monotonic_increasing
    assert table["value"].iloc[0] < 0.8 and table["value"].iloc[-1] > 0.9
    # Three draws of 600 labels: four standard errors.
    assert ((table["control"] - 0.5).abs() < 4 * 0.5 / np.sqrt(1800)).all()
    last = table.iloc[-1]
    whole = LinearProbe(Cs=(0.01,)).fit(X[train], rule[train], sentences[train])
    assert last["value"] == pytest.approx(whole.score(X[held], rule[held]), abs=0.005)
    assert last["ci_low"] < last["value"] < last["ci_high"]
    assert last["selectivity"] == pytest.approx(last["value"] - last["control"])
    assert last["selectivity_ci_low"] > 0.3 and 0 < last["control_sd"] < 0.1
    alone = learning_curve(
        Fixed((0.4, 0.6)), X[train], labels[:1, train],
        **given | {"eval_label_sets": labels[:1, held]},
    )  # fmt: skip
    assert alone["value"].to_numpy() == pytest.approx(rule[held].mean())
    assert alone["control"].isna().all() and alone["selectivity"].isna().all()


def test_few_units_are_only_described() -> None:
    items, sentences = np.arange(100), np.repeat(np.arange(20), 5)
    table = learning_curve(
        Memory(), items[:, None], items[None] % 2, items[:, None], items[None] % 2,
        sentences=sentences, units=sentences // 4,
    )  # fmt: skip
    assert table["descriptive"].all() and table["selectivity_ci_low"].isna().all()
    # Wilson's interval of 50 in 100.
    assert table[["ci_low", "ci_high"]].iloc[0].tolist() == pytest.approx([0.404, 0.596], abs=0.001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eval_label_sets": np.zeros((2, 40), int)}, r"shape \(2, 40\) were given for 40 eval"),
        ({"subsets": 0}, "subsets is 0"),
        ({"label_sets": np.zeros((1, 100), int)}, "All 100 items have the label"),
        ({"sentences": np.arange(100) // 10}, "10 sentences are too few"),
    ],
)
def test_input_without_a_curve_is_refused(change, message) -> None:
    items = np.arange(100)
    given = {"X": items[:, None], "label_sets": items[None] % 2, "X_eval": items[:40, None],
             "eval_label_sets": items[None, :40] % 2, "sentences": items // 5,
             "units": items[:40]} | change  # fmt: skip
    with pytest.raises(BertologyError, match=message):
        learning_curve(Memory(), **given)
