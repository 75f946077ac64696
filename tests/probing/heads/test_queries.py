"""Attention by the kind of row that pays it, against whole maps and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import entr

import bertology.probing.heads.collecting as collecting
from bertology.capture import capture
from bertology.capture.shards import Member, Shards, write_shard
from bertology.corpora import Corpus, Sentence
from bertology.corpora.text import text_to_sentence
from bertology.probing.heads import STATISTICS, HeadScan, scan_heads
from bertology.probing.heads.by_query import by_query_table
from bertology.probing.heads.queries import BY_QUERY, QUERIES
from bertology.stats import bootstrap_ratio

PAIRS = [
    ("w1 w2 w3 . w4", "w5 w6 , w7"),
    ("w5 w6", None),
    ("w7 w8 ! w9 w10 w11 w12 w13", "w1"),
    ("w3 .", "w20 w21 w22 w23 ,"),
]


def texts() -> list[Sentence]:
    found = []
    for first, second in PAIRS:
        pair = None if second is None else text_to_sentence(second, id="second")
        found.append(replace(text_to_sentence(first, id=first), pair=pair))
    return found


def corpus() -> Corpus:
    return Corpus("pairs", tuple(texts()), "0")


def expected(attention: np.ndarray, encoding) -> np.ndarray:
    """(…, kind, statistic) from whole maps (…, query, key)."""
    columns = encoding.cls, encoding.sep, encoding.punctuation
    by_row = np.stack([entr(attention).sum(-1), *(attention[..., c].sum(-1) for c in columns)], -1)
    kinds = encoding.cls, encoding.sep, ~(encoding.cls | encoding.sep)
    nothing = np.full((*by_row.shape[:-2], by_row.shape[-1]), np.nan)
    return np.stack([by_row[..., k, :].mean(-2) if k.any() else nothing for k in kinds], -2)


@pytest.mark.parametrize("block", [None, 150])
@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_rows_of_each_kind_equal_whole_maps(tiny_model, monkeypatch, family, block) -> None:
    if block is not None:
        monkeypatch.setattr(collecting, "block_size", lambda device: block)
    model = tiny_model(family)
    causal = family in ("gpt2", "llama")
    scan = scan_heads(model, corpus())
    found = scan.shards.gather("by_query")
    even = scan.shards.gather("by_query_baselines")
    assert found.shape == (len(PAIRS), 3, 4, len(QUERIES), len(BY_QUERY))
    for i, one in enumerate(capture(model, texts())):
        n = len(one.encoding)
        np.testing.assert_allclose(
            found[i], expected(one.attention.astype(float), one.encoding), atol=1e-5
        )
        visible = np.tril(np.ones((n, n))) if causal else np.ones((n, n))
        spread = expected(visible / visible.sum(1, keepdims=True), one.encoding)
        np.testing.assert_allclose(even[i], np.broadcast_to(spread, even[i].shape), atol=1e-5)
    # Without specials only other rows are there.
    assert np.isnan(found[..., :2, :]).all() == causal
    assert not np.isnan(found[..., 2, :]).any()


def test_uniform_attention(tiny_model) -> None:
    model = tiny_model("bert")
    before = by_query_table(scan_heads(model, corpus()))
    for name, parameter in model.module.named_parameters():
        if ".query." in name:
            parameter.data.zero_()
    scan = scan_heads(model, corpus())
    lengths = np.array([len(one.encoding) for one in capture(model, texts())])
    kinds = scan.shards.gather("by_query")
    for kind in range(len(QUERIES)):
        entropy = np.broadcast_to(np.log(lengths)[:, None, None], kinds.shape[:3])
        np.testing.assert_allclose(kinds[..., kind, 0], entropy, rtol=1e-5)
    seps = np.array([1 if second is None else 2 for _, second in PAIRS])
    expected_sep = (seps / lengths)[:, None, None, None]
    np.testing.assert_allclose(kinds[..., 2] - expected_sep, 0, atol=1e-6)
    table = by_query_table(scan)
    cls_rows = table[(table["query"] == "cls") & (table["statistic"] == "entropy")]
    np.testing.assert_allclose(cls_rows["mean"], np.log(lengths).mean(), rtol=1e-5)
    np.testing.assert_allclose(table["difference"], 0, atol=1e-6)
    # The same model with its own queries is far from even.
    assert (before["difference"].abs() > 0.05).mean() > 0.5
    np.testing.assert_allclose(before["baseline"], table["baseline"], atol=1e-6)


def test_smoothing_changes_entropy_by_less_than_two_thousandths() -> None:
    generator = np.random.default_rng(0)
    gaps = []
    for n in (2, 16, 128):
        rows = np.concatenate([np.eye(n), generator.dirichlet(np.full(n, 0.1), 50)])
        smooth = 0.9999 * rows + 0.0001 / n
        gaps.append(np.abs(entr(smooth).sum(-1) - entr(rows).sum(-1)).max())
    assert 0.001 < max(gaps) < 0.002


def kept_scan(folder, units: np.ndarray, by_query: np.ndarray, even: np.ndarray) -> HeadScan:
    """A scan of two shards that holds given numbers."""
    sentences = [text_to_sentence("a", id=str(i)) for i in range(len(units))]
    folder.mkdir()
    order = np.random.default_rng(1).permutation(len(units))
    members = order[:7], order[7:]
    baselines = torch.ones(len(units), by_query.shape[1], len(STATISTICS) + 1)
    for number, shard in enumerate(members):
        records = [
            {
                "by_query": torch.from_numpy(by_query[i : i + 1]),
                "by_query_baselines": torch.from_numpy(even[i : i + 1]),
                "baselines": baselines[i : i + 1],
            }
            for i in shard
        ]
        write_shard(folder, number, [Member(int(i), str(i), 1) for i in shard], records)
    return HeadScan(sentences, units, Shards(folder, members), [])


def test_table_averages_sentences_that_have_the_rows(tmp_path) -> None:
    generator = np.random.default_rng(0)
    by_query = generator.random((40, 2, 3, len(QUERIES), len(BY_QUERY)), np.float32)
    even = generator.random((40, 2, len(QUERIES), len(BY_QUERY)), np.float32)
    without_cls = np.arange(40) % 4 == 3
    by_query[without_cls, :, :, 0] = even[without_cls, :, 0] = np.nan
    by_query[..., 1, :] = even[..., 1, :] = np.nan
    units = np.repeat(np.arange(20), 2)
    table = by_query_table(kept_scan(tmp_path / "scan", units, by_query, even), seed=5)
    assert list(table.columns) == [
        "layer", "head", "query", "statistic", "mean", "ci_low", "ci_high", "n", "baseline",
        "difference", "difference_low", "difference_high", "descriptive",
    ]  # fmt: skip
    # No sentence has a [SEP] row.
    assert len(table) == 2 * 3 * 2 * 4 and set(table["query"]) == {"cls", "other"}
    exact, chances = by_query.astype(float), even.astype(float)
    for row in table.itertuples():
        kind, column = QUERIES.index(row.query), BY_QUERY.index(row.statistic)
        values = exact[:, row.layer, row.head, kind, column]
        chance = chances[:, row.layer, kind, column]
        assert row.mean == pytest.approx(np.nanmean(values))
        assert row.baseline == pytest.approx(np.nanmean(chance))
        assert row.difference == pytest.approx(np.nanmean(values - chance))
        assert row.n == (30 if row.query == "cls" else 40) and not row.descriptive
    cell = table.query("layer == 1 and head == 2 and query == 'cls' and statistic == 'sep'").iloc[0]
    sums = np.nan_to_num(by_query[:, 1, 2, 0, 2]).reshape(20, 2).sum(1)
    counts = (~without_cls).reshape(20, 2).sum(1).astype(float)
    _, low, high = bootstrap_ratio(sums.astype(float), counts, seed=5)
    assert (cell["ci_low"], cell["ci_high"]) == (pytest.approx(low), pytest.approx(high))


def test_few_sentences_with_a_kind_are_descriptive(tmp_path) -> None:
    generator = np.random.default_rng(0)
    by_query = generator.random((40, 1, 1, len(QUERIES), len(BY_QUERY)), np.float32)
    even = generator.random((40, 1, len(QUERIES), len(BY_QUERY)), np.float32)
    by_query[9:, :, :, 0] = even[9:, :, 0] = np.nan
    table = by_query_table(kept_scan(tmp_path / "scan", np.arange(40), by_query, even))
    assert table.groupby("query")["descriptive"].all().to_dict() == {
        "cls": True, "other": False, "sep": False,
    }  # fmt: skip


def test_what_the_tokenizer_lacks_has_no_row(tiny_model) -> None:
    table = by_query_table(scan_heads(tiny_model("gpt2"), corpus()))
    assert set(table["query"]) == {"other"}
    assert set(table["statistic"]) == {"entropy", "punctuation"}
    both = by_query_table(scan_heads(tiny_model("bert"), corpus()))
    assert set(both["query"]) == set(QUERIES) and set(both["statistic"]) == set(BY_QUERY)
