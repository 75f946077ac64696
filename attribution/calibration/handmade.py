"""A classifier whose weights are set by hand: exactly one head carries one word to the output."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch import Tensor

from ...models import LoadedModel
from .tokenizer import SPECIALS, word_tokenizer

#: The head that carries the evidence, (layer, head); the decoy head attends and writes nothing.
CARRIER, DECOY = (0, 1), (0, 2)
#: The words that speak for either class, and the word that the decoy head attends to.
NEGATIVE, POSITIVE, IGNORED = "sullen", "verdant", "trumpet"
_HEADS, _WIDTH = 4, 4
#: Hidden units by use: pairs (+1, −1), so that every vector has mean 0 and LayerNorm keeps signs.
_SIGN, _CUE, _CLS, _MARK, _WRITTEN, _FILLER, _IDLE = (slice(2 * k, 2 * k + 2) for k in range(7))
_SHARPNESS = 30.0
#: What the classifier makes of what idle heads write. Not 0: a head whose removal changes nothing
#: at all could not be told from one that was not captured.
_WHISPER = 0.01


@dataclass(frozen=True)
class Handmade:
    """The model and what is true of it by construction."""

    model: LoadedModel
    carrier: tuple[int, int] = CARRIER
    decoy: tuple[int, int] = DECOY


def one_head_carries() -> Handmade:
    """A two-layer BERT classifier in which one head moves the evidence to [CLS].

    In layer 0 that head's [CLS] row is on the cue word, and its value is the sign of the cue;
    another head attends to the decoy word as strongly. It and all others write how much they
    attend to words that are neither, which moves the logits by less than a hundredth of what the
    cue does. All feed-forward layers are 0. So the label is the cue's alone.
    """
    tokenizer = word_tokenizer()
    config = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=_HEADS * _WIDTH, num_hidden_layers=2,
        num_attention_heads=_HEADS, intermediate_size=4, max_position_embeddings=64,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )  # fmt: skip
    module = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
        _embed(module, tokenizer)
        block = module.bert.encoder.layer[0].attention
        _attend(block.self, CARRIER[1], _CUE)
        _attend(block.self, DECOY[1], _MARK)
        _carry(block, CARRIER[1])
        for layer in (0, 1):
            part = module.bert.encoder.layer[layer].attention
            for head in range(_HEADS):
                if (layer, head) != CARRIER:
                    _idle(part, head)
        module.bert.pooler.dense.weight.copy_(torch.eye(config.hidden_size))
        module.classifier.weight[1, _WRITTEN] = _pair()
        module.classifier.weight[0, _WRITTEN] = -_pair()
        module.classifier.weight[1, _IDLE] = _pair(_WHISPER)
        module.classifier.weight.mul_(4)
    return Handmade(LoadedModel("one head carries", module, tokenizer, "classification"))


def _pair(size: float = 1.0) -> Tensor:
    return torch.tensor([size, -size])


def _embed(module: transformers.BertForSequenceClassification, tokenizer: Any) -> None:
    table = module.bert.embeddings.word_embeddings.weight
    names = tokenizer.get_vocab()
    for word, number in names.items():
        if word == "[CLS]":
            table[number, _CLS] = _pair()
        elif word in (NEGATIVE, POSITIVE):
            table[number, _CUE] = _pair()
            table[number, _SIGN] = _pair(1.0 if word == POSITIVE else -1.0)
        elif word == IGNORED:
            table[number, _MARK] = _pair()
        elif word not in SPECIALS:
            table[number, _FILLER] = _pair()


def _attend(part: Any, head: int, key: slice) -> None:
    """The head's [CLS] row is on the words that have the key."""
    start = head * _WIDTH
    part.query.weight[start, _CLS] = _pair(_SHARPNESS)
    part.key.weight[start, key] = _pair(math.sqrt(_WIDTH))


def _carry(block: Any, head: int) -> None:
    """The head writes the sign of what it attends to."""
    start = head * _WIDTH
    block.self.value.weight[start, _SIGN] = _pair(0.5)
    block.output.dense.weight[_WRITTEN, start] = _pair()


def _idle(block: Any, head: int) -> None:
    """The head writes how much it attends to words that say nothing."""
    start = head * _WIDTH
    block.self.value.weight[start, _FILLER] = _pair(0.25)
    block.output.dense.weight[_IDLE, start] = _pair(0.5)
