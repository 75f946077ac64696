"""Models of every kind that can be pruned, and texts padded on either side."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from bertology.models import LoadedModel

_SMALL = {"vocab_size": 60, "d_model": 32, "pad_token_id": 0, "eos_token_id": 1,
          "decoder_start_token_id": 0}  # fmt: skip


def _two_stacks(family: str) -> Any:
    if family == "t5":
        return transformers.T5Config(
            d_kv=8, d_ff=48, num_layers=3, num_decoder_layers=3, num_heads=4,
            relative_attention_num_buckets=8, **_SMALL,
        )  # fmt: skip
    return transformers.BartConfig(
        encoder_layers=3, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=40, bos_token_id=None,
        forced_eos_token_id=None, **_SMALL,
    )  # fmt: skip


@pytest.fixture(scope="session")
def any_tiny(tiny_model: Callable[..., LoadedModel], tokenizer_of: Any) -> Callable[..., Any]:
    """A tiny model of one stack or of two (t5, bart), with enlarged weights."""

    def make(family: str, task: str = "encoder") -> LoadedModel:
        if family not in ("t5", "bart"):
            return tiny_model(family, task)
        torch.manual_seed(0)
        config = _two_stacks(family)
        module = transformers.AutoModelForSeq2SeqLM.from_config(config)
        for parameter in module.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.35)
        return LoadedModel(f"tiny {family}", module.eval(), tokenizer_of("$A"), "seq2seq-lm")

    return make


@pytest.fixture(scope="session")
def padded() -> Callable[..., dict[str, torch.Tensor]]:
    """Three texts of 9, 5 and 2 tokens with padding on a side; `rows` are the real tokens."""

    def make(model: LoadedModel, side: str) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(3)
        ids = torch.randint(8, 60, (3, 9), generator=generator)
        mask = torch.ones_like(ids)
        for row, length in enumerate((9, 5, 2)):
            mask[row, length:] = 0
        if side == "left":
            mask = mask.flip(1)
        inputs = {"input_ids": ids.where(mask.bool(), 0), "attention_mask": mask}
        if model.config.is_encoder_decoder:
            inputs["decoder_input_ids"] = torch.randint(8, 60, (3, 4), generator=generator)
        return inputs

    return make
