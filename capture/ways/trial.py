"""Inputs for a dry run: a small padded batch that any model of a kind can read."""

from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ...errors import CaptureError
from ...models import input_device
from .declare import declared_example
from .hashed import buckets_kept

_LENGTH, _TARGET = 6, 5


@dataclass(frozen=True)
class Trial:
    """What a dry run calls the module with, and which rows of it are no padding."""

    arguments: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict)
    rows: Tensor | None = None
    """(batch, token), True for tokens of the first input; None if every row counts."""

    def run(self, module: Any) -> Tensor:
        """The first tensor the module returns: logits or the last hidden state."""
        devices = {one.device for one in module.parameters() if one.device.type == "cuda"}
        with torch.random.fork_rng(list(devices)), buckets_kept(module):
            # Reformer draws its hashes anew in each pass: all trials draw the same.
            torch.manual_seed(0)
            return first_tensor(module(*self.arguments, **self.named))

    def first_run(self, module: Any) -> Tensor:
        """Like `run`, where it is not known yet whether the module reads such inputs.

        Raises:
            CaptureError: it does not.
        """
        try:
            return self.run(module)
        except (AttributeError, LookupError, NotImplementedError, TypeError, ValueError) as error:
            raise CaptureError(
                f"{type(module).__name__} cannot read the inputs that its attention is looked for "
                f"with ({', '.join(self.named) or 'your example'}): {type(error).__name__}: "
                f"{error} Open the block on a part (its text model, say), or say what it reads: "
                "declare(module, 'name.of.the.attention.module', example=(…))."
            ) from error


def trial_of(module: Any) -> Trial:
    """The example a user declared, or a batch made up from the configuration.

    Raises:
        CaptureError: the module has no configuration, and nothing was declared.
    """
    if (example := declared_example(module)) is not None:
        return Trial(example.arguments, example.named)
    if not hasattr(module, "config") or not hasattr(module, "main_input_name"):
        raise CaptureError(
            f"{type(module).__name__} is no model of transformers, so nothing is known of its "
            "inputs. Say where its attention is and give an example: declare(module, "
            "'name.of.the.attention.module', example=(…))."
        )
    named = getattr(_Inputs, module.main_input_name, _Inputs.input_ids)(module)
    rows = named.get("attention_mask")
    # A token that sees all others, in one text of the two: both paths of Longformer are proven.
    if rows is not None and "global_attention_mask" in signature(module.forward).parameters:
        named["global_attention_mask"] = torch.zeros_like(named["input_ids"])
        named["global_attention_mask"][1, 0] = 1
    if getattr(module.config, "is_encoder_decoder", False) and hasattr(module, "get_decoder"):
        named["decoder_input_ids"] = _ids(module, _TARGET)
    return Trial((), named, None if rows is None else rows.bool())


class _Inputs:
    """What each kind of model reads, by the name of its main input."""

    @staticmethod
    def input_ids(module: Any) -> dict[str, Tensor]:
        """Two texts, the second right-padded; ids are fixed, not random."""
        length = trial_length(module.config)
        ids = _ids(module, length)
        mask = torch.ones_like(ids)
        mask[1, length * 2 // 3 :] = 0
        # RoBERTa-like models take positions from where the ids are padding.
        pad = getattr(module.config, "pad_token_id", None)
        if pad is not None:
            ids[mask == 0] = pad
        return {"input_ids": ids, "attention_mask": mask}

    @staticmethod
    def pixel_values(module: Any) -> dict[str, Tensor]:
        config = module.config
        size = config.image_size
        sides = size if isinstance(size, list | tuple) else (size, size)
        return {"pixel_values": _waves(module, 2, config.num_channels, *sides)}

    @staticmethod
    def input_features(module: Any) -> dict[str, Tensor]:
        config = module.config
        frames = 2 * config.max_source_positions
        return {"input_features": _waves(module, 2, config.num_mel_bins, frames)}


def trial_length(config: Any) -> int:
    """Long enough that sparse attention is sparse, and no multiple of its blocks."""
    if getattr(config, "attention_type", "") == "block_sparse":
        block = config.block_size
        return block * (2 * config.num_random_blocks + 6) - block // 2
    if window := getattr(config, "attention_window", None):
        longest = max(window if isinstance(window, list | tuple) else [window])
        return longest + longest // 4 + 1
    if hasattr(config, "lsh_attn_chunk_length"):
        chunks = [getattr(config, f"{kind}_attn_chunk_length") for kind in config.attn_layers]
        return min(3 * max(chunks) - 1, config.max_position_embeddings)
    if radius := getattr(config, "local_radius", None):
        return 5 * (radius + 1) // 2 + 1
    if stride := getattr(config, "local_transformer_stride", None):
        # CANINE has as many positions as buckets of characters.
        return min(stride + stride // 2, config.num_hash_buckets)
    return _LENGTH


def _ids(module: Any, length: int) -> Tensor:
    config, device = module.config.get_text_config(), input_device(module)
    vocabulary = getattr(config, "vocab_size", None) or 1_000
    ids = (torch.arange(2 * length, device=device).view(2, length) * 7 + 5) % vocabulary
    pad = getattr(module.config, "pad_token_id", None)
    return ids if pad is None else torch.where(ids == pad, (ids + 1) % vocabulary, ids)


def _waves(module: Any, *shape: int) -> Tensor:
    """Numbers between -1 and 1 without any pattern a model could share."""
    parameter = next(module.parameters())
    count = torch.Size(shape).numel()
    values = (torch.arange(count, device=input_device(module)) * 0.7).sin()
    return values.view(shape).to(parameter.dtype)


def first_tensor(output: Any) -> Tensor:
    """The first tensor in what a module returned."""
    if isinstance(output, Tensor):
        return output
    values = output.values() if isinstance(output, dict) else output
    for value in values:
        if isinstance(value, Tensor):
            return value
    raise CaptureError("The module returns no tensor, so it cannot be shown to be unchanged.")
