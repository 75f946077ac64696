"""The `minimal_pairs` analysis: how often a language model prefers the acceptable sentence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ....corpora import MinimalPairs
from ....errors import CorpusError, ModelError
from ....models import LoadedModel, provenance
from ....results import Result
from .groups import units_of_pairs
from .scoring import NORMALISATIONS, SentenceScores, check_scorable, sentence_log_probabilities
from .table import preference_table


@dataclass(frozen=True, repr=False)
class Preferences(Result):
    """How often a language model finds the acceptable sentence more probable.

    `table` has rows for every `measure` and, at each `level`, every paradigm, every phenomenon
    (the mean over its paradigms) and two means over all (`paradigms`, where each paradigm counts
    the same, and `pairs`). `accuracy` is the share of the `n` pairs whose good sentence scores
    higher (a tie is half), `difference` the mean score of good minus bad in nats, each with its
    95 % interval over pairs, pairs that share a sentence being one unit. `accuracy_equal_length`
    is over the `n_equal_length` pairs of as many tokens each: sums of log-probabilities favour
    the shorter sentence of the others. p: two-sided sign-flip of the accuracy against `baseline`,
    adjusted by Benjamini-Hochberg over the paradigms and by Holm over the phenomena of a measure.
    `descriptive` rows have too few pairs: Wilson's interval and no p.

    `scores` has a row for every pair: the log-probability of each sentence (or
    pseudo-log-likelihood, nats), the number of tokens scored and of characters.
    """

    scores: pd.DataFrame


def minimal_pairs(
    model: LoadedModel,
    pairs: MinimalPairs,
    *,
    normalise: str | Sequence[str] = "none",
    masking: str = "within_word",
    seed: int = 0,
) -> Preferences:
    """How often a language model finds the acceptable sentence of a pair more probable.

    BLiMP (Warstadt et al. 2020): sentences are scored by `sentence_log_probabilities`.

    Args:
        normalise: one or several of `none` (the sum, as BLiMP does), `token` and `character` (the
            mean per token or character).
        masking: `within_word` or `token`, for a masked model.

    Raises:
        ModelError: see `sentence_log_probabilities`; an unknown normalisation.
        CorpusError: no pair fits the model.
        CaptureError: a log-probability is not finite.
    """
    asked = [normalise] if isinstance(normalise, str) else list(normalise)
    if not asked or set(asked) - set(NORMALISATIONS):
        raise ModelError(f"normalise is {normalise!r}; choose from {', '.join(NORMALISATIONS)}.")
    check_scorable(model, masking)
    texts = [text for pair in pairs.pairs for text in (pair.good, pair.bad)]
    found = sentence_log_probabilities(model, texts, masking=masking)
    kept, skipped = _fitting(pairs, found, model)
    scores = _scores(pairs, found)
    base = "log_probability" if model.task == "causal-lm" else "pseudo_log_likelihood"
    measures = {}
    for by in asked:
        values = found.normalised(by)
        name = base if by == "none" else f"{base}_per_{by}"
        measures[name] = (values[::2][kept], values[1::2][kept])
    kept_scores = scores[kept].reset_index(drop=True)
    units = units_of_pairs([pairs.pairs[i] for i in np.flatnonzero(kept)])
    return Preferences(
        table=preference_table(kept_scores.assign(unit=units), measures, seed=seed),
        scores=kept_scores,
        provenance=provenance(
            model, pairs, seed=seed, skipped=skipped, normalise=asked, measures=list(measures),
            independent_units=int(units.max()) + 1,
            **({"masking": masking} if model.task == "masked-lm" else {}),
        ),
    )  # fmt: skip


def _fitting(
    pairs: MinimalPairs, found: SentenceScores, model: LoadedModel
) -> tuple[np.ndarray, list[list[str]]]:
    """Which pairs have both scores, and [pair, reason] of the others."""
    kept = np.isfinite(found.log_probabilities.reshape(-1, 2)).all(axis=1)
    skipped = []
    for i in np.flatnonzero(~kept):
        pair = pairs.pairs[i]
        reason = next(found.skipped[t] for t in (pair.good, pair.bad) if t in found.skipped)
        skipped.append([f"{pair.paradigm} {pair.id}", reason])
    if not kept.any():
        reason = f": {skipped[0][1]}" if skipped else ""
        raise CorpusError(f"No pair of {pairs.name} can be scored by {model.name}{reason}.")
    return kept, skipped


def _scores(pairs: MinimalPairs, found: SentenceScores) -> pd.DataFrame:
    columns: dict[str, object] = {
        name: [getattr(pair, name) for pair in pairs.pairs]
        for name in ("id", "paradigm", "phenomenon", "field")
    }
    for side, start in (("good", 0), ("bad", 1)):
        columns[f"{side}_sentence"] = [getattr(pair, side) for pair in pairs.pairs]
        columns[f"{side}_log_probability"] = found.log_probabilities[start::2]
        columns[f"{side}_tokens"] = found.tokens[start::2]
        columns[f"{side}_characters"] = found.characters[start::2]
    return pd.DataFrame(columns)
