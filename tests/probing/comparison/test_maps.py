"""Cosines and divergences of maps against numpy and scipy on single texts."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from bertology.capture import capture
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence, words_to_sentence
from bertology.probing.comparison import maps as module
from bertology.probing.comparison.maps import (
    Rows,
    all_divergences,
    cosines,
    divergences,
    read_rows,
)
from bertology.probing.comparison.padded import padded_cosines, padded_maps


def encodings(model, texts):
    return [encode(text_to_sentence(text, id=text), model.tokenizer) for text in texts]


def all_rows(given) -> Rows:
    return Rows.of([np.arange(len(encoding)) for encoding in given], 0)


def numpy_divergence(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over rows; scipy gives the square root."""
    return float(np.mean(jensenshannon(a, b, axis=-1) ** 2))


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_measures_of_a_padded_batch_equal_numpy_on_single_texts(
    tiny_model, plain_words, family
) -> None:
    model, given = tiny_model(family), encodings(tiny_model(family), plain_words.texts)
    rows = all_rows(given)
    first = read_rows(model, given, rows, "token").maps
    second = first.flip(0)  # the heads in another order
    found = (
        cosines(first, second, rows), divergences(first, second, rows),
        all_divergences(first, second, rows),
    )  # fmt: skip
    for i, one in enumerate(capture(model, plain_words.texts)):
        a = one.attention.reshape(-1, *one.attention.shape[2:]).astype(float)
        b = a[::-1]
        for head in range(len(a)):
            x, y = a[head].ravel(), b[head].ravel()
            cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            assert found[0][i, head].item() == pytest.approx(cosine, abs=1e-5)
            expected = numpy_divergence(a[head], b[head])
            assert found[1][i, head].item() == pytest.approx(expected, abs=1e-5)
            for other in range(len(b)):
                expected = numpy_divergence(a[head], b[other])
                assert found[2][i, head, other].item() == pytest.approx(expected, abs=1e-5)


def test_known_maps() -> None:
    rows = Rows.of([np.arange(2)], 0)
    uniform, left = torch.full((1, 2, 2), 0.5), torch.tensor([[[1.0, 0], [1, 0]]])
    right = left.flip(2)
    assert cosines(uniform, uniform, rows).item() == pytest.approx(1)
    assert divergences(uniform, uniform, rows).item() == 0
    assert cosines(left, right, rows).item() == 0
    assert divergences(left, right, rows).item() == pytest.approx(np.log(2))
    assert cosines(left, uniform, rows).item() == pytest.approx(np.sqrt(0.5))


def test_word_maps_sum_columns_average_rows_and_keep_what_goes_to_no_word(demo) -> None:
    words = [["Unbelievably", "tokenization", "!"], ["The", "cats", "antidisestablished", "it"]]
    given = [encode(words_to_sentence(one, id=one[0]), demo.tokenizer) for one in words]
    assert max(len(e) - len(e.sentence) for e in given) > 4  # several tokens a word
    rows = Rows.of([np.arange(3), np.arange(4)], 0)
    found = read_rows(demo, given, rows, "word").maps
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    for i, encoding in enumerate(given):
        attention = capture(demo, encoding.sentence)[0].attention[2, 5]
        of_word = [encoding.words == word for word in range(len(encoding.sentence))]
        expected = [
            [attention[row][:, column].sum(1).mean() for column in (encoding.words < 0, *of_word)]
            for row in of_word
        ]
        own = found[2 * 12 + 5, rows.text == i, : 1 + len(of_word)]
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_rows_of_long_texts_are_drawn_alike_alone_and_in_a_batch(tiny_model, monkeypatch) -> None:
    monkeypatch.setattr(module, "ROWS", 4)
    model = tiny_model("bert")
    texts = ["w1 w2", "w7 w8 w9 w10 w11 , w12 w13"]
    given = encodings(model, texts)
    rows = all_rows(given)
    assert rows.text.tolist() == [0] * 4 + [1] * 4
    long = rows.place[4:].tolist()
    assert len(set(long)) == 4 and long == sorted(long) and max(long) < 10
    together, alone = read_rows(model, given, rows, "token").maps, all_rows(given[1:])
    assert alone.place.tolist() == long
    single = read_rows(model, given[1:], alone, "token").maps
    np.testing.assert_allclose(together[:, 4:], single, atol=1e-5)
    full = capture(model, texts[1])[0].attention.reshape(-1, 10, 10)
    np.testing.assert_allclose(single, full[:, long], atol=1e-5)


def test_padded_cosine_counts_the_rows_of_padding_as_the_model_computes_them(tiny_model) -> None:
    """Against what transformers returns for a text padded by its tokenizer."""
    model = tiny_model("bert")
    text, other = "w1 w2 w3 . w4", "w9 w8 w3 . w4"
    expected = []
    model.module.set_attn_implementation("eager")
    for one in (text, other):
        inputs = model.tokenizer(
            one, padding="max_length", max_length=20, return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            output = model.module(**inputs, output_attentions=True)
        expected.append(torch.cat([layer[0] for layer in output.attentions]))
    model.module.set_attn_implementation("sdpa")
    found = [padded_maps(model, encoding, 20) for encoding in encodings(model, [text, other])]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    flat = [one.flatten(1).double() for one in expected]
    reference = torch.nn.functional.cosine_similarity(*flat, dim=1)
    np.testing.assert_allclose(padded_cosines(*found), reference, atol=1e-5)
    # Padding changes the number: 13 of 20 rows are of padding here.
    given = encodings(model, [text, other])
    a, b = (read_rows(model, [one], all_rows([one]), "token").maps for one in given)
    cropped = cosines(a, b, all_rows(given[:1]))[0]
    assert (cropped - reference).abs().max() > 0.05
