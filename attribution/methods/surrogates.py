"""LIME and KernelSHAP: a linear model of what happens when words are taken away.

Captum draws which words to keep and fits the linear model. It sees one number per word, 1 or 0;
texts are erased and measured by the same operators as everywhere else, so that the attention
mask always reaches the model. The draws of all texts are measured in common batches, each
different one once: captum runs twice from the same seed, first to say what it will ask for.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from captum._utils.models.linear_model import SkLearnLinearRegression
from captum.attr import KernelShap, Lime
from torch import Tensor

from ...corpora import Encoding
from ...errors import AttributionError
from ..erasing import operator_of, outcomes, reference_operator
from ..goals import Goal, measure
from ..words import Items, items_of
from .draws import generator_of
from .occlusion import to_tokens

#: Samples of a text beyond two for each of its words.
SAMPLES = 200

#: What the whole and the empty text weigh, as in captum; any other set of words at most 1.
_ENDS = 1e6

Forward = Callable[[Tensor], Tensor]
#: Of a forward function, the number of words and the samples wanted: captum's method and how
#: many samples it is to take.
Build = Callable[[Forward, int, int], tuple[Any, int]]


def lime(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    samples: int = SAMPLES,
    operator: str | None = None,
    unit: str = "word",
) -> list[np.ndarray]:
    """The weights of a local linear model (Ribeiro et al. 2016), one score per token (token,).

    Words are kept with probability ½; a sample weighs exp(−d²/2) with d the cosine distance of
    its 0/1 vector from all ones. Least squares without a penalty, so that an additive target is
    recovered; other LIMEs shrink.

    Args:
        samples: drawn for each text beyond two per word; at most so many forward passes.
        operator: what an absent word is, see `operator_of` (default: `reference_operator`).
        unit: `word` or `token`; the tokens of a word share its score evenly.
    """
    return _fit(model, encodings, goals, _lime, seed, samples, operator, unit, "LIME")


def kernel_shap(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    *,
    seed: int,
    samples: int = SAMPLES,
    operator: str | None = None,
    unit: str = "word",
) -> list[np.ndarray]:
    """Shapley values by weighted regression (Lundberg & Lee 2017), one per token (token,).

    Where there are no more sets of words than samples (7 words by default), each is measured
    once and weighs what the Shapley kernel says, and the values are exact; else captum draws the
    sets by that kernel. The whole and the empty text weigh 10⁶, so that the scores add up to
    f(x) − f(no words) within about 10⁻⁵.

    Args:
        samples, operator, unit: as for `lime`. Shap's own default is 2048 samples beyond two
            per word.
    """
    return _fit(model, encodings, goals, _kernel_shap, seed, samples, operator, unit, "KernelSHAP")


def _fit(
    model: Any,
    encodings: Sequence[Encoding],
    goals: Sequence[Goal],
    build: Build,
    seed: int,
    samples: int,
    operator: str | None,
    unit: str,
    description: str,
) -> list[np.ndarray]:
    if samples < 1:
        raise AttributionError(f"samples is {samples}; give at least 1.")
    name = operator or reference_operator(model.tokenizer)
    erase = operator_of(name, model.tokenizer)
    items = [items_of(e, goal, unit) for e, goal in zip(encodings, goals, strict=True)]
    seeds = [int(generator_of(encoding, seed).integers(2**31)) for encoding in encodings]
    fit = partial(_regress, build, samples)
    asked: list[np.ndarray] = []

    def note(kept: Tensor) -> Tensor:
        asked.append(kept.bool().numpy())
        return torch.zeros(len(kept))

    for own, text in zip(items, seeds, strict=True):
        fit(note, own, text)
    values = outcomes(
        model,
        encodings,
        goals,
        [[_removed(row, own) for row in rows] for rows, own in zip(asked, items, strict=True)],
        erase,
        measure,
        description=f"{description} ({name})",
    )
    return [
        to_tokens(fit(partial(_given, value), own, text), own)
        for value, own, text in zip(values, items, seeds, strict=True)
    ]


def _regress(build: Build, samples: int, forward: Forward, items: Items, seed: int) -> np.ndarray:
    """One weight per item, by captum."""
    method, count = build(forward, len(items), samples + 2 * len(items))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = method.attribute(
            torch.ones(1, len(items)),
            baselines=torch.zeros(1, len(items)),
            n_samples=count,
            perturbations_per_eval=count,
        )
    return weights.squeeze(0).double().numpy()


def _lime(forward: Forward, words: int, samples: int) -> tuple[Any, int]:
    return Lime(forward, interpretable_model=SkLearnLinearRegression()), samples


def _kernel_shap(forward: Forward, words: int, samples: int) -> tuple[Any, int]:
    if 2**words > samples:
        return KernelShap(forward), samples
    every_set = Lime(
        forward,
        interpretable_model=SkLearnLinearRegression(),
        similarity_func=_shapley_kernel,
        perturb_func=_every_set,
    )
    return every_set, 2**words


def _every_set(text: Tensor, **_: Any) -> Iterator[Tensor]:
    for kept in itertools.product((1, 0), repeat=text.shape[1]):
        yield torch.tensor([kept])


def _shapley_kernel(_: Tensor, __: Tensor, kept: Tensor, **___: Any) -> Tensor:
    words, size = kept.shape[1], int(kept.sum())
    if size in (0, words):
        return torch.tensor([_ENDS])
    return torch.tensor([(words - 1) / (math.comb(words, size) * size * (words - size))])


def _given(values: np.ndarray, kept: Tensor) -> Tensor:
    return torch.from_numpy(values).float()


def _removed(kept: np.ndarray, items: Items) -> np.ndarray:
    """(token,) bool: the tokens of the items that are not kept (item,)."""
    return (items.of_token >= 0) & ~kept[items.of_token]
