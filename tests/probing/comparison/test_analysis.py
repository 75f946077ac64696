"""Two models compared: known answers on models that differ in a known way."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bertology import BertologyError
from bertology.capture import capture
from bertology.corpora import read_conllu
from bertology.corpora.text import text_to_sentence
from bertology.errors import CorpusError
from bertology.models import load_model
from bertology.probing.comparison import Comparison, compare_models, linear_cka, passes
from bertology.probing.comparison.reading import read_together

from .changed import (
    random_texts,
    with_even_attention,
    with_first_blocks,
    with_noise,
    with_permuted_heads,
)

#: Head h of the permuted model is head ORDER[h] of the other.
ORDER = [2, 0, 3, 1]


def rows_of(table: pd.DataFrame, **cells: Any) -> pd.DataFrame:
    for column, value in cells.items():
        table = table[table[column] == value]
    return table


@pytest.fixture(scope="module")
def found(tiny_model) -> SimpleNamespace:
    """The same model twice, and with its heads permuted."""
    model, corpus = tiny_model("bert"), random_texts(40)
    permuted = with_permuted_heads(model, ORDER)
    return SimpleNamespace(
        model=model, corpus=corpus, same=compare_models(model, model, corpus, tokens=100),
        permuted=compare_models(model, permuted, corpus),
    )  # fmt: skip


def test_a_model_is_itself(found) -> None:
    result = found.same
    for table in (result.table, result.layers):
        cosine, jsd = rows_of(table, measure="cosine"), rows_of(table, measure="jsd")
        np.testing.assert_allclose(cosine[["mean", "ci_low", "ci_high"]], 1, atol=1e-6)
        np.testing.assert_allclose(jsd[["mean", "ci_low", "ci_high"]], 0, atol=1e-7)
        # Other sentences give less, so the equality is of the sentence.
        assert (cosine["null"] < 0.95).all() and (cosine["difference_low"] > 0.05).all()
        assert (jsd["null"] > 0.02).all() and (jsd["difference_high"] < -0.02).all()
        assert (table["n"] == 40).all() and (table["n_null"] == 40).all()
    assert len(result.table) == 2 * 12 and len(result.layers) == 2 * 3
    states = result.representations
    own = states[states["layer"] == states["other_layer"]]
    np.testing.assert_allclose(own[["value", "ci_low", "ci_high"]], 1, atol=1e-5)
    others = states[states["layer"] != states["other_layer"]]
    assert (others["value"] < 0.99).all()
    assert (rows_of(own, measure="rsa")["p_adjusted"] == 0.001).all()
    assert states["null"].abs().max() < 0.15
    assert result.provenance.options["null_model"] == "none was given"
    assert result.table["null_model"].isna().all()


def test_even_attention_is_alike_and_the_null_shows_it(tiny_model) -> None:
    even = with_even_attention(tiny_model("bert"))
    table = compare_models(even, even, random_texts(20), tokens=40).table
    cosine = rows_of(table, measure="cosine")
    np.testing.assert_allclose(cosine[["mean", "null"]], 1, atol=1e-6)
    np.testing.assert_allclose(cosine["difference"], 0, atol=1e-6)


def test_permuted_heads_are_found_again(found) -> None:
    matching = found.permuted.matching
    assert (matching["match_layer"] == matching["layer"]).all()
    assert [ORDER[head] for head in matching["match_head"]] == matching["head"].tolist()
    np.testing.assert_allclose(matching[["jsd", "ci_low", "ci_high"]], 0, atol=1e-6)
    assert matching["same_match"].all() and not matching["same_number"].any()
    assert (matching["difference_low"] > 0.05).all()
    # Heads of one number differ, while hidden states are the same but for rounding.
    assert (rows_of(found.permuted.table, measure="cosine")["mean"] < 0.95).all()
    states = found.permuted.representations
    own = states[states["layer"] == states["other_layer"]]
    np.testing.assert_allclose(own["value"], 1, atol=1e-4)
    identity = found.same.matching
    assert identity["same_number"].all() and not identity["descriptive"].any()


def test_what_is_kept_equals_numpy_on_single_texts(found) -> None:
    """The tables of a pass in batches, against each text captured alone."""
    second = with_permuted_heads(found.model, ORDER)
    maps = [
        [one.attention.reshape(12, -1).astype(float) for one in capture(model, sentences)]
        for model in (found.model, second)
        for sentences in [list(found.corpus.sentences)]
    ]
    cosines = np.array(
        [(a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
         for a, b in zip(*maps, strict=True)]
    )  # fmt: skip
    table = rows_of(found.permuted.table, measure="cosine")
    np.testing.assert_allclose(table["mean"], cosines.mean(0), atol=1e-5)
    reading = read_together([found.model, second], found.corpus, "token")
    null = np.array(
        [(a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
         for a, b in ((maps[0][i], maps[1][partner]) for i, partner in enumerate(reading.partners))]
    )  # fmt: skip
    np.testing.assert_allclose(table["null"], null.mean(0), atol=1e-5)
    np.testing.assert_allclose(table["difference"], (cosines - null).mean(0), atol=1e-5)
    layers = rows_of(found.permuted.layers, measure="cosine")
    np.testing.assert_allclose(layers["mean"], cosines.mean(0).reshape(3, 4).mean(1), atol=1e-5)
    # All tokens of words are drawn here: 10 x 32 are more than there are.
    states = [
        np.concatenate([one.hidden_states[:, 1:-1] for one in captured], axis=1)
        for captured in (capture(m, list(found.corpus.sentences), ("hidden_states",))
                         for m in (found.model, second))
    ]  # fmt: skip
    cka = rows_of(found.permuted.representations, measure="cka")
    assert (cka["n"] == states[0].shape[1]).all() and cka["descriptive"].all()
    expected = [linear_cka(a, b) for a, b in product(*states)]
    np.testing.assert_allclose(cka["value"], expected, atol=1e-5)


def test_a_second_model_that_reads_padding_meets_one_text_at_a_time(found, monkeypatch) -> None:
    monkeypatch.setattr(passes, "ignores_padding", lambda module: False)
    sizes = []
    read = passes.read_rows

    def counted(model, encodings, rows, maps):
        sizes.append(len(encodings))
        return read(model, encodings, rows, maps)

    monkeypatch.setattr(passes, "read_rows", counted)
    second = with_permuted_heads(found.model, ORDER)
    result = compare_models(found.model, second, found.corpus, tokens=40)
    assert set(sizes) == {1}
    pd.testing.assert_frame_equal(result.matching, found.permuted.matching, atol=1e-5)
    pd.testing.assert_frame_equal(result.table, found.permuted.table, atol=1e-5)


def test_the_changed_layer_is_the_one_that_moved(tiny_model) -> None:
    model = tiny_model("bert")
    changed = with_noise(model, 0.2, from_layer=2)
    result = compare_models(model, changed, random_texts(20))
    cosine = rows_of(result.layers, measure="cosine").set_index("layer")["mean"]
    assert cosine[0] == pytest.approx(1) and cosine[1] == pytest.approx(1) and cosine[2] < 0.97
    states = rows_of(result.representations, measure="cka")
    own = states[states["layer"] == states["other_layer"]]["value"].to_numpy()
    np.testing.assert_allclose(own[:3], 1, atol=1e-5)
    assert own[3] < 0.97


def test_a_null_model_stands_beside_every_number(tiny_model) -> None:
    model, corpus = tiny_model("bert"), random_texts(20)
    second, seed = with_noise(model, 0.05), with_noise(model, 0.4)
    result = compare_models(model, second, corpus, null_model=seed, tokens=60)
    alone = compare_models(model, seed, corpus, tokens=60)
    for name, value in (("table", "mean"), ("layers", "mean"), ("matching", "jsd"),
                        ("representations", "value")):  # fmt: skip
        ours, theirs = getattr(result, name), getattr(alone, name)
        np.testing.assert_allclose(ours["null_model"], theirs[value], atol=1e-6)
    table = result.table
    np.testing.assert_allclose(
        table["null_model_difference"], table["mean"] - table["null_model"], atol=1e-6
    )
    nearer = rows_of(result.layers, measure="jsd")
    assert (nearer["null_model_high"] < 0).all()
    assert result.provenance.options["null_model"]["name"] == "noisy"


def test_a_student_with_fewer_layers(tiny_model) -> None:
    teacher, corpus = tiny_model("bert"), random_texts(20)
    student = with_first_blocks(teacher, 2)
    result = compare_models(teacher, student, corpus)
    assert result.table.empty and result.layers.empty
    assert list(result.layers.columns) == [c for c in result.table.columns if c != "head"]
    matching = result.matching
    kept = matching["layer"] < 2
    assert (matching.loc[kept, "match_layer"] == matching.loc[kept, "layer"]).all()
    assert matching.loc[kept, "same_number"].all()
    assert matching.loc[~kept, ["match_layer", "jsd", "difference"]].isna().all(axis=None)
    assert (matching.loc[~kept, "n"] == 0).all()
    reverse = compare_models(student, teacher, corpus, tokens=40).matching
    assert reverse["same_number"].all() and len(reverse) == 8
    states = rows_of(result.representations, measure="cka")
    assert sorted(set(zip(states["layer"], states["other_layer"], strict=True))) == list(
        product(range(4), range(3))
    )


def test_word_maps_compare_models_with_other_tokenizers(tiny_model, tokenizer_of, found) -> None:
    twice = replace(found.model, tokenizer=tokenizer_of("[CLS] $A [SEP] [SEP]"))
    result = compare_models(found.model, twice, found.corpus, maps="word", tokens=40)
    cosine = rows_of(result.table, measure="cosine")
    # Close and not equal: the second separator changes what the model reads.
    assert (cosine["mean"] > cosine["null"]).all() and (cosine["mean"] < 1 - 1e-4).all()
    assert result.matching["same_number"].mean() > 0.8
    same = compare_models(found.model, found.model, found.corpus, maps="word", tokens=100)
    np.testing.assert_allclose(rows_of(same.table, measure="cosine")["mean"], 1, atol=1e-6)
    # One token a word here, so the states are the same ones as between tokens.
    pd.testing.assert_frame_equal(same.representations, found.same.representations, atol=1e-4)


def test_padded_cosine_is_a_measure_of_its_own(tiny_model) -> None:
    model, corpus = tiny_model("bert"), random_texts(12)
    result = compare_models(model, with_noise(model, 0.2), corpus, padded_to=30, tokens=40)
    cropped, padded = (rows_of(result.table, measure=m) for m in ("cosine", "cosine_padded"))
    assert len(padded) == 12 and padded["null"].notna().all()
    assert np.abs(padded["mean"].to_numpy() - cropped["mean"].to_numpy()).max() > 0.02
    own = compare_models(model, model, corpus, padded_to=30, tokens=40).table
    own = rows_of(own, measure="cosine_padded")
    np.testing.assert_allclose(own["mean"], 1, atol=1e-6)
    for wrong, message in ((7, "more than padded_to=7"), (99, "at most 40")):
        with pytest.raises(BertologyError, match=message):
            compare_models(model, model, corpus, padded_to=wrong)
    with pytest.raises(BertologyError, match="maps='token'"):
        compare_models(model, model, corpus, padded_to=30, maps="word")


def test_a_small_corpus_is_descriptive_and_texts_may_lack_a_partner(tiny_model) -> None:
    model = tiny_model("bert")
    lengths = (2, 3, 4, 5, 5)
    texts = [" ".join(f"w{i + j}" for j in range(length)) for i, length in enumerate(lengths)]
    sentences = tuple(text_to_sentence(text, id=text) for text in texts)
    corpus = replace(random_texts(1), sentences=sentences)
    result = compare_models(model, model, corpus)
    for table in (result.table, result.matching, result.representations):
        assert table["descriptive"].all()
    assert result.representations["p_adjusted"].isna().all()
    assert (result.table["n_null"] == 2).all() and result.table["null"].notna().all()
    assert result.table["difference"].notna().all()
    assert result.table[["difference_low", "difference_high"]].isna().all(axis=None)
    assert result.provenance.options["texts_without_partner"] == 3
    nobody = compare_models(model, model, replace(corpus, sentences=sentences[:4]))
    assert nobody.table[["null", "difference"]].isna().all(axis=None)
    with pytest.raises(CorpusError, match="at least 4"):
        compare_models(model, model, replace(corpus, sentences=sentences[:3]))
    with pytest.raises(BertologyError, match="tokens is 0"):
        compare_models(model, model, corpus, tokens=0)


def test_the_same_seed_gives_the_same_numbers_and_results_are_saved(found, tmp_path) -> None:
    again = compare_models(found.model, with_permuted_heads(found.model, ORDER), found.corpus)
    found.permuted.save(tmp_path)
    loaded = Comparison.load(tmp_path)
    for name in ("table", "layers", "matching", "representations"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(found.permuted, name))
        pd.testing.assert_frame_equal(getattr(loaded, name), getattr(found.permuted, name))


@pytest.mark.slow
def test_fine_tuning_moves_the_last_layers_most(demo, shared_file) -> None:
    """Kovaleva et al. 2019, section 4.3, of the demo model and its fine-tuned self."""
    tuned = load_model(shared_file("models/minilm-sst2"), dtype="float32")
    corpus = read_conllu(shared_file("ud/en_ewt-ud-dev.conllu")).first(100)
    result = compare_models(demo, tuned, corpus)
    cosine = rows_of(result.layers, measure="cosine")
    assert cosine["mean"].is_monotonic_decreasing
    assert cosine["ci_high"].iloc[-1] < cosine["ci_low"].iloc[-2]
    # Moved, and yet nearer to itself than to another sentence; the heads are the same ones.
    assert (cosine["difference_low"] > 0.1).all()
    assert result.matching["same_number"].all() and result.matching["same_match"].all()
    states = rows_of(result.representations, measure="cka")
    own = states[states["layer"] == states["other_layer"]]["value"]
    assert own.iloc[0] > 0.999 and own.is_monotonic_decreasing and own.iloc[-1] < 0.5
