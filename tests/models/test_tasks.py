"""What a checkpoint is loaded as."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from bertology import BertologyError, load_model
from bertology.models.tasks import task_of

BERT = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
        "intermediate_size": 48}  # fmt: skip
T5 = {"vocab_size": 60, "d_model": 32, "num_layers": 1, "num_heads": 4, "d_ff": 48, "d_kv": 8,
      "decoder_start_token_id": 0}  # fmt: skip
BART = {"vocab_size": 60, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48, "max_position_embeddings": 40, "pad_token_id": 0,
        "forced_eos_token_id": 2}  # fmt: skip
# The last is the end of text, from which BART classifies.
IDS = torch.tensor([[3, 4, 5, 6, 7, 8, 9, 10, 2]])


def checkpoint(folder: Path, tiny_model: Any, kind: str, config: Any) -> Any:
    torch.manual_seed(0)
    module = getattr(transformers, kind)(config).eval()
    module.save_pretrained(folder)
    tiny_model("bert").tokenizer.save_pretrained(folder)
    return module


@pytest.mark.parametrize(
    ("kind", "config", "task"),
    [
        ("T5ForConditionalGeneration", transformers.T5Config(**T5), "seq2seq-lm"),
        ("BartForConditionalGeneration", transformers.BartConfig(**BART), "seq2seq-lm"),
        ("MarianMTModel", transformers.MarianConfig(**BART), "seq2seq-lm"),
        ("T5Model", transformers.T5Config(**T5), "encoder"),
        ("BartModel", transformers.BartConfig(**BART), "encoder"),
        ("T5EncoderModel", transformers.T5Config(**T5), "encoder"),
        ("BartForSequenceClassification", transformers.BartConfig(**BART), "classification"),
        ("BertForMaskedLM", transformers.BertConfig(**BERT), "masked-lm"),
        ("ElectraForPreTraining", transformers.ElectraConfig(**BERT), "encoder"),
    ],
)
def test_heads_come_along(
    tmp_path: Path, tiny_model: Any, kind: str, config: Any, task: str
) -> None:
    module = checkpoint(tmp_path, tiny_model, kind, config)
    model = load_model(tmp_path)
    assert model.task == task
    given = {"input_ids": IDS}
    if kind in ("T5ForConditionalGeneration", "T5Model", "MarianMTModel"):
        given["decoder_input_ids"] = IDS[:, :4]
    with torch.no_grad():
        found = model.module(**given)[0]
        expected = (module.electra if kind.startswith("Electra") else module)(**given)[0]
    assert torch.equal(found, expected)


def test_an_encoder_decoder_model_without_its_head(tmp_path: Path, tiny_model: Any) -> None:
    module = checkpoint(
        tmp_path, tiny_model, "T5ForConditionalGeneration", transformers.T5Config(**T5)
    )
    model = load_model(tmp_path, task="encoder")
    with torch.no_grad():
        given = {"input_ids": IDS, "decoder_input_ids": IDS[:, :4]}
        hidden = module(**given, output_hidden_states=True).decoder_hidden_states[-1]
        assert torch.equal(model.module(**given)[0], hidden)
    assert model.max_tokens is None
    with pytest.raises(BertologyError, match="cannot be loaded"):
        load_model(tmp_path, task="masked-lm")


@pytest.mark.parametrize(
    ("architecture", "settings", "task"),
    [
        ("GPT2LMHeadModel", {}, "causal-lm"),
        ("XLNetLMHeadModel", {}, "causal-lm"),
        ("XLMWithLMHeadModel", {}, "masked-lm"),
        ("XLMWithLMHeadModel", {"causal": True}, "causal-lm"),
        ("ReformerModelWithLMHead", {"is_decoder": True}, "causal-lm"),
        ("ReformerModelWithLMHead", {}, "masked-lm"),
        ("T5WithLMHeadModel", {"is_encoder_decoder": True}, "seq2seq-lm"),
        ("LlavaForConditionalGeneration", {}, "encoder"),
        ("EncoderDecoderModel", {"is_encoder_decoder": True}, "seq2seq-lm"),
        ("FunnelForPreTraining", {}, "encoder"),
        ("BigBirdForPreTraining", {}, "masked-lm"),
        ("LlamaForCausalLM", {}, "causal-lm"),
        ("SomethingNew", {}, "encoder"),
    ],
)
def test_names_of_architectures(architecture: str, settings: dict[str, Any], task: str) -> None:
    config = transformers.PretrainedConfig(architectures=[architecture], **settings)
    assert task_of(config) == task


def test_without_an_architecture() -> None:
    assert task_of(transformers.PretrainedConfig()) == "encoder"
    assert task_of(transformers.PretrainedConfig(), generates=True) == "causal-lm"
    two = transformers.PretrainedConfig(is_encoder_decoder=True)
    assert task_of(two, generates=True) == "seq2seq-lm"
