"""GGUF files: unpacked on load, and then the model they were written from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers

from bertology import BertologyError, load_model
from bertology.capture import capture
from bertology.corpora import sample_treebank
from bertology.models import provenance, weights
from bertology.models.demo import file_sha256

HEADS, KEY_HEADS, LAYERS = 4, 2, 2
#: Names in a GGUF file, and of which part of a block.
PARTS = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
         "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm"}  # fmt: skip
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
WORDS = ["<unk>", "<s>", "</s>", *[f"▁w{i}" for i in range(20)], "▁", "w", *"0123456789"]
VOCABULARY = WORDS + [f"x{i}" for i in range(60 - len(WORDS))]


@pytest.fixture
def llama() -> Any:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS, intermediate_size=64, max_position_embeddings=40,
    )  # fmt: skip
    module = transformers.LlamaForCausalLM(config)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.35)
    return module.eval()


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows in the order that llama.cpp rotates them in."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, rows, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(
    module: Any, path: Path, kind: gguf.GGMLQuantizationType | None = None, *, words: bool = True
) -> Path:
    """Write a Llama as a GGUF file, its matrices quantised if a kind is given."""
    config, state = module.config, module.state_dict()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // HEADS)
    writer.add_vocab_size(config.vocab_size)
    if words:
        writer.add_tokenizer_model("llama")
        writer.add_token_list(VOCABULARY)
        writer.add_token_scores([-float(i) for i in range(60)])
        writer.add_token_types([2, 3, 3] + [1] * 57)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
    names = {f"blk.{k}.{short}": f"model.layers.{k}.{name}"
             for k in range(LAYERS) for short, name in PARTS.items()} | WHOLE  # fmt: skip
    for short, name in names.items():
        weight = state[f"{name}.weight"].numpy()
        if short.endswith("attn_q"):
            weight = interleaved(weight, HEADS)
        elif short.endswith("attn_k"):
            weight = interleaved(weight, KEY_HEADS)
        weight = np.ascontiguousarray(weight)
        if kind is not None and weight.ndim == 2:
            writer.add_tensor(f"{short}.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)
        else:
            writer.add_tensor(f"{short}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def logits(module: Any) -> torch.Tensor:
    with torch.no_grad():
        return module(torch.arange(3, 20).unsqueeze(0)).logits


def test_a_file_equals_the_model_it_was_written_from(llama: Any, tmp_path: Path) -> None:
    path = write_gguf(llama, tmp_path / "tiny.gguf")
    model = load_model(path)
    torch.testing.assert_close(logits(model.module), logits(llama), atol=1e-6, rtol=0)
    assert model.task == "causal-lm" and model.max_tokens == 40
    assert model.module.dtype == torch.float32
    assert model.gguf_file == "tiny.gguf" and model.weights_sha256 == file_sha256(path)
    assert model.tokenizer.convert_ids_to_tokens(model.tokenizer("w1 w2")["input_ids"])[0] == "<s>"
    found = capture(model, "w1 w2 w3")[0]
    assert found.attention is not None
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-6)
    options = provenance(model, sample_treebank().first(2), seed=0, skipped=[]).options
    assert options["gguf_file"] == "tiny.gguf"


def test_one_of_several_files_by_name(llama: Any, tmp_path: Path) -> None:
    write_gguf(llama, tmp_path / "a.gguf")
    with torch.no_grad():
        llama.lm_head.weight.mul_(2)
    path = write_gguf(llama, tmp_path / "b.gguf")
    model = load_model(tmp_path, gguf_file="b.gguf")
    torch.testing.assert_close(logits(model.module), logits(llama), atol=1e-6, rtol=0)
    assert model.weights_sha256 == file_sha256(path) != file_sha256(tmp_path / "a.gguf")
    assert load_model(path, gguf_file="b.gguf").weights_sha256 == model.weights_sha256
    with pytest.raises(BertologyError, match=r"b.gguf, and gguf_file='a.gguf' is another"):
        load_model(path, gguf_file="a.gguf")


def test_a_file_in_the_cache_of_the_hub(
    llama: Any, tmp_path: Path, in_cache: Callable[..., str]
) -> None:
    (tmp_path / "repository").mkdir()
    path = write_gguf(llama, tmp_path / "repository" / "tiny.gguf")
    commit = in_cache(tmp_path / "repository", "someone/ggufs")
    model = load_model("someone/ggufs", gguf_file="tiny.gguf")
    torch.testing.assert_close(logits(model.module), logits(llama), atol=1e-6, rtol=0)
    assert model.revision == commit and model.weights_sha256 == file_sha256(path)
    with pytest.raises(BertologyError, match=r"there is no other.gguf of it in the cache"):
        load_model("someone/ggufs", gguf_file="other.gguf")


def test_quantised_weights_are_unpacked(llama: Any, tmp_path: Path) -> None:
    kind = gguf.GGMLQuantizationType.Q8_0
    model = load_model(write_gguf(llama, tmp_path / "q8.gguf", kind))
    projection = model.module.model.layers[0].self_attn.v_proj
    assert type(projection) is torch.nn.Linear
    original = llama.model.layers[0].self_attn.v_proj.weight
    expected = gguf.quants.dequantize(gguf.quants.quantize(original.detach().numpy(), kind), kind)
    torch.testing.assert_close(projection.weight, torch.from_numpy(expected), atol=1e-6, rtol=0)
    assert 0 < (projection.weight - original).abs().max() < 0.02
    half = load_model(tmp_path / "q8.gguf", dtype="bfloat16")
    assert half.module.dtype == torch.bfloat16


def test_weights_would_be_unpacked_even_where_kernels_could_compute_on_them(
    llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    real = transformers.AutoModelForCausalLM.from_pretrained

    def spy(*names: Any, **options: Any) -> Any:
        asked.update(options)
        return real(*names, **options)

    if not hasattr(transformers, "GgufConfig"):
        pytest.skip("this version of transformers always unpacks")
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", spy)
    load_model(write_gguf(llama, tmp_path / "tiny.gguf"))
    assert asked["quantization_config"].dequantize is True


def test_the_tokenizer_beside_the_file_is_preferred(
    llama: Any, tmp_path: Path, tiny_model: Any
) -> None:
    path = write_gguf(llama, tmp_path / "tiny.gguf", words=False)
    with pytest.raises(BertologyError, match="cannot be loaded"):
        load_model(path)
    tiny_model("llama").tokenizer.save_pretrained(tmp_path)
    assert load_model(path).tokenizer.tokenize("w1 w2") == ["w1", "w2"]
    with_words = write_gguf(llama, tmp_path / "words.gguf")
    assert load_model(with_words).tokenizer.tokenize("w1 w2") == ["w1", "w2"]


def test_without_the_extra_it_says_how_to_install_it(
    llama: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(llama, tmp_path / "tiny.gguf")
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(BertologyError, match=r"gguf and accelerate.*pip install 'bertology\[gguf"):
        load_model(path)


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    (tmp_path / "wrong.gguf").write_bytes(b"not weights")
    with pytest.raises(BertologyError, match=r"wrong.gguf' cannot be loaded"):
        load_model(tmp_path / "wrong.gguf")
    with pytest.raises(BertologyError, match="no model folder"):
        load_model(tmp_path / "missing.gguf")
