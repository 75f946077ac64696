"""The families that capture is tested on: what each is, and where its parts are.

Sizes are tiny; three texts of different length, padded, are what each model reads.
"""

from typing import Any

from .family import (
    ABSOLUTE,
    ADAPTER,
    BART,
    BERT,
    GPT,
    INTERFACE,
    NO_SPECIALS,
    PIXELS,
    RELATIVE,
    T5,
    TAP,
    XLM,
    Family,
    bart,
    bert,
    llama,
    longformer,
    longt5,
    reformer,
)

FAMILIES: dict[str, Family] = {
    "bert": bert("BertConfig"),
    "roberta": bert("RobertaConfig"),
    "albert": Family(
        "AlbertConfig", {**BERT, "embedding_size": 16}, INTERFACE, "dense"
    ),
    "distilbert": Family(
        "DistilBertConfig",
        {"vocab_size": 60, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48,
         "max_position_embeddings": 40},
        INTERFACE,
        "out_lin",
    ),
    "electra": bert("ElectraConfig"),
    "ernie": bert("ErnieConfig"),
    "camembert": bert("CamembertConfig"),
    "xlm_roberta": bert("XLMRobertaConfig"),
    "mobilebert": bert("MobileBertConfig", intra_bottleneck_size=16, embedding_size=16),
    "mpnet": Family("MPNetConfig", BERT, TAP, "o"),
    "deberta": bert("DebertaConfig", TAP, **RELATIVE),
    "deberta_v2": bert("DebertaV2Config", TAP, **RELATIVE),
    "modernbert": Family(
        "ModernBertConfig",
        {**BERT, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2,
         "local_attention": 4},
        INTERFACE,
        "Wo",
    ),
    "xlnet": Family(
        "XLNetConfig",
        {"vocab_size": 60, "d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48},
        TAP,
        "",
    ),
    "xlm": Family("XLMConfig", XLM, TAP, "out_lin"),
    "flaubert": Family("FlaubertConfig", XLM, TAP, "out_lin"),
    "funnel": Family(
        "FunnelConfig",
        {"vocab_size": 60, "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48,
         "block_sizes": [1, 2], "num_decoder_layers": 2},
        TAP,
        "post_proj",
        batch_only="pooling joins the last token with padding",
        attributes={"architectures": ["FunnelModel"]},
    ),
    "big_bird": Family(
        "BigBirdConfig", {**BERT, "attention_type": "original_full"}, ADAPTER, "output.dense"
    ),
    "bigbird_pegasus": Family(
        "BigBirdPegasusConfig",
        {**BART, "max_position_embeddings": 80, "attention_type": "original_full"},
        f"{ADAPTER}, {INTERFACE}",
        "out_proj|output",
        reads="two texts",
        right_only=ABSOLUTE,
    ),
    "nystromformer": Family(
        "NystromformerConfig",
        {**BERT, "num_landmarks": 6, "segment_means_seq_len": 6},
        TAP,
        "../output.dense",
        batch_only="a convolution over tokens reads padding",
        beside="a convolution of the values is added to the head outputs",
    ),
    "roformer": bert("RoFormerConfig", TAP),
    "squeezebert": Family(
        "SqueezeBertConfig",
        {**BERT, "embedding_size": 32},
        TAP,
        "../post_attention.conv1d",
        values="value",
    ),
    "convbert": Family(
        "ConvBertConfig",
        BERT,
        TAP,
        "../output.dense",
        batch_only="a convolution over tokens reads padding",
        beside="heads of another kind stand beside the heads in one vector",
    ),
    "luke": bert("LukeConfig", TAP, entity_vocab_size=20, entity_emb_size=16,
                  use_entity_aware_attention=False),
    "megatron_bert": bert("MegatronBertConfig", TAP),
    "rembert": bert("RemBertConfig", TAP),
    "gpt2": Family("GPT2Config", {**GPT, **NO_SPECIALS}, INTERFACE, "c_proj"),
    "openai-gpt": Family("OpenAIGPTConfig", GPT, TAP, "c_proj"),
    "ctrl": Family("CTRLConfig", {**GPT, "dff": 48}, INTERFACE, "dense"),
    "gpt_neo": Family(
        "GPTNeoConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_layers": 4, "num_heads": 4,
         "attention_types": [[["global", "local"], 2]], "window_size": 4,
         "max_position_embeddings": 40, **NO_SPECIALS},
        TAP,
        "out_proj",
    ),
    "gpt_neox": Family("GPTNeoXConfig", {**BERT, **NO_SPECIALS}, INTERFACE, "dense"),
    "gptj": Family(
        "GPTJConfig", {**GPT, **NO_SPECIALS, "rotary_dim": 4}, TAP, "out_proj"
    ),
    "opt": Family(
        "OPTConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         "ffn_dim": 48, "max_position_embeddings": 40, "word_embed_proj_dim": 32, **NO_SPECIALS},
        INTERFACE,
        "out_proj",
    ),
    "bloom": Family(
        "BloomConfig",
        {"vocab_size": 60, "hidden_size": 32, "n_layer": 3, "n_head": 4, **NO_SPECIALS},
        TAP,
        "dense",
    ),
    "mpt": Family(
        "MptConfig",
        {"vocab_size": 60, "d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 40,
         **NO_SPECIALS},
        TAP,
        "out_proj",
    ),
    "falcon": Family(
        "FalconConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         **NO_SPECIALS},
        TAP,
        "dense",
    ),
    "llama": llama("LlamaConfig"),
    "mistral": llama("MistralConfig", sliding_window=4),
    "qwen2": llama("Qwen2Config"),
    "qwen3": llama("Qwen3Config"),
    "gemma2": llama("Gemma2Config", "they are capped", sliding_window=4),
    "gemma3": llama("Gemma3TextConfig", sliding_window=4),
    "phi3": llama("Phi3Config"),
    "gpt_oss": llama("GptOssConfig", "a sink joins them", sums_to_one=False, sliding_window=4,
                      num_local_experts=2, num_experts_per_tok=1),
    "t5": Family(
        "T5Config", T5, INTERFACE, "o", reads="two texts", scores="a position bias joins them"
    ),
    "bart": bart("BartConfig"),
    "mbart": bart("MBartConfig"),
    "pegasus": bart("PegasusConfig"),
    "whisper": Family(
        "WhisperConfig",
        {**BART, "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 20},
        INTERFACE,
        "out_proj",
        reads="speech",
        right_only="speech is not padded",
    ),
    "vit": Family(
        "ViTConfig", PIXELS, INTERFACE, "o_proj", reads="image",
        right_only="images are not padded",
    ),
}  # fmt: skip

#: Attention within windows, blocks or buckets.
FAMILIES |= {
    "longformer": longformer(),
    "longformer, global tokens": longformer(globals=True),
    "led": Family(
        "LEDConfig",
        {**BART, "attention_window": 4, "max_encoder_position_embeddings": 80,
         "max_decoder_position_embeddings": 40},
        f"{ADAPTER}, {TAP}",
        "out_proj|../output",
        reads="two texts",
        values="v_proj|value|value_global",
        right_only=ABSOLUTE,
    ),
    "big_bird, sparse": Family(
        "BigBirdConfig",
        {**BERT, "max_position_embeddings": 80, "attention_type": "block_sparse",
         "block_size": 4, "num_random_blocks": 1},
        ADAPTER,
        "output.dense",
        lengths=(38, 33, 30),
        values="self.value",
        batch_only="the last block is global, and padding takes its place",
    ),
    "reformer, local": reformer(["local", "local"]),
    "reformer, hashed": reformer(["lsh", "local"]),
    "longt5": longt5("local"),
    "longt5, summaries": longt5("transient-global", "summaries are of blocks from the left"),
    "canine": Family(
        "CanineConfig",
        {**BERT, "max_position_embeddings": 80, "num_hash_buckets": 64,
         "local_transformer_stride": 8},
        f"{ADAPTER}, {TAP}",
        "output.dense|../output.dense",
        lengths=(30, 21, 12),
        values="value|self.value",
        batch_only="convolutions over characters read padding",
    ),
}  # fmt: skip

#: Models that do not attend, or attend in a way that no softmax over keys describes.
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "fnet": (
        "FNetConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48},
        "FNetModel has no attention that can be reached",
    ),
    "mamba": (
        "MambaConfig",
        {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2},
        "MambaModel has no attention that can be reached",
    ),
}
