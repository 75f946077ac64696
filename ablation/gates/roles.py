"""What the heads that survive were found to do by the analyses of heads."""

import pandas as pd
from scipy.stats import hypergeom

from ...errors import CaptureError
from ...probing.heads import DecoderHeads, HeadAnalysis
from ...stats import holm
from .analysis import LearnedGates

_KEYS = ["penalty", "seed"]


def named_roles(heads: HeadAnalysis | DecoderHeads) -> pd.DataFrame:
    """The roles of heads, from tables that exist: one row for each head and role.

    Of `analyse_heads`: what gets most of a head's attention (`looks at previous`), its pattern
    (`vertical map`), and the relations whose best head it is by ten points or more, where it was
    not chosen (`syntactic: nsubj`, the criterion of Voita et al. 2019, section 5.2). Of
    `decoder_heads`: the scores that name it (`induction`).

    Returns:
        Columns layer, head, role.
    """
    if isinstance(heads, DecoderHeads):
        return heads.named.rename(columns={"score": "role"})[["layer", "head", "role"]]
    parts = [heads.roles.assign(role="looks at " + heads.roles["looks_at"])]
    if len(heads.head_patterns):
        parts.append(heads.head_patterns.assign(role=heads.head_patterns["pattern"] + " map"))
    if len(heads.best):
        best = heads.best[heads.best["syntactic"].astype(bool)]
        parts.append(best.assign(role="syntactic: " + best["relation"]))
    table = pd.concat([part[["layer", "head", "role"]] for part in parts], ignore_index=True)
    return table.drop_duplicates(ignore_index=True)


def surviving_heads(gates: LearnedGates, roles: pd.DataFrame) -> pd.DataFrame:
    """The heads that are kept, each with its roles.

    Args:
        roles: from `named_roles`.

    Returns:
        Columns penalty, seed, layer, head, gate, roles (names with `; ` between them).

    Raises:
        CaptureError: roles of a head that the model of the gates does not have.
    """
    _check(gates, roles)
    joined = roles.groupby(["layer", "head"])["role"].agg("; ".join).rename("roles").reset_index()
    kept = gates.table.loc[gates.table["kept"], [*_KEYS, "layer", "head", "gate"]]
    found = kept.merge(joined, on=["layer", "head"], how="left")
    return found.assign(roles=found["roles"].fillna(""))


def kept_by_role(gates: LearnedGates, roles: pd.DataFrame) -> pd.DataFrame:
    """How many heads of each role survive, and whether more than if heads survived at random.

    Returns:
        Columns penalty, seed, role, kept, heads (of the role), expected (of `heads`, if as large a
        share survived as of all heads), p (one-sided, hypergeometric), p_adjusted (Holm over the
        roles of one penalty and seed).

    Raises:
        CaptureError: roles of a head that the model of the gates does not have.
    """
    _check(gates, roles)
    parts = []
    for _, heads in gates.table.groupby(_KEYS):
        with_role = roles.merge(heads, on=["layer", "head"]).groupby("role")["kept"]
        part = with_role.agg(kept="sum", heads="size").reset_index()
        total, survivors = len(heads), int(heads["kept"].sum())
        part["expected"] = part["heads"] * survivors / total
        part["p"] = hypergeom.sf(part["kept"] - 1, total, part["heads"], survivors)
        part["p_adjusted"] = holm(part["p"].to_numpy())
        parts.append(part.assign(**{key: heads[key].iloc[0] for key in _KEYS}))
    table = pd.concat(parts, ignore_index=True)
    return table[[*_KEYS, *table.columns.drop(_KEYS)]]


def _check(gates: LearnedGates, roles: pd.DataFrame) -> None:
    known = set(zip(gates.table["layer"], gates.table["head"], strict=True))
    if odd := set(zip(roles["layer"], roles["head"], strict=True)) - known:
        layer, head = min(odd)
        raise CaptureError(
            f"There is a role for L{layer}H{head}, and {gates.provenance.model} has no such head; "
            "give the analysis of the model whose gates were learned."
        )
