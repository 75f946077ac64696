"""The activation store: word means of what `capture` gives, one layer at a time."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bertology.capture import capture, open_store, passes, write_store
from bertology.corpora import Corpus
from bertology.corpora.text import Sentence, text_to_sentence
from bertology.errors import CaptureError, CorpusError, OutputError

CORPUS = Corpus(
    "test",
    tuple(
        text_to_sentence(" ".join(f"w{(i * 5 + k) % 52}" for k in range(1 + i % 7)), id=f"s{i}")
        for i in range(20)
    ),
    "",
)
BOTH = ("hidden_states", "head_output")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "SHARD_TOKENS", 40)
    monkeypatch.setattr(passes, "batch_tokens", lambda model: 30)


def means(words: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Means over the tokens of each word, by hand."""
    return np.stack([rows[words == word].mean(0) for word in range(count)])


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_store_holds_the_word_means_of_capture(tiny_model, tmp_path: Path, family: str) -> None:
    model = tiny_model(family)
    store = write_store(tmp_path / "s", model, CORPUS, what=BOTH, dtype="float32")
    assert len(store.shards.members) > 1
    assert store.layers == {"hidden_states": (0, 1, 2, 3), "head_output": (0, 1, 2)}
    hidden = [store.hidden_states(layer) for layer in range(4)]
    outputs = [store.head_output(layer) for layer in range(3)]
    assert hidden[0].shape == (sum(map(len, CORPUS.sentences)), 32)
    assert outputs[0].shape == (len(hidden[0]), 4, 8)
    for sentence in CORPUS.sentences:
        one = capture(model, sentence, BOTH)[0]
        rows, words = store.rows(sentence.id), one.encoding.words
        for layer in range(4):
            expected = means(words, one.hidden_states[layer], len(sentence))
            # Alone, a text is padded to another length; its states are as large as 100.
            np.testing.assert_allclose(hidden[layer][rows], expected, rtol=1e-5, atol=1e-4)
        for layer in range(3):
            expected = means(words, one.head_output[layer], len(sentence))
            np.testing.assert_allclose(outputs[layer][rows], expected, atol=1e-5)


def test_words_of_several_tokens_and_of_none(demo, tmp_path: Path) -> None:
    # The tokenizer drops a zero-width joiner: that word has no token.
    sentence = Sentence("s", "an antidisestablishmentarian \u200d sat",
                        ((0, 2), (3, 27), (28, 29), (30, 33)))  # fmt: skip
    store = write_store(tmp_path / "s", demo, Corpus("t", (sentence,), ""), dtype="float32")
    assert store.word_tokens[1] > 2 and store.word_tokens.tolist()[2:] == [0, 1]
    rows = store.hidden_states(6)
    one = capture(demo, sentence, ("hidden_states",))[0]
    for word in (0, 1, 3):
        inside = one.encoding.words == word
        np.testing.assert_allclose(rows[word], one.hidden_states[6][inside].mean(0), atol=1e-5)
    assert np.isnan(rows[2]).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounding_once(tiny_model, tmp_path: Path, dtype: str) -> None:
    model = tiny_model("bert")
    exact = write_store(tmp_path / "32", model, CORPUS, dtype="float32").hidden_states(3)
    store = write_store(tmp_path / "16", model, CORPUS, dtype=dtype)
    rounded = torch.from_numpy(exact).to(getattr(torch, dtype)).float().numpy()
    np.testing.assert_array_equal(store.hidden_states(3), rounded)
    assert not np.array_equal(rounded, exact)
    with safe_open(tmp_path / "16" / "00000.safetensors", framework="pt") as file:
        assert file.get_slice("hidden_states.3").get_dtype() in ("F16", "BF16")


