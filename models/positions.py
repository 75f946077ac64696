"""How many tokens a model can read, and which position the first one has."""

import math
from typing import Any

import torch

_TABLES = (
    "position_embeddings",
    "position_embedding",
    "embed_positions",
    "positions_embed",
    "wpe",
)


def max_positions(module: Any) -> int | None:
    """Number of positions a model can read; None where nothing limits it.

    A table of positions limits it for good. Where positions are computed (rotary, relative,
    sinusoids made as needed), the length that the configuration states is the limit: the model
    would run on more, but was never trained on it. Of an encoder-decoder model, the encoder's.
    """
    # Tables may have rows beyond what is stated: BART and OPT keep two for an offset of their own.
    limits = [limit for limit in (_table_limit(module), _stated(module.config)) if limit]
    if not limits:
        return None
    step = _padded_to(module.config)
    return min(limits) // step * step


def first_position(module: Any) -> int:
    """The position of the first token, as the model takes it in `position_ids`.

    RoBERTa-like models count from padding_idx + 1, and some others from 2: they can read fewer
    tokens than their table has rows.
    """
    found = _position_table(module)
    if found is None:
        return 0
    parent, table = found
    if table.padding_idx is not None:
        return table.padding_idx + 1
    ids = getattr(parent, "position_ids", None)
    if not isinstance(ids, torch.Tensor) or ids.is_meta:
        return 0
    return int(ids.flatten()[0])


def _table_limit(module: Any) -> int | None:
    found = _position_table(module)
    return None if found is None else found[1].weight.shape[0] - first_position(module)


def _position_table(module: Any) -> tuple[Any, Any] | None:
    """The first table of positions and the module that holds it."""
    for name, part in module.named_modules():
        parent, _, own = name.rpartition(".")
        if own in _TABLES and "vision" not in parent and _is_fixed_table(part):
            return module.get_submodule(parent), part
    return None


def _is_fixed_table(part: Any) -> bool:
    weight = getattr(part, "weight", None)
    # FSMT makes its table longer when a text asks for it.
    grows = hasattr(part, "make_weight")
    return isinstance(weight, torch.Tensor) and hasattr(part, "padding_idx") and not grows


def _stated(config: Any) -> int | None:
    """The longest input a configuration states, for models without a table."""
    if getattr(config, "model_type", "") == "reformer":
        axial = math.prod(config.axial_pos_shape) if config.axial_pos_embds else None
        return axial or config.max_position_embeddings
    for name in ("max_position_embeddings", "max_encoder_position_embeddings", "max_seq_len"):
        value = getattr(config, name, None)
        # XLNet says -1 for no limit.
        if isinstance(value, int) and value > 0:
            return value
    # A model of text and images keeps what concerns its text apart.
    text = getattr(config, "text_config", None)
    return None if text is None else _stated(text)


def _padded_to(config: Any) -> int:
    """The number that a model pads its inputs to multiples of, where padding takes positions."""
    kind = getattr(config, "model_type", "")
    if kind == "reformer":
        layers = set(config.attn_layers)
        chunks = {"local": config.local_attn_chunk_length, "lsh": config.lsh_attn_chunk_length}
        return math.lcm(*(length for name, length in chunks.items() if name in layers))
    if kind == "led":
        window = config.attention_window
        return window if isinstance(window, int) else max(window)
    return 1
