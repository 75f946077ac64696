"""Capturing what a model computes on a few texts, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..corpora import Encoding, Sentence, encode
from ..corpora.align import misfit
from ..corpora.text import text_to_sentence
from ..errors import CaptureError
from .batch import Batch
from .hidden import hidden_states as collecting_hidden_states
from .hooked import hooked
from .session import Event, Hook
from .stream import stream

QUANTITIES = ("attention", "head_output", "hidden_states")


@dataclass(frozen=True, repr=False)
class Captured:
    """What was asked for on one text; the rest is None. Padding is never part of it."""

    encoding: Encoding
    layers: tuple[int, ...]
    """The layers that axis 0 of `attention` and `head_output` stands for."""
    attention: np.ndarray | None = None
    """(layer, head, query, key); rows sum to 1 over `key`."""
    head_output: np.ndarray | None = None
    """(layer, token, head, width), before the output projection."""
    hidden_states: np.ndarray | None = None
    """(layers + 1, token, hidden); 0 is the embeddings, k+1 the output of block k."""

    @property
    def tokens(self) -> tuple[str, ...]:
        return self.encoding.tokens

    def __repr__(self) -> str:
        kept = ", ".join(
            f"{name} {getattr(self, name).shape}"
            for name in QUANTITIES
            if getattr(self, name) is not None
        )
        return f"Captured({self.encoding.sentence.text[:40]!r}, {len(self.tokens)} tokens: {kept})"


def capture(
    model: Any,
    texts: str | Sentence | Sequence[str | Sentence],
    what: Sequence[str] = ("attention",),
    *,
    layers: Sequence[int] | None = None,
) -> list[Captured]:
    """Capture attention, head outputs or hidden states of each text.

    Args:
        model: what `load_model` returns.
        what: any of `attention`, `head_output`, `hidden_states`.
        layers: layers to keep attention and head outputs of (default: all).

    Raises:
        CaptureError: an unknown quantity or layer, a text that does not fit the model, or a
            model whose attention cannot be captured.
    """
    if unknown := set(what) - set(QUANTITIES):
        raise CaptureError(f"Cannot capture {sorted(unknown)}; choose from {QUANTITIES}.")
    given = [texts] if isinstance(texts, str | Sentence) else texts
    if not isinstance(given, Sequence) or not all(isinstance(t, str | Sentence) for t in given):
        raise CaptureError(f"capture takes a text, a sentence, or a list of them; got {texts!r}.")
    encodings = [_encoded(text, model) for text in given]
    with hooked(model.module) as sites:
        chosen = tuple(range(len(sites))) if layers is None else tuple(layers)

    def run(batch: Batch) -> list[Captured]:
        return _capture_batch(model, batch, what, chosen)

    return stream(model, encodings, run, description="capturing")


def _encoded(text: str | Sentence, model: Any) -> Encoding:
    sentence = text_to_sentence(text, id=text[:40]) if isinstance(text, str) else text
    encoding = encode(sentence, model.tokenizer)
    if reason := misfit(encoding, model.max_tokens):
        raise CaptureError(f"The text {sentence.id!r} cannot be captured: {reason}.")
    return encoding


def _capture_batch(
    model: Any, batch: Batch, what: Sequence[str], layers: tuple[int, ...]
) -> list[Captured]:
    kept: dict[str, dict[int, np.ndarray]] = {"attention": {}, "head_output": {}}

    def observe(event: Event) -> None:
        if "attention" in what:
            kept["attention"][event.site.layer] = event.attention.float().cpu().numpy()
        if "head_output" in what:
            kept["head_output"][event.site.layer] = event.head_output.float().cpu().numpy()

    hooks = []
    if "attention" in what or "head_output" in what:
        hooks = [Hook(observe=observe, attention="attention" in what, layers=frozenset(layers))]
    with (
        torch.no_grad(),
        hooked(model.module, *hooks),
        collecting_hidden_states(model.module) as states,
    ):
        model.module(**batch.inputs)
    hidden = [state.float().cpu().numpy() for state in states]
    return [
        Captured(
            encoding,
            layers,
            _stack([kept["attention"][k][row, :, :n, :n] for k in layers])
            if "attention" in what
            else None,
            _stack([kept["head_output"][k][row, :n] for k in layers])
            if "head_output" in what
            else None,
            _stack([state[row, :n] for state in hidden]) if "hidden_states" in what else None,
        )
        for row, (encoding, n) in enumerate(zip(batch.encodings, batch.lengths, strict=True))
    ]


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    return np.stack(arrays)
