"""What two models lose without each of their heads, on the same texts, and how alike that is."""

from dataclasses import dataclass

import numpy as np

from ...attribution.goals import Function
from ...corpora import Examples
from ...errors import CorpusError
from ...models import LoadedModel
from ...stats import bootstrap_of
from ..parts import every_head
from ..scoring import score
from ..setting import settle

_ROUNDING = 1e-6
#: Correlations that are held at once.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Effects:
    """Target without a head minus target, of the texts that both models have a target on."""

    student: np.ndarray
    """(head of the student, text)"""
    teacher: np.ndarray
    """(head of the teacher, text)"""
    units: np.ndarray
    """(text,)"""
    skipped: list[list[str]]


def effects_of_both(
    student: LoadedModel,
    teacher: LoadedModel,
    examples: Examples,
    *,
    target: str | Function | None,
    foil: str | None,
    mode: str,
    seed: int,
) -> Effects:
    """Switch off every head of both models, one at a time.

    Raises:
        CorpusError: fewer than three texts have a target on both.
        AttributionError: a target that does not suit a model.
        CaptureError: heads that cannot be switched off.
    """
    found: list[np.ndarray] = []
    settings = [
        settle(one, examples, metrics=("target",), target=target, foil=foil, seed=seed)
        for one in (student, teacher)
    ]
    # By the object: two texts may have one id.
    common = {id(e) for e in settings[0].examples} & {id(e) for e in settings[1].examples}
    if len(common) < 3:
        raise CorpusError(
            f"{len(common)} of the {len(examples)} texts have a target on {student.name} and on "
            f"{teacher.name}; effects are correlated over at least three."
        )
    for model, setting in zip((student, teacher), settings, strict=True):
        scores = score(model, setting, every_head(model.module), modes=(mode,), seed=seed)
        base = scores.base["target"][:, 0]
        effect = scores.ablated[mode, "target"].mean(1)[..., 0] - base
        negligible = np.abs(effect) <= _ROUNDING * np.maximum(1, np.abs(base))
        rows = [row for row, e in enumerate(setting.examples) if id(e) in common]
        found.append(np.where(negligible, 0.0, effect)[:, rows].astype(float))
    units = np.array([
        unit for e, unit in zip(settings[0].examples, settings[0].units, strict=True)
        if id(e) in common
    ])  # fmt: skip
    skipped = [entry for setting in settings for entry in setting.provenance.skipped]
    return Effects(found[0], found[1], units, skipped)


@dataclass(frozen=True)
class Likeness:
    """Pearson's correlation, over texts, of what models lose without their heads.

    Of each head of the student: with the head of the teacher that it is matched with, with the
    mean of all others, and the difference. Each (head of the student, 3): value, low, high; so
    `means`, of the three, (3, 3), over the heads of the student that have all.
    """

    matched: np.ndarray
    unmatched: np.ndarray
    difference: np.ndarray
    means: np.ndarray


def likeness(effects: Effects, match: np.ndarray, seed: int) -> Likeness:
    """Correlations of matched and of other heads, with percentile bootstrap intervals over units.

    Args:
        match: (head of the student,), the head of the teacher, -1 for none.
    """
    place = np.unique(effects.units, return_inverse=True)[1]
    members = np.zeros((place.max() + 1, len(place)))
    members[place, np.arange(len(place))] = 1

    def compared(weights: np.ndarray) -> np.ndarray:
        """(draw, head of the student and a last row of means, matched, unmatched, difference)."""
        pairs = len(effects.student) * len(effects.teacher)
        blocks = np.array_split(weights, -(-len(weights) * pairs // _BLOCK))
        return np.concatenate([_compared(effects, match, block @ members) for block in blocks])

    value = compared(np.ones((1, len(members))))[0]
    low, high = bootstrap_of(compared, len(members), seed=seed)
    found = np.stack([value, low, high], axis=-1)  # (head + 1, which, 3)
    return Likeness(found[:-1, 0], found[:-1, 1], found[:-1, 2], found[-1])


def _compared(effects: Effects, match: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Args: weights (draw, text)."""
    every = _correlations(effects.student, effects.teacher, weights)
    there = match >= 0
    own = np.where(there, match, 0)[None, :, None]
    matched = np.take_along_axis(every, own, axis=2)[..., 0]
    matched = np.where(there, matched, np.nan)
    others = every.copy()
    np.put_along_axis(others, np.broadcast_to(own, (len(every), len(match), 1)), np.nan, axis=2)
    counts = (~np.isnan(others)).sum(2)
    with np.errstate(invalid="ignore"):
        unmatched = np.where(there, np.nansum(others, axis=2) / counts, np.nan)
    found = np.stack([matched, unmatched, matched - unmatched], axis=2)
    whole = ~np.isnan(found).any(2, keepdims=True)
    with np.errstate(invalid="ignore"):
        means = np.where(whole, found, 0).sum(1, keepdims=True) / whole.sum(1, keepdims=True)
    return np.concatenate([found, means], axis=1)


def _correlations(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted Pearson correlations: (draw, head of first, head of second); NaN of a constant."""
    weights = weights / weights.sum(1, keepdims=True)
    # Around the mean over all texts, so that little is lost where moments are subtracted.
    x, y = (each - each.mean(1, keepdims=True) for each in (first, second))
    mean_x, mean_y = weights @ x.T, weights @ y.T
    covariance = np.stack([(weights * one) @ y.T for one in x], axis=1)
    covariance -= mean_x[:, :, None] * mean_y[:, None]
    spreads = [
        np.where(variance > 1e-12 * square, variance, np.nan)
        for square, variance in (
            (weights @ (each**2).T, weights @ (each**2).T - mean**2)
            for each, mean in ((x, mean_x), (y, mean_y))
        )
    ]
    return covariance / np.sqrt(spreads[0][:, :, None] * spreads[1][:, None])
