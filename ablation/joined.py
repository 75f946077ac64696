"""One table of several ablations: fine-tuning seeds, checkpoints, or models of one shape."""

from collections.abc import Mapping

import pandas as pd

from ..errors import CaptureError
from .sweep import Ablation

_KEYS = ["layer", "head", "mode", "metric", "part", "kind"]


def joined(ablations: Mapping[str, Ablation]) -> pd.DataFrame:
    """One row per mode, metric and part that all ablations have.

    `mean` and `sd` (over runs, with n − 1) are of the deltas, `runs` says how many there are,
    `same_sign` the share of runs whose delta has the sign of the mean, and each run has a column
    `delta NAME`. One run says nothing of how far runs differ, so `sd` is NaN for it.

    Raises:
        CaptureError: no ablation, or none that all have in common.
    """
    if not ablations:
        raise CaptureError("No ablation was given; give one for each seed or checkpoint.")
    table: pd.DataFrame | None = None
    names = [f"delta {name}" for name in ablations]
    for name, one in zip(names, ablations.values(), strict=True):
        own = one.table[[*_KEYS, "delta"]].rename(columns={"delta": name})
        table = (
            own
            if table is None
            else table.merge(
                own.drop(columns=["layer", "head", "kind"]), on=["mode", "metric", "part"]
            )
        )
    if table is None or table.empty:
        raise CaptureError(
            "The ablations have no mode, metric and part in common; repeat them with the same."
        )
    deltas = table[names]
    mean = deltas.mean(axis=1)
    same = deltas.mul(mean, axis=0).gt(0).mean(axis=1).where(mean != 0)
    summary = table[_KEYS].assign(
        mean=mean, sd=deltas.std(axis=1, ddof=1), runs=len(names), same_sign=same
    )
    return summary.join(deltas)
