"""Heads of language models: previous token, duplicate token, induction, sink, positional decay."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ...corpora import Corpus
from ...errors import CaptureError
from ...models import LoadedModel, provenance
from ...results import Result
from ...stats import bootstrap_ratio, is_descriptive, max_t
from .repeated import SCORES, draw_sequences, score_sequences

#: From these scores on a head has the name, if it also beats its control (see `decoder_heads`).
THRESHOLDS = {
    "previous_token": 0.5,
    "duplicate_token": 0.3,
    "induction": 0.3,
    "first_token": 0.5,
}
ALPHA = 0.05
#: Scores that need the repetition: their control is a sequence without it.
_REPEATED = ("duplicate_token", "induction")


@dataclass(frozen=True, repr=False)
class DecoderHeads(Result):
    """`table`: one row per head and score; `decay`: mean weight by distance."""

    decay: pd.DataFrame

    @property
    def named(self) -> pd.DataFrame:
        """The heads that have a name: layer, head, score, mean."""
        rows = self.table[self.table["named"]]
        return rows[["layer", "head", "score", "mean"]].reset_index(drop=True)


def decoder_heads(
    model: LoadedModel,
    *,
    blocks: tuple[int, int] = (16, 32),
    sequences: int = 64,
    thresholds: Mapping[str, float] = THRESHOLDS,
    seed: int = 0,
) -> DecoderHeads:
    """What every head does on repeated random sequences.

    At the rows i of the second block of B tokens: weight on i − 1 (`previous_token`), on the
    token's own earlier occurrence i − B (`duplicate_token`), on the token after it i − B + 1
    (`induction`), and on the first position (`first_token`, the attention sink of Xiao et al.
    2024). `baseline` is the same for attention spread evenly over the visible keys; `control`
    the same positions in sequences whose second block is new (for the first two, equal to the
    baseline). A head is `named` if its mean reaches the threshold and lies above the control
    with an adjusted p below .05. Sequences are the independent units; of too few, no head is named.

    Args:
        blocks: the shortest and the longest block, in tokens.
        thresholds: by score; scores that are missing name no head.

    Returns:
        `table`: layer, head, score, mean, ci_low, ci_high, n, baseline, control, difference,
        difference_low, difference_high, p_adjusted (two-sided sign-flips, max-T over the heads
        of a score), named, descriptive. `decay`: layer, head, distance, mean, ci_low, ci_high, n,
        baseline.

    Raises:
        CaptureError: sequences that do not fit the model, an unknown score, or a model whose
            attention cannot be captured.
    """
    if unknown := set(thresholds) - set(SCORES):
        raise CaptureError(f"Scores {sorted(unknown)} do not exist; there are {', '.join(SCORES)}.")
    groups = draw_sequences(model, blocks=blocks, count=sequences, seed=seed)
    measured = _Measured()
    for group in tqdm(groups, desc="repeated sequences", unit="length", dynamic_ncols=True):
        scores, even, decay = score_sequences(model, group.ids, group.block)
        control, _, _ = score_sequences(model, group.control, group.block)
        measured.add(scores, control, even, decay[..., : blocks[0] + 1])
    data = Corpus("repeated random sequences", (), f"seed {seed}")
    return DecoderHeads(
        table=measured.table(thresholds, seed),
        decay=measured.decay_table(seed),
        provenance=provenance(
            model, data, seed=seed, skipped=[], blocks=list(blocks), sequences=sequences,
            thresholds=dict(thresholds),
        ),
    )  # fmt: skip


@dataclass
class _Measured:
    """Scores of all sequences so far."""

    scores: list[np.ndarray] = field(default_factory=list)
    controls: list[np.ndarray] = field(default_factory=list)
    even: list[np.ndarray] = field(default_factory=list)
    decay: list[np.ndarray] = field(default_factory=list)

    def add(
        self, scores: np.ndarray, control: np.ndarray, even: np.ndarray, decay: np.ndarray
    ) -> None:
        repeated = np.isin(SCORES, _REPEATED)
        reference = np.broadcast_to(even[:, :, None], scores.shape)
        self.scores.append(scores)
        self.controls.append(np.where(repeated, control, reference))
        self.even.append(even)
        self.decay.append(decay)

    def table(self, thresholds: Mapping[str, float], seed: int) -> pd.DataFrame:
        scores, controls = np.concatenate(self.scores), np.concatenate(self.controls)
        ones = np.ones(len(scores))
        mean, low, high = bootstrap_ratio(scores, ones, seed=seed)
        gap, gap_low, gap_high = bootstrap_ratio(scores - controls, ones, seed=seed)
        adjusted = [max_t((scores - controls)[..., i], seed=seed) for i in range(len(SCORES))]
        descriptive = bool(is_descriptive(len(scores), len(scores)))
        p = np.full(mean.shape, np.nan) if descriptive else np.stack(adjusted, axis=-1)
        reached = mean >= np.array([thresholds.get(name, np.inf) for name in SCORES])
        layers, heads, _ = mean.shape
        even = np.broadcast_to(np.concatenate(self.even).mean(0)[:, None], mean.shape)
        index = pd.MultiIndex.from_product(
            [range(layers), range(heads), SCORES], names=["layer", "head", "score"]
        )
        columns = {
            "mean": mean, "ci_low": low, "ci_high": high, "n": np.full(mean.shape, len(scores)),
            "baseline": even, "control": controls.mean(0), "difference": gap,
            "difference_low": gap_low, "difference_high": gap_high,
            "p_adjusted": p,
            "named": reached & (gap > 0) & (p < ALPHA),
            "descriptive": np.full(mean.shape, descriptive),
        }  # fmt: skip
        flat = {name: values.ravel() for name, values in columns.items()}
        return pd.DataFrame(flat, index=index).reset_index()

    def decay_table(self, seed: int) -> pd.DataFrame:
        decay = np.concatenate(self.decay)  # (sequence, layer, head + 1, distance)
        own, even = decay[:, :, :-1], decay[:, :, -1:]
        mean, low, high = bootstrap_ratio(own, np.ones(len(own)), seed=seed)
        layers, heads, distances = mean.shape
        index = pd.MultiIndex.from_product(
            [range(layers), range(heads), range(distances)], names=["layer", "head", "distance"]
        )
        columns = {
            "mean": mean, "ci_low": low, "ci_high": high, "n": np.full(mean.shape, len(own)),
            "baseline": np.broadcast_to(even.mean(0), mean.shape),
        }  # fmt: skip
        flat = {name: values.ravel() for name, values in columns.items()}
        return pd.DataFrame(flat, index=index).reset_index()
