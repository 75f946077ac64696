"""Statistics of attention against closed forms and a plain numpy computation."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import entr

from bertology.capture import capture
from bertology.corpora import Corpus
from bertology.corpora.text import text_to_sentence
from bertology.probing.heads import (
    STATISTICS,
    TokenFeatures,
    head_roles,
    reduce_attention,
    scan_heads,
    statistics_table,
)
from bertology.probing.heads.hits import sums_by_unit
from bertology.probing.heads.rows import OTHER

NAMES = (*STATISTICS, OTHER)


def reduced(attention: torch.Tensor, visible: torch.Tensor | None = None) -> dict[str, float]:
    """Means over rows of one head on tokens [CLS] a . b [SEP] (punctuation at 2)."""
    n = attention.shape[-1]
    columns = torch.zeros(1, n, 4)
    columns[0, 0, 0] = columns[0, 0, 1] = columns[0, n - 1, 2] = columns[0, 2, 3] = 1
    features = TokenFeatures(torch.ones(1, n), columns)
    visible = torch.ones(1, 1, n, n, dtype=torch.bool) if visible is None else visible
    values = reduce_attention(attention.view(1, 1, n, n), visible, features)[0, 0] / n
    return dict(zip(NAMES, values[: len(NAMES)].tolist(), strict=True))


def test_uniform_attention() -> None:
    n = 5
    found = reduced(torch.full((n, n), 1 / n))
    assert found["entropy"] == pytest.approx(np.log(n))
    assert found["entropy_normalised"] == pytest.approx(1)
    assert found["max"] == found["self"] == pytest.approx(1 / n)
    assert found["next"] == found["previous"] == pytest.approx((n - 1) / n / n)
    assert found["first"] == found["cls"] == found["sep"] == pytest.approx(1 / n)
    assert found["distance"] == pytest.approx((n**2 - 1) / (3 * n))
    # Named or neighbouring keys leave: row 0 sees 3; row 1 sees 3; row 4 sees 1 and 3; of 25.
    unnamed = sum(1 for i in range(n) for j in (1, 3) if abs(i - j) > 1)
    assert found[OTHER] == pytest.approx(unnamed / 25)


def test_exact_next_token_attention() -> None:
    n = 5
    attention = torch.diag(torch.ones(n - 1), 1)
    attention[-1, -1] = 1
    found = reduced(attention)
    assert found["next"] == pytest.approx((n - 1) / n)
    assert found["previous"] == 0
    assert found["entropy"] == 0 and found["max"] == 1
    assert found["distance"] == pytest.approx((n - 1) / n)


def test_causal_rows_are_normalised_by_what_they_see() -> None:
    n = 4
    visible = torch.tril(torch.ones(n, n)).bool()
    attention = visible / visible.sum(-1, keepdim=True)
    found = reduced(attention, visible.view(1, 1, n, n))
    # The first row sees one key and counts 0; the other rows are as even as possible.
    assert found["entropy_normalised"] == pytest.approx(3 / 4)
    assert found["entropy"] == pytest.approx(np.log([1, 2, 3, 4]).mean())


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_scan_equals_numpy_on_single_sentences(tiny_model, plain_words, family) -> None:
    model = tiny_model(family)
    sentences = [text_to_sentence(t, id=t) for t in plain_words.texts]
    scan = scan_heads(model, Corpus("test", tuple(sentences), ""))
    for i, (sentence, one) in enumerate(zip(sentences, capture(model, sentences), strict=True)):
        a, encoding = one.attention.astype(float), one.encoding
        n = len(encoding)
        places = np.arange(n)
        seen = np.full(n, n) if family == "bert" else places + 1
        entropy = entr(a).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            normalised = np.where(seen > 1, entropy / np.log(seen), 0)
        expected = {
            "entropy": entropy.mean(-1),
            "entropy_normalised": normalised.mean(-1),
            "max": a.max(-1).mean(-1),
            "previous": a[..., places[1:], places[:-1]].sum(-1) / n,
            "self": a[..., places, places].mean(-1),
            "next": a[..., places[:-1], places[1:]].sum(-1) / n,
            "first": a[..., 0].mean(-1),
            "distance": (a * np.abs(places[:, None] - places)).sum(-1).mean(-1),
            "cls": a[..., encoding.cls].sum(-1).mean(-1),
            "sep": a[..., encoding.sep].sum(-1).mean(-1),
            "punctuation": a[..., encoding.punctuation].sum(-1).mean(-1),
        }
        for k, name in enumerate(STATISTICS):
            np.testing.assert_allclose(
                scan.statistics[i, ..., k], expected[name], atol=1e-5, err_msg=name
            )
        even = 1 / seen
        np.testing.assert_allclose(scan.baselines[i, 0, 0], np.log(seen).mean(), atol=1e-5)
        np.testing.assert_allclose(scan.baselines[i, 0, 2], even.mean(), atol=1e-6)
        assert scan.sentences[i] is sentence
    assert ("cls" in scan.present) is (family == "bert")
    assert ("sep" in scan.present) is (family == "bert")


def test_table_means_and_paired_difference() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(40, 2, 3, len(NAMES)))
    baselines = generator.normal(size=(40, 2, len(NAMES)))
    units = np.repeat(np.arange(20), 2)
    layers = [(sums_by_unit(values[:, k], units, 20), sums_by_unit(baselines[:, k], units, 20))
              for k in range(2)]  # fmt: skip
    table = statistics_table(layers, np.bincount(units), ("entropy", "max"), seed=0)
    assert list(table.columns)[:8] == [
        "layer", "head", "statistic", "mean", "ci_low", "ci_high", "n", "baseline",
    ]  # fmt: skip
    assert len(table) == 2 * 3 * 2
    row = table[(table.layer == 1) & (table["head"] == 2) & (table.statistic == "max")].iloc[0]
    assert row["mean"] == pytest.approx(values[:, 1, 2, 2].mean())
    assert row["baseline"] == pytest.approx(baselines[:, 1, 2].mean())
    assert row["difference"] == pytest.approx(row["mean"] - row["baseline"])
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert (row["n"], row["descriptive"]) == (40, False)


def test_roles() -> None:
    shares = {
        (0, 0): {
            "previous": 0.9,
            "cls": 0.05,
            "first": 0.05,
            OTHER: 0.0,
            "entropy_normalised": 0.1,
        },
        (0, 1): {"previous": 0.1, "cls": 0.5, "first": 0.5, OTHER: 0.3, "entropy_normalised": 0.4},
        (1, 0): {"previous": 0.1, "cls": 0.1, "first": 0.1, OTHER: 0.6, "entropy_normalised": 0.95},
        (1, 1): {"previous": 0.1, "cls": 0.1, "first": 0.1, OTHER: 0.6, "entropy_normalised": 0.5},
    }
    means = pd.DataFrame(
        [
            {"layer": layer, "head": head, "statistic": name, "mean": value}
            for (layer, head), values in shares.items()
            for name, value in values.items()
        ]
    )
    roles = head_roles(means)
    assert roles["looks_at"].tolist() == ["previous", "cls", "broad", OTHER]
    assert roles["share"].tolist() == [0.9, 0.5, 0.6, 0.6]


def test_demo_has_a_previous_token_head(demo, sample) -> None:
    scan = scan_heads(demo, sample.first(30))
    previous = scan.statistics[..., STATISTICS.index("previous")].mean(0)
    assert np.unravel_index(previous.argmax(), previous.shape) == (0, 2)
    assert previous[0, 2] > 0.9
