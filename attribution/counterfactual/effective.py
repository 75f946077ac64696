"""Effective attention: the part of attention that reaches the output (Brunner et al. 2020).

A head adds A·T to the residual stream, T = values · W_O. What lies in the left null space of T is
lost on the way, so that attention is not identifiable once a text has more tokens than T has rank.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, find_sites, hooked
from ...capture.places import one_of_a_kind
from ...capture.projection import output_weights
from ..means import mean_over_units
from ..running import stream_with
from ..targets import Prepared
from .maps import uniform


def effective_attention(attention: Tensor, transformed: Tensor) -> Tensor:
    """A⊥ = A − the projection of its rows on the left null space of T, so that A⊥·T = A·T.

    Rows need not sum to 1, and weights can be negative. Where T has as many independent rows as
    there are keys, nothing is lost and A⊥ is A.

    Args:
        attention: (…, query, key).
        transformed: T, (…, key, width); float64 is advised.

    Returns:
        (…, query, key), of the type of T.
    """
    left, sizes, _ = torch.linalg.svd(transformed, full_matrices=False)
    largest = sizes.amax(-1, keepdim=True)
    limit = largest * max(transformed.shape[-2:]) * torch.finfo(sizes.dtype).eps
    left = left * (sizes > limit).to(left)[..., None, :]
    return attention.to(left) @ left @ left.mT


def ineffective_shares(model: Any, prepared: Prepared, units: Sequence[int], *, seed: int = 0
                       ) -> pd.DataFrame:  # fmt: skip
    """How much of each head's attention reaches no output: ‖A − A⊥‖ / ‖A‖, Frobenius norms.

    Returns:
        `layer,head,mean,ci_low,ci_high,n,baseline,difference,difference_low,difference_high,
        tokens,rank,descriptive`: the baseline is the same of attention spread evenly over the
        visible keys, `difference` is from it and paired; `tokens` and `rank` are means over the
        texts of the number of tokens and of the rank of T. Intervals: percentile bootstrap over
        units.

    Raises:
        CaptureError: attention or W_O cannot be reached, or there are several kinds of attention.
    """
    sites = find_sites(model.module)
    one_of_a_kind(sites)
    # T has the left null space of values · R' where W_O = R'Q, which is smaller.
    reduced = {
        site.layer: torch.linalg.qr(output_weights(model.module, site).double().mT)[1].mT
        for site in sites
    }

    def run(batch: Batch, _: list[None]) -> list[np.ndarray]:
        found: list[list[np.ndarray]] = [[] for _ in range(len(batch))]
        keep = batch.mask.bool()

        def observe(event: Event) -> None:
            for row, own in enumerate(found):
                there = keep[row]
                maps = event.attention[row].double()[:, there][:, :, there]
                even = uniform(event.visible[row].expand_as(event.attention[row]))
                even = even.double()[:, there][:, :, there]
                moved = event.value[row].double()[:, there] @ reduced[event.site.layer]
                rank = torch.linalg.matrix_rank(moved).double()
                lost = [_lost(one, moved) for one in (maps, even)]
                own.append(torch.stack([*lost, rank], 1).cpu().numpy())

        with torch.no_grad(), hooked(model.module, Hook(observe=observe)):
            model.module(**batch.inputs)
        return [np.concatenate(own) for own in found]

    nothing = [None] * len(prepared.encodings)
    values = np.stack(
        stream_with(model, prepared.encodings, nothing, run, description="effective attention")
    )
    share, baseline, rank = np.moveaxis(values, -1, 0)
    means, even = (mean_over_units(own, units, seed) for own in (share, baseline))
    against = mean_over_units(share - baseline, units, seed)
    return pd.DataFrame({
        "layer": np.concatenate([np.full(site.heads, site.layer) for site in sites]),
        "head": np.concatenate([np.arange(site.heads) for site in sites]),
        "mean": means.mean, "ci_low": means.low, "ci_high": means.high, "n": means.n,
        "baseline": even.mean, "difference": against.mean,
        "difference_low": against.low, "difference_high": against.high,
        "tokens": np.mean([len(encoding) for encoding in prepared.encodings]),
        "rank": rank.mean(0), "descriptive": means.descriptive,
    })  # fmt: skip


def _lost(attention: Tensor, transformed: Tensor) -> Tensor:
    """(head,) share of the norm that is lost."""
    lost = attention - effective_attention(attention, transformed)
    return lost.flatten(1).norm(dim=1) / attention.flatten(1).norm(dim=1)
