"""Gradients averaged over random places: SmoothGrad and GradientSHAP.

Captum draws its noise for a whole batch from the global generator, so that scores would depend
on the batch a text is in. Here each draw is of the text's own generator, and the draws of all
texts share the batches.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Encoding
from ...errors import AttributionError
from ..goals import Goal
from ..running import stream_with
from .baselines import baseline_embedding
from .draws import generator_of
from .gradients import gradients, rows_of

#: Of the embeddings of one text (token, width) and the generator of one draw: the place to take
#: the gradient at, and what it is multiplied by.
Draw = Callable[[Tensor, np.random.Generator], tuple[Tensor, Tensor]]

#: Draws of each text: one forward and one backward pass each.
SAMPLES = 32
#: Standard deviation of SmoothGrad's noise, as a share of the range of the text's embeddings
#: (Smilkov et al. 2017, section 3: 10 to 20 %).
NOISE = 0.15


def smoothgrad(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    samples: int = SAMPLES,
    noise: float = NOISE,
) -> list[np.ndarray]:
    """x · E[∂f(x + ε)] summed over the width (Smilkov et al. 2017, arXiv 1706.03825).

    ε is normal; its standard deviation is `noise` times the difference of the largest and the
    smallest number in the text's word embeddings. Signed, and not complete.
    """
    draw = partial(_noisy, noise)
    return _averaged(model, encodings, goals, draw, seed, samples, "SmoothGrad")


def gradient_shap(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    samples: int = SAMPLES,
    baselines: Sequence[str] = ("zero", "mean"),
) -> list[np.ndarray]:
    """E[(x − x′) · ∂f(x′ + a(x − x′))], x′ one of the baselines and a uniform on [0, 1].

    (Lundberg & Lee 2017; expected gradients, Erion et al. 2021.) Complete in expectation only:
    the sum tends to f(x) − mean f(x′) with many samples; with one baseline the scores tend to
    integrated gradients.

    Args:
        baselines: names, see `baseline_embedding`.
    """
    if not baselines:
        raise AttributionError("GradientSHAP was given no baseline; name at least one.")
    origins = [baseline_embedding(model, name) for name in baselines]
    draw = partial(_on_a_path, origins)
    return _averaged(model, encodings, goals, draw, seed, samples, "GradientSHAP")


def _noisy(
    noise: float, embeddings: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    spread = noise * (embeddings.max() - embeddings.min())
    normal = torch.from_numpy(generator.standard_normal(tuple(embeddings.shape), np.float32))
    return embeddings + spread * normal.to(embeddings), embeddings


def _on_a_path(
    origins: Sequence[Tensor], embeddings: Tensor, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    origin = origins[int(generator.integers(len(origins)))]
    difference = embeddings - origin
    return origin + generator.random() * difference, difference


def _averaged(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    draw: Draw,
    seed: int,
    samples: int,
    description: str,
) -> list[np.ndarray]:
    """The mean over the draws of (factor · gradient at the place) summed over the width."""
    if samples < 1:
        raise AttributionError(f"samples is {samples}; give at least 1.")

    def run(batch: Batch, own: list[tuple[Goal, int]]) -> list[np.ndarray]:
        factors: list[Tensor] = []

        def place(embeddings: Tensor) -> Tensor:
            places, factors[:] = embeddings.clone(), [torch.zeros_like(embeddings)]
            valid = batch.mask.bool()
            for row, (encoding, (_, number)) in enumerate(zip(batch.encodings, own, strict=True)):
                generator = generator_of(encoding, seed, number)
                text = embeddings[row, valid[row]]
                places[row, valid[row]], factors[0][row, valid[row]] = draw(text, generator)
            return places

        found = gradients(model, batch, [goal for goal, _ in own], place)
        return rows_of((factors[0].float() * found.gradient).sum(-1), batch)

    numbers = range(samples)
    taken = stream_with(
        model,
        [encoding for encoding in encodings for _ in numbers],
        [(goal, number) for goal in goals for number in numbers],
        run,
        description=description,
    )
    return [
        np.mean(taken[start : start + samples], axis=0) for start in range(0, len(taken), samples)
    ]