def test_values_beyond_half_precision_are_refused(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    with torch.no_grad():
        model.module.encoder.layer[2].output.LayerNorm.weight *= 1e6
    with pytest.raises(CaptureError, match=r"hidden_states\.3 of .* not finite in torch\.float16"):
        write_store(tmp_path / "s", model, CORPUS)
    assert np.isfinite(write_store(tmp_path / "b", model, CORPUS, dtype="bfloat16")
                       .hidden_states(3)).all()  # fmt: skip


def test_what_is_no_number_in_the_model_is_named(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    write_store(tmp_path / "sound", model, CORPUS)
    with torch.no_grad():
        row = model.tokenizer("w5").input_ids[1]
        model.module.embeddings.word_embeddings.weight[row] = torch.inf
    with pytest.raises(CaptureError, match=r"hidden_states\.0 of 's\d+' is NaN or infinite"):
        write_store(tmp_path / "s", model, CORPUS, dtype="float32")


def test_one_layer_is_read_without_the_others(tiny_model, tmp_path: Path) -> None:
    store = write_store(tmp_path / "s", tiny_model("bert"), CORPUS, what=BOTH)
    before = store.hidden_states(2)
    wanted = {"hidden_states.2", "word_tokens"}
    for shard in (tmp_path / "s").glob("*.safetensors"):
        data = bytearray(shard.read_bytes())
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        assert len(header) == 4 + 3 + 1
        for name, tensor in header.items():
            if name not in wanted:
                start, end = (8 + size + place for place in tensor["data_offsets"])
                data[start:end] = bytes(255 for _ in range(end - start))
        shard.write_bytes(data)
    # All other layers are ruined, and nobody notices until they are read.
    again = open_store(tmp_path / "s")
    np.testing.assert_array_equal(again.hidden_states(2), before)
    with pytest.raises(OutputError, match=r"00000\.safetensors is damaged .*hidden_states\.1"):
        again.hidden_states(1)


def test_a_store_of_another_model_or_corpus_is_refused(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    write_store(tmp_path / "s", model, CORPUS, layers=[1])
    assert open_store(tmp_path / "s", model, CORPUS).layers == {"hidden_states": (1,)}
    with pytest.raises(OutputError, match=r"belong to another pass.*parameters_sha256"):
        open_store(tmp_path / "s", tiny_model("electra"))
    shorter = Corpus("t", CORPUS.sentences[1:], "")
    with pytest.raises(OutputError, match=r"belong to another pass.*sentences_sha256"):
        open_store(tmp_path / "s", model, shorter)
    with pytest.raises(OutputError, match=r"options\.dtype was 'float16', now 'bfloat16'"):
        write_store(tmp_path / "s", model, CORPUS, layers=[1], dtype="bfloat16")
    with pytest.raises(OutputError, match="holds no shards"):
        open_store(tmp_path)


def test_a_damaged_or_unfinished_store_is_named_and_mended(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    whole = write_store(tmp_path / "s", model, CORPUS).hidden_states(1)
    shard = tmp_path / "s" / "00001.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(OutputError, match=r"00001\.safetensors is damaged"):
        open_store(tmp_path / "s").hidden_states(1)
    shard.with_suffix(".json").unlink()
    with pytest.raises(OutputError, match=r"00001\.safetensors is damaged"):
        open_store(tmp_path / "s")
    np.testing.assert_array_equal(
        write_store(tmp_path / "s", model, CORPUS).hidden_states(1), whole
    )


def test_what_a_store_does_not_have(tiny_model, tmp_path: Path) -> None:
    model = tiny_model("bert")
    store = write_store(tmp_path / "s", model, CORPUS, layers=[2])
    assert store.sentences[:2] == ("s0", "s1")
    assert "20 words" not in repr(store) and "hidden_states" in repr(store)
    for call, message in (
        (lambda: store.hidden_states(1), "has no hidden_states of layer 1"),
        (lambda: store.head_output(2), "has no head_output of layer 2"),
        (lambda: store.rows("s99"), "has 0 sentences called 's99'"),
        (lambda: write_store(tmp_path / "n", model, CORPUS, layers=[4]), r"of layers \[4\]"),
        (lambda: write_store(tmp_path / "n", model, CORPUS, what=["mlp"]), "holds any of"),
        (lambda: write_store(tmp_path / "n", model, CORPUS, dtype="int8"), "'int8' is unknown"),
    ):
        with pytest.raises(CaptureError, match=message):
            call()
    with pytest.raises(CorpusError, match="No sentence of empty"):
        write_store(tmp_path / "n", model, Corpus("empty", (), ""))
    assert not (tmp_path / "n").exists()
