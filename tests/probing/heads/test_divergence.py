"""Divergences of heads against closed forms and scipy, over whole maps, blocks and batches."""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from bertology.capture import Hook, capture, collate, hooked
from bertology.corpora import Corpus, encode
from bertology.corpora.text import text_to_sentence
from bertology.probing.heads import divergence, scan_heads
from bertology.probing.heads.divergence import SMOOTHING, Divergences, divergence_sums
from bertology.probing.heads.options import ScanOptions

TEXTS = ["w1 w2 w3 . w4 w5 w6 , w7 w8", "w5 w6", "w7 w8 w9 !"]


def of_rows(*heads: list[float], smoothing: float = 0.0) -> list[float]:
    """Divergences of all pairs of heads on one row."""
    maps = torch.tensor(heads)[:, None]
    mask = torch.ones(1, maps.shape[-1], dtype=torch.bool)
    return divergence_sums([maps], mask, torch.zeros(1).long(), smoothing=smoothing)[0].tolist()


def collected(model, texts: list[str], block: int = 1 << 20, seed: int = 0) -> list[np.ndarray]:
    encodings = [encode(text_to_sentence(text, id=text), model.tokenizer) for text in texts]
    batch = collate(encodings, model)
    found = Divergences(encodings, batch.mask, seed)
    with torch.no_grad(), hooked(model.module, Hook(observe=found.observe, block=block)) as sites:
        model.module(**batch.inputs)
    return [record["divergence"][0].numpy() for record in found.records(sites)]


def by_scipy(model, text: str) -> np.ndarray:
    """(row, pair), from captured maps, with the smoothing of Clark et al."""
    maps = capture(model, text_to_sentence(text, id="s"))[0].attention.astype(np.float64)
    n = maps.shape[-1]
    maps = (1 - SMOOTHING) * maps.reshape(-1, n, n) + SMOOTHING / n
    # scipy returns the square root.
    pairs = [jensenshannon(a, b, axis=1) ** 2 for a, b in combinations(maps, 2)]
    return np.stack(pairs, axis=1)


def test_closed_forms() -> None:
    assert of_rows([0.5, 0.5], [0.9, 0.1])[0] == pytest.approx(0.10175, abs=5e-6)
    assert of_rows([1.0, 0.0, 0.0], [0.0, 0.5, 0.5])[0] == pytest.approx(np.log(2), abs=1e-6)
    alike = [0.2, 0.7, 0.1, 0.0]
    assert of_rows(alike, alike, [0.1, 0.8, 0.1, 0.0])[0] == 0


def test_smoothing() -> None:
    # Smoothed, a weight of 1 on one of two keys is 1 − s/2 on it and s/2 on the other; the
    # middle of the two maps is even.
    p = np.array([1 - SMOOTHING / 2, SMOOTHING / 2])
    expected = np.log(2) + (p * np.log(p)).sum()
    found = of_rows([1.0, 0.0], [0.0, 1.0], smoothing=SMOOTHING)[0]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found < np.log(2) - 0.003


def test_order_of_pairs() -> None:
    found = of_rows([1.0, 0.0], [1.0, 0.0], [0.0, 1.0])
    assert found == pytest.approx([0, np.log(2), np.log(2)], abs=1e-6)


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("block", [1 << 20, 150, 1])
def test_scipy_agrees(family: str, block: int, tiny_model) -> None:
    model = tiny_model(family)
    for text, found in zip(TEXTS, collected(model, TEXTS, block), strict=True):
        expected = by_scipy(model, text).sum(0)
        assert expected.max() > 0.1
        assert np.abs(found - expected).max() < 2e-5


def test_small_chunks_add_up(monkeypatch, tiny_model) -> None:
    model = tiny_model("gpt2")
    whole = collected(model, TEXTS)
    for chunk in (1, 400):
        monkeypatch.setattr(divergence, "_BLOCK", chunk)
        for found, expected in zip(collected(model, TEXTS), whole, strict=True):
            assert np.abs(found - expected).max() < 2e-5


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_equals_single_texts(side: str, tiny_model) -> None:
    model = tiny_model("bert")
    model.tokenizer.padding_side = side
    for text, found in zip(TEXTS, collected(model, TEXTS), strict=True):
        assert np.abs(found - collected(model, [text])[0]).max() < 2e-5


def test_sliding_windows(tokenizer_of) -> None:
    import transformers

    from bertology.models import LoadedModel

    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=48, max_position_embeddings=40, sliding_window=4,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    module = transformers.MistralModel(config)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    module.config.pad_token_id = 0
    model = LoadedModel("tiny mistral", module.eval(), tokenizer_of("$A"), "encoder")
    for block in (1 << 20, 100):
        for text, found in zip(TEXTS, collected(model, TEXTS, block), strict=True):
            assert np.abs(found - by_scipy(model, text).sum(0)).max() < 2e-5


def test_rows_of_long_texts_are_drawn(monkeypatch, tiny_model) -> None:
    model = tiny_model("bert")
    text = TEXTS[0]
    rows = by_scipy(model, text)
    n = len(rows)
    monkeypatch.setattr(divergence, "WEIGHTS", 5 * n)
    # Five of n rows: one of the possible draws, scaled up to all rows.
    found = collected(model, [text])[0]
    draws = np.array(list(combinations(range(n), 5)))
    sums = rows[draws].sum(1) * n / 5
    assert np.abs(sums - found).max(1).min() < 2e-5
    assert np.abs(rows.sum(0) - found).max() > 0.01
    # The neighbours in the batch change nothing; the seed does, and draws average to the truth.
    assert np.abs(collected(model, TEXTS)[0] - found).max() < 2e-5
    seeds = np.array([collected(model, [text], seed=seed)[0] for seed in range(60)])
    assert np.ptp(seeds, axis=0).max() > 0.01
    error = seeds.std(0, ddof=1) / np.sqrt(len(seeds))
    assert (np.abs(seeds.mean(0) - rows.sum(0)) < 4.5 * error).all()


def test_texts_of_one_length_draw_their_own_rows(monkeypatch, tiny_model) -> None:
    monkeypatch.setattr(divergence, "WEIGHTS", 5 * 12)
    model = tiny_model("bert")
    texts = [TEXTS[0], TEXTS[0].replace("w1", "w9"), TEXTS[0]]
    encodings = [encode(text_to_sentence(text, id="s"), model.tokenizer) for text in texts]
    rows = Divergences(encodings, collate(encodings, model).mask, 0).row.view(3, 5).tolist()
    assert rows[0] == rows[2] != rows[1]
    assert all(sorted(set(own)) == own for own in rows)


def test_scan_keeps_divergences(tiny_model) -> None:
    model = tiny_model("bert")
    sentences = tuple(text_to_sentence(text, id=text) for text in TEXTS)
    scan = scan_heads(
        model, Corpus("texts", sentences, "0"), options=ScanOptions(parts=("divergence",))
    )
    found = scan.shards.gather("divergence")
    assert found.shape == (3, 12 * 11 // 2)
    for text, own in zip(TEXTS, found, strict=True):
        assert np.abs(own - by_scipy(model, text).sum(0)).max() < 2e-5
    assert scan.shards.gather("divergence_rows").tolist() == [12, 4, 6]
