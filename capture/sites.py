"""Where a model computes attention: one site per computation of a forward pass."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..errors import CaptureError
from .interface import Switched, can_switch
from .mode import eval_mode


@dataclass(frozen=True)
class Site:
    """One attention computation of a forward pass."""

    module: str
    """Dotted name of the module that computes it."""
    call: int
    """The n-th call of that module in the forward pass, from 0 (ALBERT shares one module)."""
    stack: str
    kind: str
    layer: int
    heads: int

    def __str__(self) -> str:
        return f"{self.stack} {self.kind} layer {self.layer} ({self.module})"


class _Recorder:
    """Notes which modules compute attention, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def wants_attention(self, module: Any) -> bool:
        return False

    def computed(
        self, module: Any, value: Tensor, visible: Tensor, attention: Tensor | None, output: Tensor
    ) -> Tensor:
        self.calls.append((id(module), output.shape[2]))
        return output


_known: WeakKeyDictionary[Any, tuple[Site, ...]] = WeakKeyDictionary()


def find_sites(module: Any) -> tuple[Site, ...]:
    """The attention sites of a model, in order of computation, found by a dry run.

    Raises:
        CaptureError: the model has no attention, or none that can be reached.
    """
    if module not in _known:
        _known[module] = _dry_run(module)
    return _known[module]


def trial_inputs(module: Any) -> dict[str, Tensor]:
    """A small batch of two lengths, the second row right-padded; ids are fixed, not random."""
    length, device = 6, next(module.parameters()).device
    vocabulary = module.config.get_text_config().vocab_size
    ids = (torch.arange(2 * length, device=device).view(2, length) * 7 + 5) % vocabulary
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    # RoBERTa-like models take positions from where the ids are padding.
    pad = getattr(module.config, "pad_token_id", None)
    if pad is not None:
        ids = torch.where(ids == pad, (ids + 1) % vocabulary, ids)
        ids[1, 4:] = pad
    return {"input_ids": ids, "attention_mask": mask}


def _dry_run(module: Any) -> tuple[Site, ...]:
    name = type(module).__name__
    if getattr(module.config, "is_encoder_decoder", False):
        raise CaptureError(
            f"{name} is an encoder-decoder model; only single-stack models are captured so far. "
            "Give its encoder or its decoder alone."
        )
    if not can_switch(module):
        raise CaptureError(
            f"{name} does not take its attention from transformers' attention interface, the one "
            "way in there is so far, or it has no attention at all. Use a model of a family that "
            "does (BERT, RoBERTa, ALBERT, DistilBERT, ELECTRA, ERNIE, GPT-2, Llama, …)."
        )
    recorder = _Recorder()
    with torch.no_grad(), eval_mode(module), Switched(module, recorder):
        module(**trial_inputs(module))
    if not recorder.calls:
        raise CaptureError(
            f"{name} has no attention: a forward pass computed none. bertology looks at softmax "
            "attention; choose a model that has it."
        )
    names = {id(part): part_name for part_name, part in module.named_modules()}
    calls: Counter[int] = Counter()
    sites = []
    for layer, (part, heads) in enumerate(recorder.calls):
        stack = "decoder" if _is_causal(module, names[part]) else "encoder"
        sites.append(Site(names[part], calls[part], stack, "self", layer, heads))
        calls[part] += 1
    return tuple(sites)


def _is_causal(module: Any, part_name: str) -> bool:
    return bool(getattr(module.get_submodule(part_name), "is_causal", False))
