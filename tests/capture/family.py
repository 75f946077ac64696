"""What is known of a family of models, and sizes that families share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

INTERFACE, TAP, ADAPTER = "attention interface", "softmax tap", "adapter"

BERT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 0,
}
NO_SPECIALS = {"bos_token_id": None, "eos_token_id": None}
GPT = {"vocab_size": 60, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 40}
LLAMA = {**BERT, **NO_SPECIALS, "num_key_value_heads": 2, "head_dim": 8}
XLM = {
    "vocab_size": 60,
    "emb_dim": 32,
    "n_layers": 3,
    "n_heads": 4,
    "n_langs": 1,
    "max_position_embeddings": 40,
    "pad_index": 0,
}
BART = {
    "vocab_size": 60,
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "pad_token_id": 0,
    "decoder_start_token_id": 2,
}
T5 = {
    "vocab_size": 60,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
PIXELS = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 8,
    "patch_size": 4,
}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
ABSOLUTE = "positions are absolute and cannot be given"


@dataclass(frozen=True)
class Family:
    """A tiny model, and what is known of it."""

    config: str
    options: Mapping[str, Any]
    way: str
    projection: str
    """The output projection, as a path from the module of the site; `../` goes up."""
    lengths: tuple[int, ...] = (9, 6, 4)
    reads: str = "text"
    """`text`, `two texts` (encoder and decoder), `speech` or `image`."""
    values: str = ""
    """The projection of the values, where the oracle is one-hot values in its place."""
    globals: bool = False
    """Whether the first token has global attention."""
    sums_to_one: bool = True
    right_only: str = ""
    """Why padding on the left is no option for this family."""
    batch_only: str = ""
    """Why a text in a batch is not computed as it is alone."""
    beside: str = ""
    """What joins the head outputs before the projection, if anything does."""
    scores: str = ""
    """What makes scores more than a scaled product of query and key."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """Set on the configuration after it was made."""


def bert(config: str, way: str = INTERFACE, **options: Any) -> Family:
    return Family(config, {**BERT, **options}, way, "../output.dense")


def llama(config: str, scores: str = "", sums_to_one: bool = True, **options: Any) -> Family:
    return Family(
        config, {**LLAMA, **options}, INTERFACE, "o_proj", sums_to_one=sums_to_one, scores=scores
    )


def bart(config: str, **options: Any) -> Family:
    return Family(
        config, {**BART, "max_position_embeddings": 40, **options}, INTERFACE, "out_proj",
        reads="two texts", right_only=ABSOLUTE,
    )  # fmt: skip


def longformer(**known: Any) -> Family:
    return Family(
        "LongformerConfig",
        {**BERT, "max_position_embeddings": 80, "attention_window": 4},
        ADAPTER,
        "../output.dense",
        values="value|value_global",
        **known,
    )


def longt5(kind: str, right_only: str = "") -> Family:
    return Family(
        "LongT5Config",
        {**T5, "local_radius": 3, "global_block_size": 4, "encoder_attention_type": kind},
        f"{ADAPTER}, {INTERFACE}",
        "o",
        lengths=(14, 9, 6),
        reads="two texts",
        values="v",
        scores="a position bias joins them",
        right_only=right_only,
    )


def reformer(layers: list[str]) -> Family:
    return Family(
        "ReformerConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4, "attention_head_size": 8,
         "feed_forward_size": 48, "attn_layers": layers, "lsh_attn_chunk_length": 4,
         "local_attn_chunk_length": 4, "num_buckets": 4, "num_hashes": 2, "hash_seed": 1,
         "axial_pos_embds": False, "max_position_embeddings": 64, "is_decoder": False},
        ADAPTER,
        "../output.dense",
        lengths=(14, 9, 6),
        values="value",
        batch_only="the first chunk also sees the last, and padding takes its place",
    )  # fmt: skip
