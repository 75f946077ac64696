"""Tiny models whose heads are set by hand, so that what each looks at is known.

A token is embedded as one 1 for its identity and one 1 for its position, so that a layer norm
treats all tokens alike; queries and keys pick identities or positions out of it.
"""

import torch
import transformers
from torch import Tensor

from bertology.models import LoadedModel

from ...conftest import VOCABULARY, word_tokenizer

#: Tokens, and positions.
SIZE = len(VOCABULARY)
#: Scale of queries and keys, so that a head looks at one place alone.
SHARP = 20
#: What heads write besides: too little to change what any looks at, enough to show that they act.
FAINT = 1e-3
_NO_SPECIALS = {"bos_token_id": None, "eos_token_id": None}


def shift(by: int) -> Tensor:
    """Maps position p to position p + by, and what would fall outside to nothing."""
    return torch.diag(torch.ones(SIZE - abs(by)), by)


def lookup(answers: dict[str, str]) -> Tensor:
    """Maps some tokens to another; the rest to nothing."""
    matrix = torch.zeros(SIZE, SIZE)
    for token, answer in answers.items():
        matrix[VOCABULARY.index(token), VOCABULARY.index(answer)] = 1
    return matrix


def parser(heads_of: dict[str, str]) -> LoadedModel:
    """A BERT of two layers of two heads.

    L0H0 looks at the next token, L0H1 at the word's head, L1H0 evenly, L1H1 at [SEP].
    """
    config = transformers.BertConfig(
        vocab_size=SIZE, hidden_size=2 * SIZE, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=4, max_position_embeddings=SIZE,
    )  # fmt: skip
    module = transformers.BertModel(config).eval()
    blank(module)
    embed(module.embeddings.word_embeddings, module.embeddings.position_embeddings)
    first, second = (layer.attention.self for layer in module.encoder.layer)
    eye = torch.eye(SIZE)
    look(first, 0, query=positions(shift(1)), key=positions(eye), width=SIZE)
    look(first, 1, query=tokens(lookup(heads_of)), key=tokens(eye), width=SIZE)
    # The same query everywhere: what a layer norm hands over sums to 0, so a bias has to ask.
    look(second, 1, query=tokens(torch.zeros(SIZE, SIZE)), key=tokens(eye), width=SIZE)
    with torch.no_grad():
        second.query.bias[SIZE + VOCABULARY.index("[SEP]")] = 10 * SHARP
    for layer in module.encoder.layer:
        with torch.no_grad():
            layer.attention.self.value.weight[:SIZE, :SIZE] = FAINT * eye
            layer.attention.output.dense.weight[:SIZE, :SIZE] = FAINT * eye
    return LoadedModel("parser made by hand", module, word_tokenizer(), "encoder")


def induction() -> LoadedModel:
    """A GPT-2 of two layers of two heads.

    L0H0 looks at the previous token and writes it down, L0H1 looks evenly, L1H0 looks for a
    token whose previous token is this one, L1H1 for this token itself.
    """
    width = 3 * SIZE // 2
    config = transformers.GPT2Config(
        vocab_size=SIZE, n_embd=3 * SIZE, n_layer=2, n_head=2, n_inner=4, n_positions=SIZE,
        **_NO_SPECIALS,
    )  # fmt: skip
    module = transformers.GPT2Model(config).eval()
    blank(module)
    embed(module.wte, module.wpe)
    eye, written = torch.eye(SIZE), 2 * SIZE
    first, second = (block.attn for block in module.h)
    fused(first, 0, positions(shift(-1)), positions(eye), width)
    with torch.no_grad():
        values = first.c_attn.weight[:, 6 * SIZE :]
        values[:SIZE, :SIZE] = eye
        first.c_proj.weight[:SIZE, written:] = eye
        second.c_attn.weight[:SIZE, 6 * SIZE : 7 * SIZE] = FAINT * eye
        second.c_proj.weight[:SIZE, :SIZE] = FAINT * eye
    from_written = torch.zeros(3 * SIZE, SIZE)
    from_written[written:] = eye
    fused(second, 0, tokens(eye), from_written, width)
    fused(second, 1, tokens(eye), tokens(eye), width)
    return LoadedModel("induction made by hand", module, word_tokenizer("$A"), "encoder")


def blank(module: torch.nn.Module) -> None:
    """All weights 0 but those of layer norms."""
    for name, parameter in module.named_parameters():
        norm = "LayerNorm" in name or "ln_" in name
        torch.nn.init.constant_(parameter, float(norm and name.endswith("weight")))


def embed(words: torch.nn.Embedding, places: torch.nn.Embedding) -> None:
    with torch.no_grad():
        words.weight[:, :SIZE] = torch.eye(SIZE)
        places.weight[:, SIZE : 2 * SIZE] = torch.eye(SIZE)


def tokens(matrix: Tensor) -> Tensor:
    """Reads the identity out of an embedding."""
    return matrix


def positions(matrix: Tensor) -> Tensor:
    """Reads the position out of an embedding."""
    return torch.cat([torch.zeros(SIZE, SIZE), matrix])


def look(attention: torch.nn.Module, head: int, *, query: Tensor, key: Tensor, width: int) -> None:
    """Set one head of a BERT."""
    place = slice(head * width, (head + 1) * width)
    with torch.no_grad():
        attention.query.weight[place, : len(query)] = SHARP * query.T
        attention.key.weight[place, : len(key)] = SHARP * key.T


def fused(attention: torch.nn.Module, head: int, query: Tensor, key: Tensor, width: int) -> None:
    """Set one head of a GPT-2."""
    weight, hidden = attention.c_attn.weight, 3 * SIZE
    with torch.no_grad():
        for part, matrix in enumerate((query, key)):
            start = part * hidden + head * width
            weight[: len(matrix), start : start + SIZE] = SHARP * matrix
