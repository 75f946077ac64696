"""What a model costs and how good it is, before and after."""

import numpy as np
import pytest
import torch

from bertology.ablation.structural import compare, cost, kept_count, latency, least_important, prune
from bertology.errors import CaptureError, ModelError


class Clock:
    """A clock that only moves when a model computes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def timed(any_tiny, monkeypatch):
    """Two models that take 4 and 1 seconds a pass, the turns by a common factor longer or not."""
    clock = Clock()
    monkeypatch.setattr(cost.time, "perf_counter", clock)
    before = any_tiny("bert", "classification")
    after = prune(before, [(0, 1)])
    factors = np.random.default_rng(0).uniform(1, 10, 1000)
    passes = {id(before.module): 0, id(after.module): 0}

    def slow(model, seconds):
        def forward(**inputs):
            number = passes[id(model.module)]
            passes[id(model.module)] += 1
            clock.now += seconds * factors[number] * len(inputs["input_ids"])

        model.module.forward = forward

    slow(before, 4.0)
    slow(after, 1.0)
    yield before, after
    del before.module.forward


def test_ratio_is_paired_within_turns(timed):
    table = latency(*timed, batch_sizes=(1, 3), lengths=(5, 10), repeats=9)
    assert list(table.columns)[:7] == [
        "batch_size", "length", "before_seconds", "after_seconds", "ratio", "ratio_low",
        "ratio_high",
    ]  # fmt: skip
    assert len(table) == 4
    # What else the machine does varies tenfold, and leaves the ratio as it is.
    np.testing.assert_allclose(table[["ratio", "ratio_low", "ratio_high"]], 0.25)
    assert (table["before_seconds"] > table["after_seconds"]).all()


def test_interval_of_a_median_that_varies():
    values = np.arange(1, 102) / 100
    low, high = cost._interval_of_median(values, 0)
    # Exact (binomial) 95 % limits of the median of 101 values: the 41st and the 61st.
    assert abs(low - 0.41) < 0.02 and abs(high - 0.61) < 0.02


def test_sizes_at_which_nothing_can_be_timed(any_tiny):
    model = any_tiny("bert")
    with pytest.raises(ModelError, match="reads at most 40 tokens"):
        latency(model, model, lengths=(41,))
    with pytest.raises(ModelError, match="at least 5 repeats"):
        latency(model, model, lengths=(8,), repeats=4)


def test_quality_and_size(any_tiny, random_examples):
    model = any_tiny("bert", "classification")
    pruned = prune(model, [(0, 1), (1, 0), (1, 2), (1, 3), (2, 3)])
    examples = random_examples(40, model.labels)
    found = compare(model, pruned, examples, batch_sizes=(1,), lengths=(6,), repeats=5)
    table = found.table.set_index("metric")
    assert list(found.table.columns)[:7] == [
        "metric", "before", "after", "delta", "ci_low", "ci_high", "n"
    ]  # fmt: skip
    right, losses = [], []
    for each in (model, pruned):
        logits = torch.stack([
            each.module(**each.tokenizer(e.sentence.text, return_tensors="pt")).logits[0]
            for e in examples.examples
        ]).detach()  # fmt: skip
        wanted = torch.tensor([model.labels.index(e.label) for e in examples.examples])
        right.append((logits.argmax(-1) == wanted).double().mean().item())
        losses.append(torch.nn.functional.cross_entropy(logits, wanted).item())
    assert table.loc["accuracy", ["before", "after"]].tolist() == pytest.approx(right)
    assert table.loc["loss", ["before", "after"]].tolist() == pytest.approx(losses, rel=1e-5)
    assert table.loc["loss", "delta"] == pytest.approx(losses[1] - losses[0], abs=1e-5)
    assert table.loc["loss", "ci_low"] <= table.loc["loss", "delta"] <= table.loc["loss", "ci_high"]
    assert table.loc["loss", "n"] == 40
    # Five heads of 3 x (8 x 32 + 8) + 32 x 8 numbers, of 4 bytes each.
    assert table.loc["parameters", "delta"] == -5 * (3 * (8 * 32 + 8) + 32 * 8)
    assert table.loc["heads"].tolist()[:3] == [12, 7, -5]
    assert table.loc["file_bytes", "delta"] == pytest.approx(
        4 * table.loc["parameters", "delta"], rel=0.02
    )
    assert found.provenance.options["removed"] == pruned.config.bertology_pruning


def test_a_model_compared_with_itself(any_tiny, random_examples):
    model = any_tiny("gpt2", "causal-lm")
    found = compare(model, model, random_examples(12), batch_sizes=(1,), lengths=(6,), repeats=5)
    assert found.table["metric"].tolist() == ["loss", "heads", "parameters", "file_bytes"]
    assert (found.table["delta"] == 0).all()


def table_of(importances):
    import pandas as pd

    layers, heads = np.indices(np.shape(importances))
    return pd.DataFrame({"layer": layers.ravel(), "head": heads.ravel(),
                         "importance": np.ravel(importances)})  # fmt: skip


def test_the_least_important_go_and_each_layer_keeps_its_best():
    table = table_of([[9, 8, 7, 6], [5, 4, 3, 2], [0.2, 0.1, 0.4, 0.3]])
    assert least_important(table, 0.5) == [(1, 1), (1, 2), (1, 3), (2, 0), (2, 1), (2, 3)]
    assert least_important(table, 3) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (2, 0),
                                         (2, 1), (2, 3)]  # fmt: skip
    assert least_important(table, 12) == []
    for keep in (2, 0, 13, 0.1):
        with pytest.raises(CaptureError, match="heads would be kept"):
            least_important(table, keep)
    assert kept_count(0.5, 72, 6) == 36 and kept_count(36, 72, 6) == 36
