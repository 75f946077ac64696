"""Which heads to remove: the least important, with one left in each layer."""

import pandas as pd

from ...errors import CaptureError


def least_important(table: pd.DataFrame, keep: float | int) -> list[tuple[int, int]]:
    """The heads to remove so that the most important ones are kept.

    Heads of all layers are ranked together (Michel et al. 2019, section 4.2), but the best head of
    each layer stays: a layer that is to lose all of them is better removed as a whole. Ties go
    to the lower layer and head.

    Args:
        table: layer, head, importance; of `bertology.ablation.importance`.
        keep: a share of the heads (a float up to 1), or their number.

    Raises:
        CaptureError: fewer heads than layers are to be kept, or more than there are.
    """
    layers = table["layer"].nunique()
    count = kept_count(keep, len(table), layers)
    ranked = table.sort_values(
        ["importance", "layer", "head"], ascending=[False, True, True], kind="stable"
    )
    best = ranked.groupby("layer", sort=False).head(1)
    others = ranked.drop(best.index)
    removed = others.iloc[count - layers :]
    return sorted(zip(removed["layer"].tolist(), removed["head"].tolist(), strict=True))


def kept_count(keep: float | int, total: int, layers: int) -> int:
    """How many of `total` heads in `layers` layers a share or number keeps.

    Raises:
        CaptureError: fewer heads than layers, or more than there are.
    """
    count = round(keep * total) if isinstance(keep, float) else keep
    if not layers <= count <= total:
        raise CaptureError(
            f"{count} of {total} heads would be kept (keep={keep}); give a share or number that "
            f"keeps at least one in each of the {layers} layers and at most all. Whole layers are "
            "removed by layers=[…] (--layers)."
        )
    return count
