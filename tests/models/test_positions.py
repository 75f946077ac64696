"""How many tokens a model reads: what is said, against what really runs."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from bertology import load_model
from bertology.capture.batch import collate
from bertology.corpora import encode
from bertology.corpora.text import text_to_sentence
from bertology.models import first_position, max_positions

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
         "intermediate_size": 48, "max_position_embeddings": 40}  # fmt: skip
HALVES = {"vocab_size": 60, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
          "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
          "decoder_ffn_dim": 48, "pad_token_id": 1, "decoder_start_token_id": 2}  # fmt: skip
GPT = {"vocab_size": 60, "n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 40}
XLM = {"vocab_size": 60, "emb_dim": 32, "n_layers": 1, "n_heads": 4, "max_position_embeddings": 40}
REFORMER = {"vocab_size": 60, "hidden_size": 32, "attention_head_size": 8, "is_decoder": False,
            "num_attention_heads": 4, "feed_forward_size": 48, "hash_seed": 0}  # fmt: skip
AXIAL = {"axial_pos_shape": [5, 8], "axial_pos_embds_dim": [16, 16], "max_position_embeddings": 64}
PADDED = {"pad_token_id": 1}
OPT = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
       "ffn_dim": 48, "max_position_embeddings": 40, "word_embed_proj_dim": 32}  # fmt: skip
LLAMA = {**SIZES, "num_key_value_heads": 2}

#: Family, settings, how many tokens a table of positions lets it read.
LIMITED: list[tuple[str, dict[str, Any], int]] = [
    ("Bert", SIZES, 40),
    ("Roberta", {**SIZES, **PADDED}, 38),
    ("XLMRoberta", {**SIZES, **PADDED}, 38),
    ("MPNet", SIZES, 38),
    ("IBert", {**SIZES, **PADDED}, 38),
    ("Longformer", {**SIZES, **PADDED, "attention_window": 8}, 38),
    ("Albert", {**SIZES, "embedding_size": 16}, 40),
    ("DistilBert", {"vocab_size": 60, "dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 48,
                    "max_position_embeddings": 40}, 40),
    ("Electra", {**SIZES, "embedding_size": 16}, 40),
    ("DebertaV2", SIZES, 40),
    ("RoFormer", {**SIZES, "embedding_size": 32}, 40),
    ("Yoso", SIZES, 40),
    ("Canine", {key: size for key, size in SIZES.items() if key != "vocab_size"}, 40),
    ("Bart", {**HALVES, "max_position_embeddings": 40}, 40),
    ("Marian", {**HALVES, "max_position_embeddings": 40}, 40),
    ("LED", {**HALVES, "max_encoder_position_embeddings": 44, "attention_window": 8,
             "max_decoder_position_embeddings": 20}, 40),
    ("GPT2", GPT, 40),
    ("OpenAIGPT", GPT, 40),
    ("GPTJ", {**GPT, "rotary_dim": 4}, 40),
    ("CTRL", {**GPT, "dff": 48}, 40),
    ("OPT", OPT, 40),
    ("Mpt", {"vocab_size": 60, "d_model": 32, "n_layers": 1, "n_heads": 4, "max_seq_len": 40}, 40),
    ("XLM", XLM, 40),
    ("Flaubert", XLM, 40),
    # 5 by 8 positions, padded to multiples of the chunk.
    ("Reformer", {**REFORMER, **AXIAL, "attn_layers": ["local"],
                  "local_attn_chunk_length": 4}, 40),
    ("Reformer", {**REFORMER, **AXIAL, "attn_layers": ["lsh"], "num_buckets": 2,
                  "lsh_attn_chunk_length": 16}, 32),
    ("Reformer", {**REFORMER, "axial_pos_embds": False, "attn_layers": ["local"],
                  "max_position_embeddings": 40, "local_attn_chunk_length": 4}, 40),
]  # fmt: skip
#: Family, settings, how many it was trained on; None where there is no such number. It would run
#: on more: its positions are computed.
UNLIMITED: list[tuple[str, dict[str, Any], int | None]] = [
    ("T5", {"vocab_size": 60, "d_model": 32, "num_layers": 1, "num_heads": 4, "d_ff": 48,
            "d_kv": 8}, None),
    ("XLNet", {"vocab_size": 60, "d_model": 32, "n_layer": 1, "n_head": 4, "d_inner": 48}, None),
    ("Bloom", {"vocab_size": 60, "hidden_size": 32, "n_layer": 1, "n_head": 4}, None),
    ("Funnel", {"vocab_size": 60, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48,
                "block_sizes": [1, 1], "architectures": ["FunnelModel"]}, None),
    ("Llama", LLAMA, 40),
    ("ModernBert", {**SIZES, **dict.fromkeys(
        ("pad_token_id", "cls_token_id", "sep_token_id", "bos_token_id", "eos_token_id"), 1)}, 40),
    ("DebertaV2", {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
                   "position_biased_input": False}, 40),
    ("M2M100", {**HALVES, "max_position_embeddings": 40}, 40),
]  # fmt: skip


def build(family: str, settings: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    return transformers.AutoModel.from_config(config).eval()


def run(module: Any, length: int) -> torch.Tensor:
    ids = (torch.arange(length) % 40 + 10).unsqueeze(0)
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if module.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids[:, :4]
    with torch.no_grad():
        return module(**given)[0]


@pytest.mark.parametrize(("family", "settings", "limit"), LIMITED)
def test_a_table_is_read_to_its_end(family: str, settings: dict[str, Any], limit: int) -> None:
    module = build(family, settings)
    assert max_positions(module) == limit
    assert run(module, limit).isfinite().all()
    with pytest.raises((RuntimeError, IndexError, ValueError)):
        run(module, limit + 1)


@pytest.mark.parametrize(("family", "settings", "limit"), UNLIMITED)
def test_where_no_table_limits(family: str, settings: dict[str, Any], limit: int | None) -> None:
    module = build(family, settings)
    assert max_positions(module) == limit
    assert run(module, 60).isfinite().all()


def test_prophetnet_repeats_its_last_position_and_is_stopped_before() -> None:
    module = build("ProphetNet", {
        "vocab_size": 60, "hidden_size": 32, "num_encoder_layers": 1, "num_decoder_layers": 1,
        "num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48, "max_position_embeddings": 40, "ngram": 1,
    })  # fmt: skip
    assert max_positions(module) == 39
    used: list[torch.Tensor] = []
    table = module.encoder.position_embeddings
    forward = torch.nn.Embedding.forward

    def spy(part: Any, ids: torch.Tensor) -> torch.Tensor:
        if part is table:
            used.append(ids)
        return forward(part, ids)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Embedding, "forward", spy)
        run(module, 39)
        run(module, 40)
    fits, too_long = used
    assert fits.unique().numel() == 39 and too_long.unique().numel() == 39


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("Bert", SIZES),
        ("Roberta", {**SIZES, **PADDED}),
        ("MPNet", SIZES),
        ("GPT2", GPT),
        ("OPT", OPT),
        ("Llama", LLAMA),
        ("Yoso", SIZES),
    ],
)
def test_positions_that_are_given_equal_those_that_are_not(
    family: str, settings: dict[str, Any]
) -> None:
    module = build(family, settings)
    ids = (torch.arange(9) % 40 + 10).unsqueeze(0)
    places = torch.arange(9).unsqueeze(0) + first_position(module)
    with torch.no_grad():
        plain, given = module(input_ids=ids)[0], module(input_ids=ids, position_ids=places)[0]
        moved = module(input_ids=ids, position_ids=places + places % 2)[0]
    assert torch.equal(plain, given)
    assert not torch.allclose(plain, moved, atol=1e-6)


def test_both_padding_sides_agree_at_full_length(tiny_model: Any) -> None:
    for family in ("bert", "roberta", "gpt2"):
        model = tiny_model(family)
        specials = 0 if family == "gpt2" else 2
        longest = " ".join(["w3"] * (model.max_tokens - specials))
        encodings = [
            encode(text_to_sentence(text, id=text), model.tokenizer) for text in (longest, "w1 w2")
        ]
        assert len(encodings[0]) == model.max_tokens
        short = len(encodings[1])
        with torch.no_grad():
            right = model.module(**collate(encodings, model, "right").inputs)[0]
            left = model.module(**collate(encodings, model, "left").inputs)[0]
        torch.testing.assert_close(right[0], left[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(right[1, :short], left[1, -short:], atol=1e-5, rtol=0)


def test_limits_of_models_of_text_and_images() -> None:
    """The text's table counts, and its part of the configuration, not the picture's."""
    parts: Any = torch.nn.ModuleDict({
        "vision_model": torch.nn.ModuleDict({"position_embedding": torch.nn.Embedding(5, 4)}),
        "text_model": torch.nn.ModuleDict({"position_embedding": torch.nn.Embedding(9, 4)}),
    })  # fmt: skip
    parts.config = SimpleNamespace()
    assert max_positions(parts) == 9
    del parts["text_model"]
    parts.config.text_config = SimpleNamespace(max_position_embeddings=30)
    assert max_positions(parts) == 30


def test_a_table_that_grows_is_no_limit() -> None:
    settings = {**HALVES, "langs": ["en", "de"], "src_vocab_size": 60, "tgt_vocab_size": 60,
                "max_position_embeddings": 40}  # fmt: skip
    del settings["vocab_size"]
    module = build("FSMT", settings)
    assert max_positions(module) == 40
    assert run(module, 60).isfinite().all()
    assert first_position(module) == 0


def test_the_demo_reads_what_it_says() -> None:
    model = load_model("demo")
    assert model.max_tokens == 512
    assert run(model.module, 512).isfinite().all()
