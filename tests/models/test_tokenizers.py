"""Tokenizers of checkpoints: fast and slow ones, and what happens without their files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertology import BertologyError, load_model
from bertology.models.demo import demo_folder

Save = Callable[..., Path]
GPT = {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 40, "dff": 48}
XLM = {"emb_dim": 32, "n_layers": 1, "n_heads": 4, "max_position_embeddings": 40}


def slow_checkpoint(folder: Path, family: str) -> Path:
    """A tiny CTRL or XLM with a vocabulary of letters: their tokenizers are written in Python."""
    words = [letter + end for letter in "abcdefgh" for end in ("", "</w>", "@@")]
    specials = ["<s>", "</s>", "<pad>", "<unk>", *(f"<special{k}>" for k in range(10))]
    vocabulary = {word: k for k, word in enumerate([*specials, *words])}
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\na b</w> 1\n")
    torch.manual_seed(0)
    size = {"vocab_size": len(vocabulary)}
    if family == "ctrl":
        module: Any = transformers.CTRLLMHeadModel(transformers.CTRLConfig(**size, **GPT))
    else:
        module = transformers.XLMWithLMHeadModel(transformers.XLMConfig(**size, **XLM))
    module.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("family", "task"), [("ctrl", "causal-lm"), ("xlm", "masked-lm")])
def test_tokenizers_written_in_python(tmp_path: Path, family: str, task: str) -> None:
    model = load_model(slow_checkpoint(tmp_path / family, family))
    assert not model.tokenizer.is_fast and model.task == task and model.max_tokens == 40
    ids = model.tokenizer("a b c", return_tensors="pt")["input_ids"]
    assert ids.shape[1] >= 3
    with torch.no_grad():
        assert model.module(ids)[0].isfinite().all()


def test_a_tokenizer_never_cuts_or_pads_by_itself() -> None:
    stated = json.loads((demo_folder() / "tokenizer.json").read_text())
    assert stated["truncation"]["max_length"] == 128 and stated["padding"] is not None
    tokenizer = load_model("demo").tokenizer
    assert tokenizer.backend_tokenizer.truncation is None
    assert tokenizer.backend_tokenizer.padding is None
    assert len(tokenizer("dog " * 300)["input_ids"]) == 302
    assert [len(ids) for ids in tokenizer(["dog", "dog " * 9])["input_ids"]] == [3, 11]


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama", "distilbert"])
def test_checkpoints_without_tokenizer_files(saved: Save, family: str) -> None:
    folder = saved(family)
    assert load_model(folder).tokenizer.tokenize("w1 w2") == ["w1", "w2"]
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(BertologyError, match=r"The tokenizer of .*beside the weights: tok"):
        load_model(folder)


@pytest.mark.parametrize("family", ["ctrl", "xlm"])
def test_slow_tokenizers_without_their_files(tmp_path: Path, family: str) -> None:
    folder = slow_checkpoint(tmp_path / family, family)
    (folder / "vocab.json").unlink()
    with pytest.raises(BertologyError, match=r"The tokenizer of .*beside the weights: tok"):
        load_model(folder)


def test_what_a_classifier_on_a_decoder_needs_is_set(saved: Save) -> None:
    folder = saved("gpt2", "classification")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.eos_token, tokenizer.pad_token = "w5", None
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    model = load_model(folder)
    assert model.tokenizer.pad_token == "w5"
    assert model.config.pad_token_id == model.tokenizer.convert_tokens_to_ids("w5")
