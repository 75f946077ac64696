"""Zero- and mean-ablation of every head, and what it does to the model's behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..attribution.goals import Function
from ..attribution.targets import Goal, measure
from ..capture import Batch, gate_heads, hooked, stream
from ..capture.restart import recording, restart_blocks, skipping
from ..corpora import Examples
from ..errors import CaptureError, CorpusError
from ..results import Result
from .effects import METRICS, effect_table
from .knockout import head_grid, mean_head_outputs
from .labels import UNLABELLED, classes_of
from .setting import Setting, settle

MODES = ("zero", "mean")


@dataclass(frozen=True, repr=False)
class Ablation(Result):
    """What happens without each head, one at a time.

    `table` has one row per mode, metric, layer and head: `base` and `ablated` are means over
    `n` examples; `delta` = ablated − base, paired, with its 95 % interval; `p_adjusted` is
    adjusted over the heads of one mode and metric (max-T); where `descriptive` is True there is
    too little data for a p-value. The target is in the units of the model's logits, or of its
    embedding; accuracy is a proportion.
    """

    ids: np.ndarray
    """(example,)"""
    base_target: np.ndarray
    """(example,), the target on the intact model."""
    target: np.ndarray
    """(mode, layer, head, example), the target without the head."""
    base_correct: np.ndarray
    """(example,), 1 where the intact model predicts the label, else 0; NaN without a label."""
    correct: np.ndarray
    """(mode, layer, head, example), the same without the head."""


@dataclass(frozen=True)
class Scores:
    """Scores of one example; metric 0 is the target, metric 1 whether the label is predicted."""

    base: np.ndarray
    """(metric,)"""
    ablated: np.ndarray
    """(metric, mode, layer, head)"""


def ablate(
    model: Any,
    examples: Examples,
    *,
    modes: Sequence[str] = MODES,
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
) -> Ablation:
    """Remove every head in turn; measure the target, and the accuracy where there are labels.

    `zero` puts zeros in the place of a head's output (Michel et al. 2019, section 3.2); `mean`
    puts its mean over the tokens of other data there: the units are split into two halves at
    random, and each half is scored with the mean of the other.

    Args:
        model: what `load_model` returns.
        modes: any of `zero` and `mean`.
        target: class, token or function, see `bertology.attribution.prepare`; so `foil`.

    Raises:
        CaptureError: an unknown mode, or attention that cannot be reached.
        CorpusError: a label the model does not have, or too few examples to split.
        AttributionError: the target does not suit the model, or no example can be used.
    """
    chosen = _checked(modes)
    # Refused before any work: heads that form no grid, labels that are no classes.
    head_grid(model.module)
    classes_of(model, examples.examples)
    setting = settle(
        model, examples, target=target, foil=foil, seed=seed, options={"modes": chosen}
    )
    scores = _score_all(model, setting, chosen, seed)
    base = np.stack([each.base for each in scores], axis=-1)
    ablated = np.stack([each.ablated for each in scores], axis=-1)
    return Ablation(
        table=effect_table(base, ablated, chosen, setting.units, seed),
        provenance=setting.provenance,
        ids=setting.ids,
        base_target=base[0],
        target=ablated[0],
        base_correct=base[1],
        correct=ablated[1],
    )


def _checked(modes: Sequence[str]) -> list[str]:
    chosen = [modes] if isinstance(modes, str) else list(dict.fromkeys(modes))
    if not chosen or set(chosen) - set(MODES):
        raise CaptureError(f"The modes {chosen} were given; choose one or both of {MODES}.")
    return chosen


def _score_all(model: Any, setting: Setting, modes: list[str], seed: int) -> list[Scores]:
    """Scores of every example, in the order of the setting."""
    classes = classes_of(model, setting.examples)
    blocks = restart_blocks(model.module)
    places = {id(encoding): index for index, encoding in enumerate(setting.encodings)}
    scores: dict[int, Scores] = {}

    def score_part(part: np.ndarray, fills: list[Tensor | None]) -> None:
        def run(batch: Batch) -> list[Scores]:
            indices = [places[id(encoding)] for encoding in batch.encodings]
            goals = [setting.goals[index] for index in indices]
            return score_without_heads(model, batch, goals, classes[indices], fills, blocks)

        found = stream(
            model,
            [setting.encodings[index] for index in part],
            run,
            description="ablating heads",
        )
        scores.update(zip(part.tolist(), found, strict=True))

    if "mean" not in modes:
        score_part(np.arange(len(classes)), [None] * len(modes))
    else:
        first, second = _halves(setting.units, seed)
        for part, other in ((first, second), (second, first)):
            means = mean_head_outputs(model, [setting.encodings[index] for index in other])
            score_part(part, [means if mode == "mean" else None for mode in modes])
    return [scores[index] for index in range(len(classes))]


def _halves(units: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of examples without a unit in common, as equal in units as can be."""
    names = np.random.default_rng(seed).permutation(np.unique(units))
    if len(names) < 2:
        raise CorpusError(
            f"Mean ablation takes the mean from other sentences or documents than it scores, and "
            f"{len(names)} was given; give at least two, or modes=('zero',)."
        )
    first = np.isin(units, names[: len(names) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def score_without_heads(
    model: Any,
    batch: Batch,
    goals: Sequence[Goal],
    labels: np.ndarray,
    fills: Sequence[Tensor | None],
    blocks: Sequence[Any],
) -> list[Scores]:
    """Score the texts of a batch on the intact model and without each head.

    Args:
        labels: (batch,), class of each text, -1 where it has none.
        fills: for each mode what takes the place of the head outputs, (layer, head, width);
            None for zeros.
        blocks: of `restart_blocks`.
    """
    module = model.module
    layers, heads = head_grid(module)
    gates = torch.ones(layers, heads, device=model.device)
    ablated = np.empty((len(METRICS), len(fills), layers, heads, len(batch)), dtype=np.float32)
    for mode, fill in enumerate(fills):
        # The session is opened once and reads the gates anew in every pass.
        with torch.no_grad(), hooked(module, gate_heads(gates, fill)):
            with recording(module, blocks) as passes:
                base = _score(model, batch, goals, labels)
            for layer in range(layers):
                with skipping(module, blocks, passes, layer):
                    for head in range(heads):
                        gates[layer, head] = 0
                        ablated[:, mode, layer, head] = _score(model, batch, goals, labels)
                        gates[layer, head] = 1
    return [Scores(base[:, row], ablated[..., row]) for row in range(len(batch))]


def _score(model: Any, batch: Batch, goals: Sequence[Goal], labels: np.ndarray) -> np.ndarray:
    """Target, and 1 or 0 for whether the label is predicted, from one pass: (metric, batch)."""
    outputs: list[Tensor] = []
    handle = model.module.register_forward_hook(lambda _, given, output: outputs.append(output[0]))
    try:
        target = measure(model, batch, goals)
    finally:
        handle.remove()
    scores = np.full((len(METRICS), len(batch)), np.nan, dtype=np.float32)
    scores[0] = target.cpu().numpy()
    labelled = labels != UNLABELLED
    if labelled.any():
        predicted = outputs[-1].argmax(-1).cpu().numpy()
        scores[1, labelled] = (predicted == labels)[labelled]
    return scores
