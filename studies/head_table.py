"""One table per head: what it looks at, how much it matters, whether its map explains anything."""

import pandas as pd

from ..ablation import Ablation, Importance
from ..attribution import HeadMaps, Scrambled
from ..probing.heads import HeadAnalysis

PLACE = ["layer", "head"]


def explained_heads(
    heads: HeadAnalysis,
    importance: Importance,
    ablation: Ablation,
    agreement: pd.DataFrame,
    maps: HeadMaps,
    scrambled: Scrambled,
    *,
    reference: str,
    statistic: str,
) -> pd.DataFrame:
    """`explanation_heads.csv`: one row per head, from results on the same model and data.

    Args:
        agreement: of `Explanation`; the row of each head against `reference` is taken.
        scrambled: of the scope `head`.

    Returns:
        `layer,head`, then each value with `_low` and `_high`, its 95 % interval over units:
        `looks_at` and `share`, what gets most of the attention and how much of it (no interval
        for `other` and `broad`); `importance`, mean |∂target/∂gate|; `ablation`, change of the
        target with the head's output at zero, with `ablation_p` (max-T over heads); `agreement`
        of its map with the reference; `faithfulness`, how much more comprehensive the words are
        that it attends to most than random words; `counterfactual`, how much farther the output
        moves under permuted rows of its map than under a random change of its output of equal
        norm, with `counterfactual_p` (max-T over heads).
    """
    table = heads.roles.set_index(PLACE)[["looks_at", "share"]]
    table = table.join(_shares(heads), how="left")
    target = ablation.table
    target = target[(target["metric"] == "target") & (target["mode"] == "zero")]
    own = agreement[
        (agreement["score"] == "attention")
        & (agreement["against"] == reference)
        & (agreement["statistic"] == statistic)
    ]
    moved = scrambled.table
    # Metrics named …_median are of the same draws once more.
    moved = moved[(moved["scope"] == "head") & ~moved["metric"].str.endswith("_median")]
    parts: list[pd.DataFrame | pd.Series] = [
        _named(importance.table, "importance", "importance", "ci_low", "ci_high"),
        _named(target, "ablation", "delta", "ci_low", "ci_high", "p_adjusted"),
        _named(own, "agreement", "mean", "ci_low", "ci_high"),
        _named(maps.table, "faithfulness", "advantage", "ci_low", "ci_high"),
        _named(moved, "counterfactual", "difference", "difference_low", "difference_high",
               "p_adjusted"),
    ]  # fmt: skip
    return table.join(parts, how="left").reset_index()


def _named(table: pd.DataFrame, name: str, *columns: str) -> pd.DataFrame:
    """Value, interval and p of each head, under one name."""
    ends = ("", "_low", "_high", "_p")
    names = {column: f"{name}{end}" for column, end in zip(columns, ends, strict=False)}
    placed = table.astype({"layer": "int64", "head": "int64"}).set_index(PLACE)
    return placed[list(columns)].rename(columns=names)


def _shares(heads: HeadAnalysis) -> pd.DataFrame:
    """The interval of the share of what each head looks at, where that is a statistic."""
    joined = heads.table.merge(heads.roles[[*PLACE, "looks_at"]], on=PLACE)
    own = joined[joined["statistic"] == joined["looks_at"]].set_index(PLACE)
    return own[["ci_low", "ci_high"]].add_prefix("share_").rename(
        columns={"share_ci_low": "share_low", "share_ci_high": "share_high"}
    )  # fmt: skip
