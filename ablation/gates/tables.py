"""Tables of learned gates."""

import numpy as np
import pandas as pd
from torch import Tensor

from ...stats import bootstrap_ratio, is_descriptive
from ..setting import sums_of_units
from .concrete import deterministic_gate, open_probability
from .scoring import SUMS

#: A gate between these is neither open nor closed (the share of them says whether the gates of a
#: model are bimodal, as they are meant to be).
CLOSED, OPEN = 0.01, 0.99


def gate_rows(log_alpha: Tensor) -> pd.DataFrame:
    """One row a head: `layer, head, log_alpha, open_probability, gate, kept`."""
    layers, heads = np.indices(tuple(log_alpha.shape))
    gates = deterministic_gate(log_alpha)
    return pd.DataFrame({
        "layer": layers.ravel(),
        "head": heads.ravel(),
        "log_alpha": log_alpha.flatten().cpu().numpy(),
        "open_probability": open_probability(log_alpha).flatten().cpu().numpy(),
        "gate": gates.flatten().cpu().numpy(),
        "kept": (gates > 0).flatten().cpu().numpy(),
    })  # fmt: skip


def summary_rows(
    base: np.ndarray,
    gated: np.ndarray,
    random: np.ndarray,
    units: np.ndarray,
    log_alpha: Tensor,
    *,
    seed: int,
) -> pd.DataFrame:
    """One row a metric: `loss`, in nats (of a regression, the squared error), and `accuracy`.

    `value` with the gates and its interval over units; `base` without gates; `delta` = value −
    base, paired, with its interval; `n` texts. `heads_kept` of `heads`; `undecided`: the share of
    gates in (0.01, 0.99). `random` is the mean over `draws` in which the same gates were dealt to
    the heads at random, `random_low` and `random_high` their 2.5 and 97.5 percentiles, and
    `p_random` the chance of random gates to do as well as the learned ones.

    Args:
        base, gated: (text, sum), from `gated_sums`.
        random: (draw, text, sum).
        units: (text,).
    """
    gates = deterministic_gate(log_alpha).cpu().numpy()
    shared = {
        "n": len(units),
        "heads_kept": int((gates > 0).sum()),
        "heads": gates.size,
        "undecided": ((gates > CLOSED) & (gates < OPEN)).mean(),
    }
    rows = []
    for place, metric in enumerate(SUMS[:-1]):
        if np.isnan(gated[:, place]).any():
            continue
        # Lower is better of a loss.
        sign = -1 if metric == "loss" else 1
        rows.append({
            "metric": metric,
            **_values(base[:, place], gated[:, place], gated[:, -1], units, seed),
            **shared,
            **_beside_random(gated[:, place], random[..., place], gated[:, -1], sign),
            "descriptive": bool(is_descriptive(len(units), len(np.unique(units)))),
        })  # fmt: skip
    return pd.DataFrame(rows)


def _values(
    base: np.ndarray, gated: np.ndarray, counts: np.ndarray, units: np.ndarray, seed: int
) -> dict[str, float]:
    cells = np.stack([gated, base, gated - base, counts], axis=1)
    sums, _ = sums_of_units(cells, units)
    estimate, low, high = bootstrap_ratio(sums[:, :3], sums[:, 3:].repeat(3, 1), seed=seed)
    names = {"value": estimate[0], "ci_low": low[0], "ci_high": high[0], "base": estimate[1],
             "delta": estimate[2], "delta_low": low[2], "delta_high": high[2]}  # fmt: skip
    return {name: float(number) for name, number in names.items()}


def _beside_random(
    gated: np.ndarray, random: np.ndarray, counts: np.ndarray, sign: int
) -> dict[str, float]:
    means = random.sum(1) / counts.sum()
    own = gated.sum() / counts.sum()
    low, high = np.quantile(means, [0.025, 0.975])
    # The same sums in another batch may differ in the last bits.
    as_good = sign * means >= sign * own - 1e-6 * abs(own)
    return {
        "random": float(means.mean()), "random_low": float(low), "random_high": float(high),
        "p_random": (1 + int(as_good.sum())) / (1 + len(means)), "draws": len(means),
    }  # fmt: skip
