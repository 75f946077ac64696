"""Heads and layers taken out of the weights of a transformer.

A checkpoint that is exported for people without bertology carries a copy of this file, so it
imports nothing but torch. A plan says what is taken out:

    {"heads": [{"module": NAME, "stack", "kind", "layer", "heads": [1, 3]}, …],
     "layers": [{"module": NAME OF THE LIST OF BLOCKS, "stack", "layers": [4]}, …],
     "original": {fields of the configuration before, where they differ}}

Names are those within the body of the model (`base_model`), so that a plan holds under any task
head; heads and layers are counted as they were before anything was taken out.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: The entry of a configuration that holds the plan.
KEY = "bertology_pruning"


@dataclass(frozen=True)
class Attention:
    """The weights of one attention module of which heads can be taken out."""

    module: Any
    query: Any
    key: Any
    value: Any
    """Linear maps; all three are the same where one map computes them together (GPT-2)."""
    output: Any
    """W_O."""
    width: int
    """Of a head."""
    counts: str | None
    """The attribute in which the module keeps its number of heads."""

    @property
    def is_fused(self) -> bool:
        return self.query is self.value

    @property
    def heads(self) -> int:
        size = self.output.weight.shape[0 if self.is_fused else 1]
        return int(size) // self.width

    @property
    def groups(self) -> int:
        """How many keys and values there are: fewer than heads where heads share them (Llama)."""
        return self.heads if self.is_fused else int(self.key.weight.shape[0]) // self.width


#: Attributes of attention modules: query, key, value, output, width of a head, number of heads.
_LAYOUTS = (
    # ALBERT; BERT and its kin, whose output map is in the module beside.
    ("query", "key", "value", "dense", "attention_head_size", "num_attention_heads"),
    ("query", "key", "value", "../output.dense", "attention_head_size", "num_attention_heads"),
    # DistilBERT
    ("q_lin", "k_lin", "v_lin", "out_lin", "attention_head_size", "n_heads"),
    # Llama and its kin; BART and its kin
    ("q_proj", "k_proj", "v_proj", "o_proj", "head_dim", "num_heads"),
    ("q_proj", "k_proj", "v_proj", "out_proj", "head_dim", "num_heads"),
    # T5
    ("q", "k", "v", "o", "key_value_proj_dim", "n_heads"),
    # GPT-2
    ("c_attn", "c_attn", "c_attn", "c_proj", "head_dim", "num_heads"),
)  # fmt: skip


def find_attention(body: Any) -> dict[str, Attention]:
    """The attention modules of which heads can be taken out, by name, in order."""
    found = {}
    for name, module in body.named_modules():
        for *maps, width, counts in _LAYOUTS:
            parts = [_part(body, name, module, place) for place in maps]
            if None not in parts and isinstance(getattr(module, width, None), int):
                there = counts if hasattr(module, counts) else None
                query, key, value, output = parts
                size = getattr(module, width)
                one = Attention(module, query, key, value, output, size, there)
                if _is_whole(one):
                    found[name] = one
                    break
    return found


def shrink(model: Any, plan: dict[str, Any]) -> None:
    """Take heads and layers out of a model, in place, as a plan says.

    The numbers in the weights do not matter; a model without any (on `meta`) is shrunk as well.

    Raises:
        ValueError: the model has not what the plan names.
    """
    body = model.base_model
    found = find_attention(body)
    stacks = {name.partition(".")[0] for name, _ in body.named_modules()}
    # A part of the model may have been loaded: the encoder of T5 alone.
    heads = [one for one in plan["heads"] if one["module"].partition(".")[0] in stacks]
    layers = [one for one in plan["layers"] if one["module"].partition(".")[0] in stacks]
    if missing := [one["module"] for one in heads if one["module"] not in found]:
        raise ValueError(f"no heads can be taken out of {missing[0]} in {type(model).__name__}")
    _own_position_bias(found, [one["module"] for one in (*heads, *layers)])
    for one in heads:
        _take_heads(found[one["module"]], one["heads"])
    for one in layers:
        _take_layers(model.config, body, one["module"], one["layers"])
    setattr(model.config, KEY, plan)


def pruned_class(base: type) -> type:
    """A class of models that is built like `base` and then shrunk by the plan in its config."""

    def build(self: Any, config: Any, *arguments: Any, **named: Any) -> None:
        plan = getattr(config, KEY)
        for field, value in plan["original"].items():
            setattr(config, field, value)
        base.__init__(self, config, *arguments, **named)  # type: ignore[misc]
        shrink(self, plan)

    # transformers looks into the module of the class for how it attends.
    return type(base.__name__, (base,), {"__init__": build, "__module__": base.__module__})


def _part(body: Any, name: str, module: Any, place: str) -> Any:
    """The linear map at a place, relative to a module; None where there is none."""
    if place.startswith("../"):
        if "." not in name:
            return None
        module, place = body.get_submodule(name.rpartition(".")[0]), place.removeprefix("../")
    for step in place.split("."):
        module = getattr(module, step, None)
    return module if isinstance(getattr(module, "weight", None), Tensor) else None


def _is_whole(one: Attention) -> bool:
    """Whether the shapes are those of heads side by side, each with its query, key and value."""
    hidden = one.heads * one.width
    if one.is_fused:
        return tuple(one.query.weight.shape)[1:] == (3 * hidden,)
    queries, keys, values = (int(m.weight.shape[0]) for m in (one.query, one.key, one.value))
    return queries == hidden and keys == values and keys % one.width == 0


def _take_heads(one: Attention, heads: list[int]) -> None:
    kept = [head for head in range(one.heads) if head not in heads]
    if one.is_fused:
        _take_fused(one, kept)
    else:
        _take_separate(one, kept)
    if one.counts is not None:
        setattr(one.module, one.counts, len(kept))


def _take_separate(one: Attention, kept: list[int]) -> None:
    """One map each for query, key and value; heads may share keys and values in groups.

    The heads of the model that results share keys and values in groups of equal size: the
    greatest that divides the heads kept of every group. A group that keeps several times as many
    gets its keys and values several times; one that keeps none loses them.
    """
    heads, groups, module = one.heads, one.groups, one.module
    share = heads // groups
    of_group = [sum(head // share == group for head in kept) for group in range(groups)]
    size = math.gcd(*of_group) or 1
    keys = [group for group, count in enumerate(of_group) for _ in range(count // size)]
    _keep_rows(one.query, heads, kept)
    _keep_rows(one.key, groups, keys)
    _keep_rows(one.value, groups, keys)
    _keep(one.output, "weight", 1, heads, kept)
    one.output.in_features = one.output.weight.shape[1]
    for name, value in (("all_head_size", len(kept) * one.width),
                        ("inner_dim", len(kept) * one.width), ("num_key_value_groups", size),
                        ("num_key_value_heads", len(keys))):  # fmt: skip
        if hasattr(module, name):
            setattr(module, name, value)
    if (bias := getattr(module, "relative_attention_bias", None)) is not None:
        _keep(bias, "weight", 1, heads, kept)
        bias.embedding_dim = len(kept)


def _take_fused(one: Attention, kept: list[int]) -> None:
    """GPT-2: query, key and value lie side by side in one map that keeps (in, out)."""
    if not kept:
        raise ValueError(
            f"{type(one.module).__name__} cannot run without any head; keep one, or take the whole "
            "layer out"
        )
    heads = one.heads
    every = [part * heads + head for part in range(3) for head in kept]
    _keep(one.query, "weight", 1, 3 * heads, every)
    _keep(one.query, "bias", 0, 3 * heads, every)
    one.query.nf = one.query.weight.shape[1]
    _keep(one.output, "weight", 0, heads, kept)
    one.output.nx = one.output.weight.shape[0]
    one.module.split_size = len(kept) * one.width


def _keep_rows(linear: Any, heads: int, kept: list[int]) -> None:
    _keep(linear, "weight", 0, heads, kept)
    _keep(linear, "bias", 0, heads, kept)
    linear.out_features = linear.weight.shape[0]


def _keep(module: Any, name: str, axis: int, heads: int, kept: list[int]) -> None:
    """Keep some of the equal parts of a parameter along an axis."""
    old = getattr(module, name, None)
    if old is None:
        return
    parts = old.detach().movedim(axis, 0).unflatten(0, (heads, -1))
    new = parts[kept].flatten(0, 1).movedim(0, axis).contiguous()
    setattr(module, name, torch.nn.Parameter(new, requires_grad=old.requires_grad))


def _own_position_bias(found: dict[str, Attention], touched: list[str]) -> None:
    """T5 computes the bias of positions in its first layer, one column a head, for all layers.

    In a stack that something is taken out of, each layer gets the columns of its own heads.
    """
    shared: dict[str, Any] = {}
    for name, one in found.items():
        stack, _, place = name.rpartition(".block.")
        if not hasattr(one.module, "has_relative_attention_bias") or not any(
            other.startswith(f"{stack}.block") for other in touched
        ):
            continue
        one.module.register_forward_pre_hook(_drop_shared_bias, with_kwargs=True)
        if "EncDecAttention" in place:
            continue
        if one.module.has_relative_attention_bias:
            shared[stack] = one.module.relative_attention_bias
            continue
        weight = shared[stack].weight
        buckets, heads = weight.shape
        own = torch.nn.Embedding(buckets, heads, device=weight.device, dtype=weight.dtype)
        own.weight = torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
        one.module.relative_attention_bias = own
        one.module.has_relative_attention_bias = True


def _drop_shared_bias(
    module: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return arguments, {**named, "position_bias": None}


def _take_layers(config: Any, body: Any, name: str, layers: list[int]) -> None:
    path, _, last = name.rpartition(".")
    owner = body.get_submodule(path)
    blocks = getattr(owner, last)
    kept = [layer for layer in range(len(blocks)) if layer not in layers]
    setattr(owner, last, torch.nn.ModuleList(blocks[layer] for layer in kept))
    for layer, block in enumerate(getattr(owner, last)):
        for part in block.modules():
            # The place of the block in a cache of keys and values.
            if isinstance(getattr(part, "layer_idx", None), int):
                part.layer_idx = layer
    count_layers(config, name, len(blocks), kept)
    if getattr(owner, "config", config) is not config:
        count_layers(owner.config, "", len(blocks), kept)


def count_layers(config: Any, name: str, before: int, kept: list[int]) -> None:
    """Write the number of layers, and lists with an entry for each, into a configuration.

    Args:
        name: of the list of blocks, which says the stack where there are two.
    """
    stack = name.partition(".")[0] if getattr(config, "is_encoder_decoder", False) else ""
    fields = {
        "encoder": ("encoder_layers", "num_hidden_layers"),
        "decoder": ("decoder_layers", "num_decoder_layers"),
    }.get(stack, ("num_hidden_layers",))
    for field in fields:
        if getattr(config, field, None) is not None:
            setattr(config, field, len(kept))
    for field in ("layer_types", "mlp_layer_types", "no_rope_layers"):
        listed = getattr(config, field, None)
        if isinstance(listed, list) and len(listed) == before and stack != "encoder":
            setattr(config, field, [listed[layer] for layer in kept])
