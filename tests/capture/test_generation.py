"""Attention of generated sequences against one plain forward pass over the whole sequence."""

import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError
from bertology.capture import Hook, capture_generation, hooked
from bertology.models import LoadedModel

SIZES = {"vocab_size": 60, "d_model": 32, "pad_token_id": 0, "decoder_start_token_id": 2}
CONFIGS = {
    "t5": lambda: transformers.T5Config(
        d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=2, num_heads=4, eos_token_id=3, **SIZES
    ),
    "bart": lambda: transformers.BartConfig(
        encoder_layers=3, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=2,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=40, eos_token_id=3,
        bos_token_id=2, forced_eos_token_id=None, **SIZES,
    ),
    "mistral": lambda: transformers.MistralConfig(
        vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=4, pad_token_id=0,
        bos_token_id=None, eos_token_id=None, max_position_embeddings=40,
    ),
}  # fmt: skip
WAYS = {
    "greedy": {},
    "no cache": {"use_cache": False},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "beams, no cache": {"num_beams": 3, "use_cache": False},
    "sampling": {"do_sample": True, "num_return_sequences": 2},
}


def generator(family: str, tiny_model, tokenizer) -> LoadedModel:
    if family in ("gpt2", "llama"):
        return tiny_model(family, "causal-lm")
    torch.manual_seed(1)
    config = CONFIGS[family]()
    kind = "Seq2SeqLM" if config.is_encoder_decoder else "CausalLM"
    module = getattr(transformers, f"AutoModelFor{kind}").from_config(config).eval()
    for parameter in module.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.35)
    task = "seq2seq-lm" if config.is_encoder_decoder else "causal-lm"
    return LoadedModel(f"tiny {family}", module, tokenizer, task)


def plain_pass(model: LoadedModel, found) -> dict:
    """Attention of one forward pass over what was generated."""
    ids = torch.tensor([model.tokenizer.convert_tokens_to_ids(list(found.tokens[:-1]))])
    inputs = {"input_ids": ids}
    if found.source_tokens:
        source = model.tokenizer.convert_tokens_to_ids(list(found.source_tokens))
        inputs = {"input_ids": torch.tensor([source]), "decoder_input_ids": ids}
    maps: dict = {}
    keep = Hook(observe=lambda e: maps.setdefault((e.site.stack, e.site.kind), []).append(
        e.attention[0].numpy()))  # fmt: skip
    with torch.no_grad(), hooked(model.module, keep):
        model.module(**inputs)
    return {key: np.stack(layers) for key, layers in maps.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["gpt2", "llama", *CONFIGS])
def test_stitched_maps_equal_one_pass(family: str, way: str, tiny_model, tokenizer_of) -> None:
    model = generator(family, tiny_model, tokenizer_of("$A"))
    torch.manual_seed(3)
    found = capture_generation(model, "w1 w2 w3 . w4", max_new_tokens=7, **WAYS[way])
    assert len(found) == WAYS[way].get("num_return_sequences", 1)
    for one in found:
        expected = plain_pass(model, one)
        assert {(part.stack, part.kind) for part in one.parts} == set(expected)
        assert len(one.tokens) > one.prompt + 1
        for part in one.parts:
            whole = expected[part.stack, part.kind]
            assert part.attention.shape == whole.shape
            assert np.abs(part.attention - whole).max() < 1e-5
            assert len(part.keys) == whole.shape[-1]
    if "beams" in way and len(found) > 1:
        assert found[0].tokens != found[1].tokens


def test_beams_change_places(tiny_model) -> None:
    # A positive control: with the rows left as they lie the maps would be another beam's.
    module = tiny_model("gpt2", "causal-lm").module
    ids = torch.tensor([[9, 10, 11]])
    output = module.generate(
        ids, max_new_tokens=7, num_beams=3, return_dict_in_generate=True, output_scores=True
    )
    assert len(set(output.beam_indices[0].tolist())) > 1


def test_chosen_layers_and_heads(tiny_model) -> None:
    model = tiny_model("llama", "causal-lm")
    whole = capture_generation(model, "w1 w2 w3", max_new_tokens=4)[0].part("decoder")
    some = capture_generation(model, "w1 w2 w3", max_new_tokens=4, layers=[1], heads=[2, 0])[0]
    part = some.part("decoder")
    assert part.layers == (1,) and part.heads == (2, 0)
    assert np.abs(part.attention - whole.attention[[1]][:, [2, 0]]).max() < 1e-6


def test_a_model_that_cannot_generate_is_refused(tiny_model) -> None:
    with pytest.raises(BertologyError, match="predicts no next token"):
        capture_generation(tiny_model("bert"), "w1 w2")
    with pytest.raises(BertologyError, match="no part"):
        found = capture_generation(tiny_model("gpt2", "causal-lm"), "w1 w2", max_new_tokens=2)
        found[0].part("decoder", "cross")


@pytest.mark.parametrize(
    "options",
    [
        {"prefill_chunk_size": 2},
        {"prompt_lookup_num_tokens": 3},
        {"cache_implementation": "static"},
        {"output_scores": False},
    ],
)
def test_steps_that_cannot_be_put_together_are_refused(options: dict, tiny_model) -> None:
    model = tiny_model("llama", "causal-lm")
    with pytest.raises(BertologyError, match=r"put together from|copied on its way|leave it out"):
        capture_generation(model, "w1 w2 w3 w1 w2 w3 w1", max_new_tokens=6, **options)


def test_attention_that_is_not_a_number_is_named(tiny_model) -> None:
    model = tiny_model("llama", "causal-lm")
    capture_generation(model, "w1", max_new_tokens=2)  # proven while it was sound
    with torch.no_grad():
        model.module.model.embed_tokens.weight[model.tokenizer("w6").input_ids[0]] = torch.inf
    with pytest.raises(BertologyError, match=r"decoder self layer 0.*NaN or infinite at step 0"):
        capture_generation(model, "w5 w6", max_new_tokens=2)
