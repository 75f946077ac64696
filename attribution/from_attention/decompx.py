"""DecompX: the logit taken apart into a vector for each token, through the whole encoder.

Modarressi et al. 2023 (arXiv 2306.02873). Nothing is left over: biases are shared out, a
nonlinearity is its slope act(z)/z, and the contributions sum to the target.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ...errors import AttributionError
from ..goals import Goal
from ..running import stream_with
from .blocks import find_encoder
from .layers import HeadCall, Layer, read_layers, row_blocks
from .linear import bias_of, normalised, share_bias, slope, without_bias

#: Contributions that miss the target by more than this share show that the model computes
#: something after its last block that is not taken apart.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Decomposition:
    """A text taken apart."""

    contributions: np.ndarray
    """(token,) signed; they sum to the target."""
    norms: np.ndarray
    """(layer, query, key): ‖x_i←j‖, of what each state holds of each token after each block."""
    errors: np.ndarray
    """(layer,) the largest difference of Σ_j x_i←j from the state, over the largest state."""


def decompx(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> list[np.ndarray]:
    """What each token contributes to the target; the sum is the target. Draws nothing."""
    return [own.contributions for own in decompositions(model, encodings, goals)]


def decompositions(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal]
) -> list[Decomposition]:
    """One forward pass per text, whose states (token, token, hidden) go through each block.

    For encoders whose norms follow each addition, with their pooler, classifier or head over
    the vocabulary.

    Raises:
        AttributionError: the target is not read from one row or from the mean of the states, or
            the contributions do not sum to it.
        CaptureError: the model is no such encoder.
    """
    for goal in goals:
        if goal.function is not None or goal.quantity != "logit":
            what = "function" if goal.function is not None else goal.quantity
            raise AttributionError(
                f"The target is a {what} ({goal.name}); DecompX takes apart a logit, a difference "
                "of logits or an embedding, and nothing that is made of them."
            )
        if goal.reference is None and np.count_nonzero(goal.rows) != 1:
            raise AttributionError(
                f"The {goal.kind} {goal.name} is read from several rows of the last state by a "
                "head that is not known; DecompX needs a head that reads one row, as of [CLS]."
            )
    encoder = find_encoder(model.module)

    def run(batch: Batch, own: list[Goal]) -> list[Decomposition]:
        texts = [_Text() for _ in own]
        calls = read_layers(model, encoder, batch, lambda text, layer: texts[text].through(layer))
        found = []
        for number, (text, goal) in enumerate(zip(texts, own, strict=True)):
            keep = batch.mask[number].bool()
            contributions = text.contributions(goal, [_of(call, number, keep) for call in calls])
            _refuse_rest(contributions, goal, model)
            norms = torch.stack(text.norms).double().cpu().numpy()
            found.append(Decomposition(contributions, norms, np.array(text.errors)))
        return found

    return stream_with(model, encodings, goals, run, description="DecompX")


def through_block(terms: Tensor, layer: Layer) -> Tensor:
    """The terms of what a block returns, from those of what it reads: (query, key, hidden)."""
    parts = layer.parts
    values = share_bias(without_bias(terms, parts.value), bias_of(parts.value))
    by_head = values.unflatten(-1, (parts.heads, -1))
    rates = slope(layer.inner, layer.active)
    tokens = len(terms)
    after = []
    for rows in row_blocks(tokens, tokens * parts.inner.out_features):
        mixed = torch.einsum("hqk,kjhw->qjhw", layer.attention[:, rows], by_head).flatten(2)
        added = share_bias(without_bias(mixed, parts.projection), bias_of(parts.projection))
        normed = _norm(terms[rows] + added, layer.mixed[rows], parts.attention_norm)
        inner = share_bias(without_bias(normed, parts.inner), bias_of(parts.inner))
        active = inner * rates[rows, None]
        added = share_bias(without_bias(active, parts.outer), bias_of(parts.outer))
        after.append(_norm(normed + added, layer.added[rows], parts.output_norm))
    return torch.cat(after)


class _Text:
    """The terms of one text on their way through the model."""

    terms: Tensor
    """(query, key, hidden), after the blocks so far."""
    state: Tensor
    """(token, hidden): what they sum to."""

    def __init__(self) -> None:
        self.norms: list[Tensor] = []
        self.errors: list[float] = []

    def through(self, layer: Layer) -> None:
        before = torch.diag_embed(layer.read.T).permute(1, 2, 0) if not self.norms else self.terms
        self.terms = through_block(before, layer)
        self.state = layer.returned
        missed = (self.terms.sum(1) - self.state).abs().max() / self.state.abs().max()
        self.norms.append(self.terms.norm(dim=-1))
        self.errors.append(missed.item())

    def contributions(self, goal: Goal, calls: list[HeadCall]) -> np.ndarray:
        rows = torch.from_numpy(goal.rows).to(self.terms)
        terms = torch.einsum("q,qjd->jd", rows, self.terms)
        if goal.reference is None:
            terms = _through_head(terms, self.state, int(goal.rows.argmax()), calls)
            own = terms[:, goal.index] - (0 if goal.foil is None else terms[:, goal.foil])
        else:
            own = terms @ goal.reference.to(terms) / goal.reference.norm().to(terms)
            if goal.kind == "similarity":
                own = own / (rows @ self.state).norm()
        return own.double().cpu().numpy()


def _through_head(terms: Tensor, state: Tensor, row: int, calls: list[HeadCall]) -> Tensor:
    """(key, hidden) to (key, class)."""
    vector = state[row]
    for call in calls:
        # A head over the vocabulary reads every row.
        read, returned = (t if t.dim() == 1 else t[row] for t in (call.read, call.returned))
        if read.shape != vector.shape:
            raise AttributionError(
                f"After the last block a {type(call.part).__name__} reads {tuple(read.shape)}, "
                f"where {tuple(vector.shape)} came before; such a head is not taken apart."
            )
        if not torch.equal(read, vector):
            terms = terms * slope(vector, read)
        if isinstance(call.part, torch.nn.LayerNorm):
            terms = _norm(terms, read, call.part)
        else:
            terms = share_bias(without_bias(terms, call.part), bias_of(call.part))
        vector = returned
    return terms


def _norm(terms: Tensor, total: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    return share_bias(normalised(terms, total, norm), bias_of(norm))


def _of(call: HeadCall, text: int, keep: Tensor) -> HeadCall:
    """What a module of the head computed of one text, without padding."""
    read, returned = call.read[text].float(), call.returned[text].float()
    if read.dim() > 1:
        read, returned = read[keep], returned[keep]
    return HeadCall(call.part, read, returned)


def _refuse_rest(contributions: np.ndarray, goal: Goal, model: Any) -> None:
    missed = abs(contributions.sum() - goal.value)
    tolerance = max(_TOLERANCE, 10 * torch.finfo(model.module.dtype).eps)
    if not missed <= tolerance * max(abs(goal.value), np.abs(contributions).max()):
        raise AttributionError(
            f"The contributions of the tokens sum to {contributions.sum():.4g}, and the target "
            f"{goal.name} is {goal.value:.4g}: {model.name} computes something after its last "
            "block, or in it, that DecompX does not take apart."
        )
