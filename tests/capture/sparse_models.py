"""Tiny models whose attention is not one softmax over all keys, and an oracle for them."""

from dataclasses import dataclass

import torch
import transformers

from bertology.capture import Hook, hooked

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48}  # fmt: skip
TWO_STACKS = {"vocab_size": 60, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1,
              "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
              "decoder_ffn_dim": 48, "pad_token_id": 0, "decoder_start_token_id": 2}  # fmt: skip
REFORMER = {"vocab_size": 60, "hidden_size": 32, "num_attention_heads": 4, "attention_head_size": 8,
            "feed_forward_size": 48, "lsh_attn_chunk_length": 4, "local_attn_chunk_length": 4,
            "num_buckets": 4, "num_hashes": 3, "hash_seed": 1, "axial_pos_embds": False,
            "max_position_embeddings": 64, "pad_token_id": 0, "use_cache": False,
            "is_decoder": False}  # fmt: skip
LONGT5 = {"vocab_size": 60, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2,
          "num_decoder_layers": 1, "num_heads": 4, "local_radius": 3, "pad_token_id": 0,
          "decoder_start_token_id": 0}  # fmt: skip
BIG_BIRD = {"attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1}


@dataclass(frozen=True)
class Kind:
    """How to build a model, and where its attention is.

    Attributes:
        part: the class of the adapted module; `values` are its value projections.
        projection: the submodule that reads head outputs; None if the module returns them.
        out: the output projection, from the module's name.
    """

    config: object
    part: str
    values: tuple[str, ...]
    projection: str | None
    out: str
    lengths: tuple[int, ...]
    is_global: bool = False
    token_first: bool = False

    def model(self, **changes):
        torch.manual_seed(0)
        config = self.config(**changes)
        if isinstance(config, transformers.ReformerConfig) and config.is_decoder:
            module = transformers.ReformerModelWithLMHead(config)
        else:
            module = transformers.AutoModel.from_config(config)
        for parameter in module.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.35)
        return module.eval()

    def parts(self, module):
        found = [name for name, one in module.named_modules() if type(one).__name__ == self.part]
        return [name for name in found if getattr(module.get_submodule(name), "local", True)]

    def inputs(self, module, lengths=None):
        """A right-padded batch of these lengths; the same text for the same place."""
        lengths = lengths or self.lengths
        generator = torch.Generator().manual_seed(3)
        ids = torch.randint(5, 60, (len(self.lengths), max(self.lengths)), generator=generator)
        width = max(lengths)
        mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
        ids = ids[: len(lengths), :width] * mask
        named = {"input_ids": ids, "attention_mask": mask}
        if self.is_global:
            named["global_attention_mask"] = torch.zeros_like(mask)
            named["global_attention_mask"][0, [0, 3]] = 1
            if len(lengths) > 1:
                named["global_attention_mask"][1, 2] = 1
        if module.config.is_encoder_decoder:
            named["decoder_input_ids"] = torch.tensor([[2, 7, 9]]).expand(len(lengths), 3)
        return named


def _of(kind, **fixed):
    return lambda **changes: getattr(transformers, kind + "Config")(**{**fixed, **changes})


_LONG = Kind(
    _of("Longformer", attention_window=4, max_position_embeddings=80, pad_token_id=0, **SIZES),
    "LongformerSelfAttention", ("value", "value_global"), None, "../output.dense", (11, 7, 5),
    token_first=True,
)  # fmt: skip
_LED = Kind(
    _of("LED", attention_window=4, max_encoder_position_embeddings=80,
        max_decoder_position_embeddings=40, **TWO_STACKS),
    "LEDEncoderSelfAttention", ("value", "value_global"), None, "../output", (11, 7, 5),
    token_first=True,
)  # fmt: skip
_LOCAL = ("LocalSelfAttention", ("value",), None, "../output.dense", (14, 9, 5))
_HASHED = ("LSHSelfAttention", ("value",), None, "../output.dense", (14, 9, 5))


def _with_global(kind):
    return Kind(**{**vars(kind), "is_global": True})


def _bird(part, out, config, lengths):
    return Kind(config, part, ("self.value",), "output", out, lengths)


_BIRD = _of("BigBird", max_position_embeddings=120, pad_token_id=0, **BIG_BIRD, **SIZES)
_PEGASUS = _of("BigBirdPegasus", max_position_embeddings=80, **BIG_BIRD, **TWO_STACKS)
_LOCAL_T5, _GLOBAL_T5 = (
    _of("LongT5", encoder_attention_type=kind, global_block_size=3, **LONGT5)
    for kind in ("local", "transient-global")
)
_CANINE = {key: value for key, value in SIZES.items() if key != "vocab_size"}

