"""What the report says first: one table per head, and one sentence per question."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ..ablation import Ablation, Importance
from ..attribution import Explanation
from ..probing.heads import HeadAnalysis
from ..probing.representations import Probes
from ..stats import MIN_COUNTS, MIN_UNITS

#: The attention score, the importance measure and the statistic that the report reads first.
PRIMARY, REFERENCE, STATISTIC = "attention_mean", "leave_one_out", "kendall_tau_b"
FLOORS = ("random", "position", "frequency", "other_sentence")
ALPHA = 0.05
TASK_NAMES = {"upos": "the part of speech (UPOS)", "deprel": "the dependency relation"}
TARGET_NAMES = {
    "previous": "the previous token",
    "self": "the token itself",
    "next": "the next token",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "first": "the first token",
    "punctuation": "punctuation",
    "other": "other words",
    "broad": "nothing in particular (broad)",
}


def head_summary(
    heads: HeadAnalysis, explanation: Explanation, importance: Importance, ablation: Ablation
) -> pd.DataFrame:
    """One row per head: what it looks at, the relation it follows, importance, effect.

    `relation` is empty unless both halves of the data chose this head for it and it beats the
    offset baseline (adjusted p below 0.05). Effects are on the target.
    """
    held = heads.best
    held = held[(held["p_adjusted"] < ALPHA) & held["same_head"].astype(bool)]
    by_head = held.groupby(["layer", "head"]).agg(
        relation=("relation", _names),
        relation_accuracy=("accuracy", "max"),
    )
    effects = ablation.table[ablation.table["metric"] == "target"]
    agreement = explanation.table
    agreement = agreement[
        (agreement["score"] == "attention")
        & (agreement["against"] == REFERENCE)
        & (agreement["statistic"] == STATISTIC)
    ]
    table = heads.roles.set_index(["layer", "head"]).join(by_head)
    table = table.join(importance.table.set_index(["layer", "head"])[["importance"]])
    for mode in ("zero", "mean"):
        one = effects[effects["mode"] == mode].set_index(["layer", "head"])
        one = one[["delta", "ci_low", "ci_high", "p_adjusted"]].add_prefix(f"{mode}_")
        table = table.join(one.rename(columns={f"{mode}_p_adjusted": f"{mode}_p"}))
    agreement = agreement.astype({"layer": int, "head": int}).set_index(["layer", "head"])
    table = table.join(agreement["mean"].rename("agreement"))
    table["relation"] = table["relation"].fillna("")
    return table.reset_index()


def answer_heads(heads: HeadAnalysis) -> str:
    """One sentence on what the heads look at."""
    counts = heads.roles["looks_at"].value_counts()
    most = counts.index[0]
    sentence = f"{counts.iloc[0]} of {len(heads.roles)} heads look mostly at {TARGET_NAMES[most]}"
    best = heads.best[heads.best["relation"] != "all"]
    if best.empty:
        return sentence + "; without a treebank nothing can be said about relations."
    held = best[(best["p_adjusted"] < ALPHA) & best["same_head"].astype(bool)]
    tested = best["p_adjusted"].notna().sum()
    if tested == 0:
        return sentence + "; there are too few texts to test which relations heads follow."
    if held.empty:
        return f"{sentence}; none of {tested} relations is followed by one head on both halves."
    top = largest(held, held["difference"])
    return (
        f"{sentence}; for {len(held)} of {tested} relations the head that both halves of the text "
        f"choose beats the best fixed offset on held-out text, most clearly {top['relation']} by "
        f"L{top['layer']}H{top['head']}: {_percent(top['accuracy'])} "
        f"{_range(top, _percent)} against {_percent(top['baseline_accuracy'])}."
    )


def answer_layers(probes: Probes | None) -> str:
    """One sentence on what the layers know."""
    if probes is None:
        return "What the layers know was not asked: this text has too little annotation."
    parts = []
    for task, table in probes.best[probes.best["against"] == "lookup"].groupby("task", sort=False):
        best = table[table["probe"] == "linear"].iloc[0]
        name = TASK_NAMES.get(str(task), str(task))
        parts.append(
            f"{name} best from hidden state {best['layer']}: {_percent(best['value'])} "
            f"{_range(best, _percent)} (word-type lookup {_percent(best['against_value'])}, "
            f"selectivity {100 * best['selectivity']:.0f} points)"
        )
    reading = "A linear probe on held-out text reads " + ", and ".join(parts)
    return reading + "; the hidden states were picked on a part of the training text."


def answer_attention(explanation: Explanation, ablation: Ablation) -> str:
    """One sentence on whether attention explains behaviour, and what breaks without a head."""
    scores = explanation.table[
        (explanation.table["against"] == REFERENCE)
        & (explanation.table["statistic"] == STATISTIC)
        & (explanation.table["n"] > 0)
    ]
    if not (scores["score"] == PRIMARY).any():
        agreement = "Whether attention explains behaviour cannot be said: no text has 6 words"
    elif scores.loc[scores["score"] == PRIMARY, "descriptive"].iloc[0]:
        count = scores.loc[scores["score"] == PRIMARY, "n"].iloc[0]
        agreement = (
            "There is too little text to say whether attention explains behaviour "
            f"({count} sentences of 6 words or more; {MIN_COUNTS} in {MIN_UNITS} units are needed)"
        )
    else:
        own = scores[scores["score"] == PRIMARY].iloc[0]
        floors = scores[scores["score"].isin(FLOORS)]
        floor = largest(floors, floors["mean"])
        agreement = (
            f"Mean attention ranks words like leave-one-out with τ = {own['mean']:.2f} "
            f"{_range(own, _two_digits)}, where the best floor ({_plain(floor['score'])}) reaches "
            f"{floor['mean']:.2f} and {_gradients(scores)}"
        )
    return f"{agreement}; {_removal(ablation)}."


def _gradients(scores: pd.DataFrame) -> str:
    own = scores.loc[scores["score"] == "integrated_gradients", "mean"]
    if own.empty:
        return "integrated gradients could not be completed"
    return f"integrated gradients {own.iloc[0]:.2f}"


def _removal(ablation: Ablation) -> str:
    """What removing a head does; the strongest head is chosen on one half of the texts."""
    effects = ablation.table[
        (ablation.table["metric"] == "target") & (ablation.table["mode"] == "zero")
    ]
    if effects["p_adjusted"].isna().all():
        return "there are too few texts to test what removing a head does"
    moved = (effects["p_adjusted"] < ALPHA).sum()
    change = ablation.target[0] - ablation.base_target  # (layer, head, example)
    half = change.shape[-1] // 2
    first = np.abs(change[..., :half].mean(-1))
    layer, head = np.unravel_index(first.argmax(), first.shape)
    share = change[layer, head, half:].mean() / ablation.base_target[half:].mean()
    return (
        f"removing one head measurably moves the target for {moved} of {len(effects)} heads; the "
        f"one that matters most on half of the texts, L{layer}H{head}, moves it by "
        f"{abs(100 * share):.0f} % on the other half"
    )


def answer_ablation(summary: pd.DataFrame) -> str:
    """One sentence on what removing a head does, and whether the gradient foresaw it."""
    known = summary.dropna(subset=["importance", "zero_delta"])
    zero, mean = known["zero_delta"].abs(), known["mean_delta"].abs()
    tau = known["importance"].corr(zero, method="kendall")
    return (
        f"Setting a head to zero changes the target by {zero.median():.3g} for the median head and "
        f"{zero.max():.3g} at most; putting its mean output in its place, by {mean.median():.3g} "
        f"and {mean.max():.3g}. Gradient importance ranks the heads like their measured effect "
        f"with τ = {tau:.2f}."
    )


def strongest_heads(summary: pd.DataFrame, count: int = 12) -> pd.DataFrame:
    """The heads whose removal changes the target most, for reading."""
    order = summary["zero_delta"].abs().sort_values(ascending=False).index
    columns = ["layer", "head", "looks_at", "share", "relation", "relation_accuracy", "importance",
               "zero_delta", "zero_p", "mean_delta", "agreement"]  # fmt: skip
    return summary.loc[order[:count], columns]


def largest(table: pd.DataFrame, by: pd.Series) -> pd.Series:
    """The row of a table where a column, or what is computed from one, is largest."""
    return table.iloc[int(by.argmax())]


def _names(relations: pd.Series) -> str:
    """The relations of a head, those that are no single relation last."""
    return ", ".join(sorted(relations, key=lambda name: name in ("all", "punct")))


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _two_digits(value: float) -> str:
    return f"{value:.2f}"


def _range(row: pd.Series, form: Callable[[float], str]) -> str:
    return f"[{form(row['ci_low'])}, {form(row['ci_high'])}]"
