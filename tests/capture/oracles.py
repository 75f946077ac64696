"""What attention is, computed without any code of `bertology.capture`."""

from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import torch
import transformers
from torch import Tensor

from bertology.capture import Site
from bertology.models import first_position

from .family import Family


def build(family: Family, kernel: str | None = None) -> torch.nn.Module:
    """A random model of a family, its weights enlarged so that attention is far from even.

    The same weights each time; `kernel` names an attention implementation of transformers.
    """
    config = getattr(transformers, family.config)(**family.options)
    for name, value in family.attributes.items():
        setattr(config, name, value)
    named = {} if kernel is None else {"attn_implementation": kernel}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = transformers.AutoModel.from_config(config, **named).eval()
        for parameter in module.parameters():
            if parameter.dim() > 1 and parameter.requires_grad:  # tables of sines stay
                torch.nn.init.normal_(parameter, std=0.35)
    for part in module.modules():
        if isinstance(part, torch.nn.Embedding) and part.padding_idx is not None:
            part.weight.data[part.padding_idx] = 0  # as training leaves it
    return module


def padded(
    family: Family, module: torch.nn.Module, side: str = "right", only: int | None = None
) -> dict[str, Tensor]:
    """What the model reads: three examples, or `only` one of them, without padding then."""
    generator = torch.Generator().manual_seed(1)
    rows = slice(None) if only is None else slice(only, only + 1)
    if family.reads == "image":
        images = torch.randn(3, 3, 8, 8, generator=generator)
        return {"pixel_values": images[rows]}
    inputs = {}
    if family.reads == "speech":
        inputs["input_features"] = torch.randn(3, 8, 20, generator=generator)[rows]
    else:
        inputs |= _text(family.lengths, generator, side, only)
        if side == "left" and "position_ids" in signature(module.forward).parameters:
            mask = inputs["attention_mask"]
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0) + first_position(module)
    if family.globals:
        inputs["global_attention_mask"] = torch.zeros_like(inputs["attention_mask"])
        first = 0 if side == "right" else inputs["attention_mask"].argmax(1)
        inputs["global_attention_mask"][torch.arange(len(inputs["input_ids"])), first] = 1
    if family.reads in ("two texts", "speech"):
        target = _text((5, 3, 2), generator, "right", only)
        inputs |= {f"decoder_{name}": tensor for name, tensor in target.items()}
    return inputs


def _text(
    lengths: tuple[int, ...], generator: torch.Generator, side: str, only: int | None
) -> dict[str, Tensor]:
    texts = [torch.randint(3, 60, (length,), generator=generator) for length in lengths]
    if only is not None:
        texts = texts[only : only + 1]
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        place = slice(width - len(text), width) if side == "left" else slice(0, len(text))
        ids[row, place], mask[row, place] = text, 1
    return {"input_ids": ids, "attention_mask": mask}


def maps(
    family: Family, inputs: dict[str, Tensor], sites: tuple[Site, ...], dtype: torch.dtype
) -> dict[Site, Tensor]:
    """The attention at every site, by the oracle that is right for the family."""
    module = build(family, "eager").to(dtype)
    if family.values:
        return {site: _by_one_hot_values(family, module, inputs, site) for site in sites}
    with torch.no_grad():
        own = module(**inputs, output_attentions=True)
    if "encoder_attentions" not in own:
        return dict(zip(sites, own.attentions, strict=True))
    found = {}
    for stack, kind, given in (
        ("encoder", "self", own.encoder_attentions),
        ("decoder", "self", own.decoder_attentions),
        ("decoder", "cross", own.cross_attentions),
    ):
        here = [site for site in sites if (site.stack, site.kind) == (stack, kind)]
        found |= dict(zip(here, given, strict=True))
    return found


def _by_one_hot_values(
    family: Family, module: Any, inputs: dict[str, Tensor], site: Site
) -> Tensor:
    """(text, head, query, key): what the output projection reads when values are one-hot.

    A head of width w tells the columns of w keys in one pass. A projection that is called more
    than once has the keys of its calls one after the other; those of a memory come first.
    """
    values = parts(module, site.module, family.values)
    (projection, *_) = parts(module, site.module, family.projection)
    columns: list[Tensor] = []
    probe = _Probe(site.heads, len(next(iter(inputs.values()))))
    while not columns or probe.first < sum(probe.sizes):
        probe.first, probe.seen = sum(part.shape[-1] for part in columns), {}
        hooks = [part.register_forward_hook(probe.replace) for part in values]
        hooks.append(projection.register_forward_pre_hook(probe.keep))
        with torch.no_grad():
            module(**inputs)
        for hook in hooks:
            hook.remove()
        columns.append(probe.read.unflatten(-1, (site.heads, -1)).transpose(1, 2))
        probe.first += columns[-1].shape[-1]
    own, later = probe.sizes[0], sum(probe.sizes[1:])
    dense = torch.cat(columns, dim=-1)[..., : own + later]
    return dense.roll(later, dims=-1) if site.memory else dense


@dataclass
class _Probe:
    """Puts one-hot values in the place of a module's own, for as many keys as a head is wide."""

    heads: int
    texts: int
    first: int = 0
    """The first of these keys."""
    seen: dict[int, list[int]] = field(default_factory=dict)
    """How many keys each call of each projection of values had."""
    read: Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def sizes(self) -> list[int]:
        return max(self.seen.values(), key=sum)

    def replace(self, part: Any, _: Any, output: Tensor) -> Tensor:
        before = self.seen.setdefault(id(part), [])
        # SqueezeBERT projects (text, channel, token), Longformer (token, text, channel).
        if isinstance(part, torch.nn.Conv1d):
            axes = 1, 2
        else:
            axes = (0, 0) if output.shape[0] == self.texts else (0, 1)
        probe = torch.zeros_like(output.transpose(*axes)).unflatten(-1, (self.heads, -1))
        for channel in range(probe.shape[-1]):
            place = self.first + channel - sum(before)
            if 0 <= place < probe.shape[1]:
                probe[:, place, :, channel] = 1
        before.append(probe.shape[1])
        return probe.flatten(2).transpose(*axes).contiguous()

    def keep(self, part: Any, given: tuple[Tensor, ...]) -> None:
        self.read = given[0].mT if isinstance(part, torch.nn.Conv1d) else given[0]


def parts(module: Any, site: str, paths: str) -> list[Any]:
    """The submodules that paths from the module of a site lead to; `../` goes up."""
    found = []
    for path in paths.split("|"):
        base = site.split(".")
        while path.startswith("../"):
            base, path = base[:-1], path[3:]
        part = module.get_submodule(".".join(base))
        for name in path.split("."):
            part = getattr(part, name, None)
        if part is not None:
            found.append(part)
    return found
