"""A model before and after pruning: what it costs and how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ...attribution.running import stream_with
from ...capture import Batch, eval_mode, find_sites
from ...corpora import Examples
from ...models import LoadedModel
from ...models.pruned import plan_of
from ...results import Result
from ..effects import differences
from ..metrics import Scoring
from ..panels import Panel, Reading
from ..setting import Setting, settle
from .cost import BATCH_SIZES, LENGTHS, REPEATS, file_size, latency, parameters

COLUMNS = ("metric", "before", "after", "delta", "ci_low", "ci_high", "n", "descriptive")


@dataclass(frozen=True, repr=False)
class Pruning(Result):
    """What pruning saved, and what it cost.

    `table` has a row a metric: `before`, `after`, and their difference, paired by example with
    its 95 % interval over units, on `n` examples; and rows without interval for the size:
    `heads`, `parameters`, `file_bytes` (safetensors).
    """

    latency: pd.DataFrame
    """batch_size, length, before_seconds, after_seconds, ratio, ratio_low, ratio_high, repeats,
    device; see `latency`."""


def compare(
    before: LoadedModel,
    after: LoadedModel,
    examples: Examples,
    *,
    metrics: Sequence[str | Scoring] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    lengths: Sequence[int] = LENGTHS,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Pruning:
    """Compare a pruned model with the one it was made from.

    Give examples that had no part in the choice of what was removed, nor in fine-tuning.

    Args:
        metrics: as for `ablate`; by default accuracy and loss of a classifier where there are
            labels, loss of a language model, else the target.

    Raises:
        CorpusError: a metric that does not fit, or no example that can be read.
        ModelError: sizes at which time cannot be measured.
    """
    chosen = _default(before, examples) if metrics is None else list(metrics)
    setting = settle(before, examples, metrics=chosen, seed=seed, options={
        "pruned": after.name, "pruned_weights_sha256": after.weights_sha256,
        "removed": plan_of(after.config), "repeats": repeats,
    })  # fmt: skip
    scores = [_scores(model, setting) for model in (before, after)]
    rows = [
        differences(
            metric, scores[0][metric.name], scores[1][metric.name][None, None], setting.units, seed
        ).assign(metric=metric.name)
        for metric in setting.metrics
    ]
    quality = pd.concat(rows, ignore_index=True).rename(
        columns={"base": "before", "ablated": "after"}
    )
    table = pd.concat([quality[list(COLUMNS)], _sizes(before, after)], ignore_index=True)
    times = latency(
        before, after, batch_sizes=batch_sizes, lengths=lengths, repeats=repeats, seed=seed
    )
    return Pruning(table=table, provenance=setting.provenance, latency=times)


def _scores(model: LoadedModel, setting: Setting) -> dict[str, np.ndarray]:
    """The statistics of every example, by metric: (example, k)."""
    found: dict[str, np.ndarray] = {}
    for panel in setting.panels:

        def run(batch: Batch, readings: list[Reading], panel: Panel = panel) -> list[np.ndarray]:
            with torch.no_grad(), eval_mode(model.module):
                return list(panel.read(model, model.module(**batch.inputs), batch, readings))

        encodings = [reading.encoding for reading in panel.readings]
        rows = stream_with(model, encodings, panel.readings, run, description="scoring")
        found |= panel.of_examples(np.stack(rows), len(setting.examples))
    return found


def _default(model: LoadedModel, examples: Examples) -> list[str]:
    if model.task in ("causal-lm", "masked-lm"):
        return ["loss"]
    if model.task == "classification" and any(e.label is not None for e in examples.examples):
        return ["accuracy", "loss"] if len(model.labels) > 1 else ["loss"]
    return ["target"]


def _sizes(before: LoadedModel, after: LoadedModel) -> pd.DataFrame:
    heads = [sum(site.heads for site in find_sites(m.module)) for m in (before, after)]
    rows = {
        "heads": (heads[0], heads[1]),
        "parameters": (parameters(before), parameters(after)),
        "file_bytes": (file_size(before), file_size(after)),
    }
    nothing = {"ci_low": np.nan, "ci_high": np.nan, "n": 0, "descriptive": False}
    return pd.DataFrame([
        {"metric": name, "before": float(one), "after": float(two), "delta": float(two - one),
         **nothing}
        for name, (one, two) in rows.items()
    ])  # fmt: skip