KINDS = {
    "longformer": _LONG,
    "longformer, global tokens": _with_global(_LONG),
    "led": _LED,
    "led, global tokens": _with_global(_LED),
    "reformer, local": Kind(_of("Reformer", attn_layers=["local"] * 2, **REFORMER), *_LOCAL),
    "reformer, local, causal": Kind(
        _of("Reformer", attn_layers=["local"] * 2, **{**REFORMER, "is_decoder": True}), *_LOCAL
    ),
    "reformer, hashed": Kind(_of("Reformer", attn_layers=["lsh"] * 2, **REFORMER), *_HASHED),
    "reformer, hashed, causal": Kind(
        _of("Reformer", attn_layers=["lsh"] * 2, **{**REFORMER, "is_decoder": True}), *_HASHED
    ),
    "big bird": _bird("BigBirdAttention", "output.dense", _BIRD, (38, 33, 21)),
    "big bird, short": _bird("BigBirdAttention", "output.dense", _BIRD, (11, 7, 5)),
    "pegasus": _bird("BigBirdPegasusEncoderAttention", "output", _PEGASUS, (38, 33, 21)),
    "longt5": Kind(_LOCAL_T5, "LongT5LocalAttention", ("v",), "o", "o", (15, 9, 5)),
    "longt5, summaries": Kind(
        _GLOBAL_T5, "LongT5TransientGlobalAttention", ("v",), "o", "o", (15, 9, 5)
    ),
    "canine": Kind(
        _of("Canine", num_hash_buckets=64, local_transformer_stride=8, **_CANINE),
        "CanineAttention", ("self.value",), "output", "output.dense", (20, 13, 5),
    ),
}  # fmt: skip


def attention_by_one_hot_values(kind, module, name, inputs, heads=4):
    """What a module weighs: its own forward pass over one-hot values, a few keys at a time.

    Returns (batch, head, token, key) over all tokens the module reads, its own padding included;
    extra keys, whose values are projected in a second call, come last.
    """
    part = module.get_submodule(name)
    kept = []
    handle = part.register_forward_pre_hook(
        lambda _, args, named: kept.append((args, named)), with_kwargs=True
    )
    module(**inputs)
    handle.remove()
    arguments, named = kept[0]
    counts, outputs, columns = [], [], []
    state = {"start": 0, "key": 0}

    def one_hot(_, args, states):
        """Values that are 1 in the width that stands for their key."""
        tokens, batch = (0, 1) if kind.token_first else (1, 0)
        count, width = states.shape[tokens], states.shape[2] // heads
        keys = torch.arange(count) + state["key"]
        values = (keys[:, None] == state["start"] + torch.arange(width)).float().repeat(1, heads)
        # The second projection of Longformer stands for the same keys, that of others for more.
        if not kind.token_first:
            state["key"] += count
        counts.append(count)
        return values.unsqueeze(batch).expand_as(states).contiguous()

    handles = [part.get_submodule(v).register_forward_hook(one_hot) for v in kind.values]
    if kind.projection is not None:
        read = part.get_submodule(kind.projection)
        handles.append(read.register_forward_pre_hook(lambda _, args: outputs.append(args[0])))
    keys = 1
    while state["start"] < keys:
        state["key"] = 0
        counts.clear(), outputs.clear()
        returned = part(*arguments, **named)
        output = outputs[0] if outputs else returned[0]
        keys = counts[0] if kind.token_first else sum(counts)
        columns.append(output.unflatten(-1, (heads, -1)).transpose(1, 2))
        state["start"] += columns[-1].shape[-1]
    for handle in handles:
        handle.remove()
    return torch.cat(columns, dim=-1)[..., :keys]


def run(module, inputs, *hooks):
    with torch.no_grad(), hooked(module, *hooks):
        return module(**inputs)[0]


def events_of(module, inputs, **options):
    kept = {}
    run(module, inputs, Hook(observe=lambda e: kept.__setitem__(e.site.module, e), **options))
    return kept


def valid_of(module, inputs):
    """Rows of the model's first output that are no padding."""
    if module.config.is_encoder_decoder:
        return torch.ones(inputs["decoder_input_ids"].shape, dtype=torch.bool)
    return inputs["attention_mask"].bool()


def trace(module):
    """Everything that a session could leave behind."""
    state = []
    for name, part in module.named_modules():
        hooks = [len(getattr(part, kind)) for kind in ("_forward_hooks", "_forward_pre_hooks")]
        plain = sorted(key for key in vars(part))
        kept = [getattr(part, key, None) for key in ("attention_type", "num_buckets")]
        state.append((name, id(part), hooks, plain, str(kept), part.training))
    return state, module.config.to_dict()
