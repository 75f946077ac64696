"""Several seeds or checkpoints of one model as units: what holds beyond the model at hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ...corpora import Corpus
from ...errors import ModelError
from ...models import LoadedModel, provenance
from ...results import Result
from ...stats import DRAWS, is_descriptive
from ...stats.intervals import LEVEL
from ..heads import STATISTICS, scan_heads
from ..heads.hits import sums_by_unit
from ..heads.options import ScanOptions
from .matching import Matching, match_heads
from .passes import Pair, compared, heads_of
from .reading import Reading, read_together

#: Draws of units made at a time.
_BLOCK = 200


@dataclass(frozen=True, repr=False)
class SeedComparison(Result):
    """Statistics of heads that are the same in several models, however they are numbered.

    `table`: `layer,head` (of the first model), `statistic` (as in `heads.csv`), `mean` over
    models of the mean over the `n` texts of odd units, a 95 % interval over `models` and units,
    `sd` between the models. Fewer than 10 models are `descriptive`: so few stand for no more
    than themselves, and their interval is too narrow. `matching`: `model` (its place in the
    list), `layer,head` and the `match_layer,match_head` in that model, chosen on even units, and
    the divergence `jsd` (nats) of the pair on odd ones.
    """

    matching: pd.DataFrame


def compare_seeds(
    models: Sequence[LoadedModel], corpus: Corpus, *, maps: str = "token", seed: int = 0
) -> SeedComparison:
    """Match the heads of every model with the first one's, and average over models.

    Args:
        maps: `token`, or `word` for models whose tokenizers differ.

    Raises:
        ModelError: fewer than two models, other layers or heads, or other tokenizers.
        CorpusError: too few texts fit.
        CaptureError: attention cannot be captured.
    """
    heads = _check_alike(models)
    reading = read_together(models, corpus, maps)
    orders, divergences = [np.arange(len(heads))], [np.zeros(len(heads))]
    for model in models[1:]:
        matching = _matched(models[0], model, reading, seed)
        orders.append(matching.even)
        divergences.append(matching.of_odd_units())
    odd = np.flatnonzero(reading.units % 2 == 1)
    held_out = replace(corpus, sentences=tuple(reading.corpus.sentences[i] for i in odd))
    units = np.unique(reading.units[odd], return_inverse=True)[1]
    counts = np.bincount(units).astype(float)
    mean, low, high, sd = over_models_and_units(
        (_sums(model, held_out, units, order)
         for model, order in zip(models, orders, strict=True)),
        counts, seed=seed,
    )  # fmt: skip
    index = pd.MultiIndex.from_product([range(len(heads)), STATISTICS])
    places = index.get_level_values(0)
    table = pd.DataFrame(
        {
            "layer": [heads[place][0] for place in places],
            "head": [heads[place][1] for place in places],
            "statistic": index.get_level_values(1),
            "mean": mean,
            "ci_low": low,
            "ci_high": high,
            "n": len(odd),
            "models": len(models),
            "sd": sd,
            "descriptive": is_descriptive(len(odd), min(len(counts), len(models))),
        }
    )
    # What the tokenizers lack has no row.
    absent = [
        one for one in ("cls", "sep") if not table.loc[table["statistic"] == one, "mean"].any()
    ]
    return SeedComparison(
        table=table[~table["statistic"].isin(absent)].reset_index(drop=True),
        matching=_matching_table(heads, orders, divergences),
        provenance=provenance(
            models[0], corpus, seed=seed, skipped=reading.skipped, maps=maps,
            models=[[model.name, model.weights_sha256] for model in models],
        ),
    )  # fmt: skip


def over_models_and_units(
    models: Iterable[np.ndarray], counts: np.ndarray, *, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean over models, with a percentile interval over models and units.

    A draw takes models with replacement, then units with replacement, the same units for all its
    models, because all models read the same texts (Owen 2007: the pigeonhole bootstrap). Draws
    of units within each model apart would average away what the texts do to all of them.

    Args:
        models: of each model (unit, cell), sums of each unit.
        counts: (unit,).

    Returns:
        Mean, lower and upper end, and the standard deviation between models, each (cell,).
    """
    estimates, resampled = [], []
    for sums in models:
        estimates.append(sums.sum(0) / counts.sum())
        resampled.append(_resampled(sums, counts, seed))
    count = len(estimates)
    generator = np.random.default_rng([seed, count])
    taken = generator.multinomial(count, np.full(count, 1 / count), DRAWS)
    draws = np.zeros(resampled[0].shape)
    for number, means in enumerate(resampled):
        draws += taken[:, [number]] / count * means
    edge = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [edge, 1 - edge], axis=0)
    return np.mean(estimates, axis=0), low, high, np.std(estimates, axis=0, ddof=1)


def _resampled(sums: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Means over resampled units (draw, cell); the draws are the same ones for every model."""
    generator = np.random.default_rng(seed)
    units = len(counts)
    means = np.empty((DRAWS, sums.shape[1]), np.float32)
    for start in range(0, DRAWS, _BLOCK):
        drawn = means[start : start + _BLOCK]
        weights = generator.multinomial(units, np.full(units, 1 / units), len(drawn))
        drawn[:] = (weights @ sums) / (weights @ counts)[:, None]
    return means


def _sums(model: LoadedModel, corpus: Corpus, units: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Statistics of a model's heads in the order of those they match, summed over units."""
    scan = scan_heads(model, corpus, options=ScanOptions(parts=()))
    values = scan.statistics[..., : len(STATISTICS)]
    values = values.reshape(len(values), -1, len(STATISTICS))[:, order]
    return sums_by_unit(values.reshape(len(values), -1), units, int(units.max()) + 1)


def _matched(first: LoadedModel, second: LoadedModel, reading: Reading, seed: int) -> Matching:
    nothing = [np.empty(0, dtype=int)] * len(reading.units)
    with compared(Pair(first, second, reading, nothing, seed)) as shards:
        return match_heads(shards, reading.units)


def _matching_table(
    heads: Sequence[tuple[int, int]],
    orders: Sequence[np.ndarray],
    divergences: Sequence[np.ndarray],
) -> pd.DataFrame:
    rows = [
        (number, *head, *heads[match], jsd)
        for number, (order, found) in enumerate(zip(orders, divergences, strict=True))
        for head, match, jsd in zip(heads, order, found, strict=True)
    ]
    columns = ["model", "layer", "head", "match_layer", "match_head", "jsd"]
    return pd.DataFrame(rows, columns=columns)


def _check_alike(models: Sequence[LoadedModel]) -> list[tuple[int, int]]:
    """(layer, head) of every head."""
    if len(models) < 2:
        raise ModelError(f"Got {len(models)} models; give at least two seeds of one.")
    heads = [heads_of(model) for model in models]
    for model, own in zip(models, heads, strict=True):
        if own != heads[0]:
            raise ModelError(
                f"{models[0].name} has {len(heads[0])} heads, {model.name} has {len(own)} or other "
                "layers; seeds of one model have the same. Use compare_models for two models."
            )
    return heads[0]
