"""The `ablate` analysis: what each part of a model is worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..attribution.goals import Function
from ..corpora import Examples, MinimalPairs
from ..errors import CaptureError
from ..results import Result
from .effects import differences
from .instruments import default_metrics
from .metrics import Metric, Scoring
from .null_sets import random_sets, with_null
from .parts import Part, check_parts, every_head, heads_of
from .scoring import DRAWS, Scores, check_modes, score
from .setting import Setting, settle

#: Modes unless others of `scoring.MODES` are asked for.
MODES = ("zero", "mean")
#: Random sets that a set of heads is compared with.
NULL_SETS = 50
COLUMNS = (
    "layer", "head", "mode", "metric", "base", "ablated", "delta", "ci_low", "ci_high",
    "p_adjusted", "n", "descriptive", "part", "kind",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class Ablation(Result):
    """What happens without each part, one at a time.

    `table` has one row per mode, metric and part: `base` and `ablated` are the metric over `n`
    examples; `delta` = ablated − base, paired, with its 95 % interval; `p_adjusted` is adjusted
    over the parts of one mode, metric and kind (max-T); where `descriptive` is True there is too
    little data for a p-value. The target is in the units of the model's logits, or of its
    embedding; losses are in nats; a sum of squares for a regression. With sets of heads,
    `null_mean`, `null_low`, `null_high` are mean and middle 95 % of the effects of random sets
    with as many heads in each layer, and `p_null` is the set's place among them.
    """

    ids: np.ndarray
    """(example,)"""
    units: np.ndarray
    """(example,), index of the document or sentence that is resampled."""
    parts: pd.DataFrame
    """part, kind, layer, head: one row a part, as they are counted below."""
    statistics: pd.DataFrame
    """metric, statistic: what the numbers of an example are, as they are counted below."""
    base: np.ndarray
    """(example, statistic), of the intact model; NaN where an example has none."""
    ablated: np.ndarray
    """(mode, part, example, statistic), without the part; the mean over draws."""

    @property
    def modes(self) -> list[str]:
        return list(self.provenance.options["modes"])

    def rows(self, metric: str, mode: str | None = None) -> np.ndarray:
        """Statistics of a metric: (example, k) of the intact model, (part, example, k) in a mode.

        Raises:
            CaptureError: a metric or mode that was not asked for.
        """
        own = (self.statistics["metric"] == metric).to_numpy()
        if not own.any() or mode not in (None, *self.modes):
            place = "" if mode is None else f" in mode {mode!r}"
            raise CaptureError(
                f"There is no metric {metric!r}{place}; this ablation has "
                f"{', '.join(dict.fromkeys(self.statistics['metric']))} in the modes "
                f"{', '.join(self.modes)}."
            )
        if mode is None:
            return self.base[:, own]
        return self.ablated[self.modes.index(mode)][..., own]

    @property
    def base_target(self) -> np.ndarray:
        """(example,), the target on the intact model."""
        return self.rows("target")[:, 0]

    @property
    def target(self) -> np.ndarray:
        """(mode, layer, head, example), the target without the head."""
        return self._grid("target")

    @property
    def base_correct(self) -> np.ndarray:
        """(example,), 1 where the intact model predicts the label, else 0; NaN without a label."""
        return self.rows("accuracy")[:, 0]

    @property
    def correct(self) -> np.ndarray:
        """(mode, layer, head, example), the same without the head."""
        return self._grid("accuracy")

    def _grid(self, metric: str) -> np.ndarray:
        """(mode, layer, head, example) of parts that are all heads of a grid."""
        layers, heads = (int(self.parts[name].max()) + 1 for name in ("layer", "head"))
        if (self.parts["kind"] != "head").any() or len(self.parts) != layers * heads:
            raise CaptureError(
                "The parts of this ablation are not all heads of a grid; take rows(metric, mode)."
            )
        values = np.stack([self.rows(metric, mode)[..., 0] for mode in self.modes])
        return values.reshape(len(self.modes), layers, heads, -1)


def ablate(
    model: Any,
    examples: Examples | MinimalPairs,
    *,
    parts: Sequence[Part] | None = None,
    metrics: Sequence[str | Scoring] | None = None,
    modes: Sequence[str] = MODES,
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
    draws: int = DRAWS,
    null_sets: int = NULL_SETS,
    folder: str | Path | None = None,
) -> Ablation:
    """Switch parts of the model off in turn, and measure what changes.

    Args:
        model: what `load_model` returns.
        parts: from `bertology.ablation.parts` (default: every head).
        metrics: names (see `METRICS`), or functions of predictions and labels (classes as
            numbers, or values); default: the target, and the accuracy where there are labels.
        modes: what takes the place of a part, see `score`: `zero`, `mean`, `uniform`, `resample`.
        target: class, token or function, see `bertology.attribution.prepare`; so `foil`.
        draws: texts that each text is resampled from.
        null_sets: random sets of heads that each set of heads is compared with.
        folder: where finished batches are kept, so that a run that was stopped goes on.

    Raises:
        CaptureError: an unknown mode, a part that does not exist, or attention that cannot be
            reached.
        CorpusError: a metric that does not fit, a label the model does not have, or too few
            examples to split.
        AttributionError: the target does not suit the model, or no example can be used.
        OutputError: the folder holds something else.
    """
    module = model.module
    own = every_head(module) if parts is None else parts
    # Refused before any work.
    check_parts(module, own)
    chosen = check_modes(modes, own, draws)
    asked = default_metrics(model, examples) if metrics is None else metrics
    setting = settle(
        model, examples, metrics=[asked] if isinstance(asked, str) else asked, target=target,
        foil=foil, seed=seed, options={"modes": chosen},
    )  # fmt: skip
    heads = heads_of(module)
    nulls = {
        part.name: random_sets(part, heads, null_sets, seed)
        for part in own if part.kind == "set" and not part.mlps and not part.layers
    }  # fmt: skip
    every = [*own, *(drawn for sets in nulls.values() for drawn in sets)]
    scores = score(model, setting, every, modes=chosen, seed=seed, draws=draws, folder=folder)
    return Ablation(
        table=_table(setting, scores, chosen, own, nulls, seed),
        provenance=setting.provenance,
        ids=setting.ids,
        units=setting.units,
        parts=_described(own),
        **_statistics(setting, scores, chosen, len(own)),
    )


def _described(parts: Sequence[Part]) -> pd.DataFrame:
    return pd.DataFrame({
        "part": [part.name for part in parts],
        "kind": [part.kind for part in parts],
        "layer": _whole([part.place[0] for part in parts]),
        "head": _whole([part.place[1] for part in parts]),
    })  # fmt: skip


def _whole(numbers: list[int | None]) -> "pd.Series[Any]":
    """Whole numbers, of a type that knows missing ones only where there are some."""
    missing = any(number is None for number in numbers)
    return pd.Series(numbers, dtype="Int64" if missing else "int64")


def _statistics(setting: Setting, scores: Scores, modes: list[str], parts: int) -> dict[str, Any]:
    names = [metric.name for metric in setting.metrics]
    labels = [(metric.name, column) for metric in setting.metrics for column in metric.columns]
    ablated = [
        np.concatenate([scores.ablated[mode, name][:parts].mean(1) for name in names], axis=-1)
        for mode in modes
    ]
    return {
        "statistics": pd.DataFrame(labels, columns=["metric", "statistic"]),
        "base": np.concatenate([scores.base[name] for name in names], axis=-1),
        "ablated": np.stack(ablated),
    }


def _table(
    setting: Setting,
    scores: Scores,
    modes: list[str],
    parts: Sequence[Part],
    nulls: dict[str, list[Part]],
    seed: int,
) -> pd.DataFrame:
    families = [
        _with_nulls(
            _family(setting, metric, scores, mode, parts, seed), metric, scores, mode, parts, nulls
        )
        for mode in modes for metric in setting.metrics
    ]  # fmt: skip
    table = pd.concat(families, ignore_index=True)
    extra = [name for name in table if name not in COLUMNS]
    return table[[*COLUMNS, *extra]]


def _family(
    setting: Setting, metric: Metric, scores: Scores, mode: str, parts: Sequence[Part], seed: int
) -> pd.DataFrame:
    """All parts of one mode and metric; p-values are adjusted within each kind of part."""
    described = _described(parts).assign(mode=mode, metric=metric.name)
    rows = scores.ablated[mode, metric.name]
    pieces = []
    for kind in dict.fromkeys(part.kind for part in parts):
        own = [index for index, part in enumerate(parts) if part.kind == kind]
        found = differences(metric, scores.base[metric.name], rows[own], setting.units, seed)
        pieces.append(found.set_axis(own))
    return described.join(pd.concat(pieces))


def _with_nulls(
    table: pd.DataFrame,
    metric: Metric,
    scores: Scores,
    mode: str,
    parts: Sequence[Part],
    nulls: dict[str, list[Part]],
) -> pd.DataFrame:
    if not nulls:
        return table
    before = metric.of(scores.base[metric.name])
    rows, start = scores.ablated[mode, metric.name], len(parts)
    effects = {}
    for name, sets in nulls.items():
        drawn = metric.of(rows[start : start + len(sets)]).mean(-1) - before
        start += len(sets)
        effects[name] = (float(table.loc[table["part"] == name, "delta"].iloc[0]), drawn)
    return with_null(table, effects)
