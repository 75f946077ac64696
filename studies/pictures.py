"""The figures of the report: which there are, what each is drawn from, how each is called."""

from dataclasses import dataclass

import pandas as pd

from .. import viz
from ..ablation import Ablation
from ..attribution import Explanation
from ..capture import Captured
from ..probing.heads import HeadAnalysis
from ..probing.representations import Probes
from ..stats import MIN_COUNTS
from .page import Picture
from .summary import REFERENCE, TASK_NAMES


@dataclass(frozen=True)
class Hit:
    """A head that follows a relation, and a sentence on which it is right."""

    captured: Captured
    relation: str
    layer: int
    head: int


def report_pictures(
    summary: pd.DataFrame,
    heads: HeadAnalysis,
    layers: Probes | None,
    explanation: Explanation,
    ablation: Ablation,
    captured: Captured,
    hit: Hit | None,
) -> list[Picture]:
    """Every figure there is data for.

    Args:
        summary: one row per head.
        captured: the sentence that all heads are shown on.
        hit: None for text without trees.
    """
    return [
        Picture("head_atlas", lambda: viz.head_atlas(summary), "Head atlas", columns=2),
        Picture(
            "agreement",
            lambda: viz.agreement_points(explanation, against=REFERENCE),
            "Agreement with leave-one-out",
        ),
        *_relation_pictures(heads, hit),
        Picture(
            "entropy",
            lambda: viz.statistic_map(heads, statistic="entropy_normalised"),
            "Entropy of attention as a share of the largest possible",
        ),
        Picture(
            "attention_grid",
            lambda: viz.attention_grid(captured),
            "All heads on one sentence",
            columns=2,
            wide=True,
        ),
        *_probe_pictures(layers),
        *_gradient_pictures(explanation),
        Picture("effects", lambda: viz.effect_map(ablation), "Effect of removing a head"),
        Picture(
            "importance",
            lambda: viz.effect_against_importance(summary),
            "What the gradient predicts, and what removal does",
        ),
    ]


def _relation_pictures(heads: HeadAnalysis, hit: Hit | None) -> list[Picture]:
    if heads.best.empty:
        return []
    # Rarer relations have no held-out row, and their cells are mostly luck.
    frequent = heads.relations[heads.relations["n"] >= MIN_COUNTS]
    pictures = [
        Picture(
            "relations",
            lambda: viz.relation_points(heads.best),
            "Best head per relation, scored on the other half",
        ),
        Picture(
            "relation_map",
            lambda: viz.relation_map(frequent),
            f"Relations by layer, those with at least {MIN_COUNTS} dependents",
        ),
    ]
    if hit is not None:
        pictures.append(
            Picture(
                "best_head",
                lambda: viz.attention_lines(hit.captured, layer=hit.layer, head=hit.head),
                f"L{hit.layer}H{hit.head}, the head of {hit.relation}, on a sentence it gets right",
            )
        )
    return pictures


def _gradient_pictures(explanation: Explanation) -> list[Picture]:
    table = explanation.table
    if table.loc[table["against"] == "integrated_gradients", "n"].max() == 0:
        return []
    return [
        Picture(
            "agreement_gradients",
            lambda: viz.agreement_points(explanation, against="integrated_gradients"),
            "Agreement with integrated gradients",
        )
    ]


def _probe_pictures(layers: Probes | None) -> list[Picture]:
    if layers is None:
        return []

    def picture(task: str) -> Picture:
        name = TASK_NAMES.get(task, task)
        return Picture(
            f"probe_{task}", lambda: viz.probe_lines(layers, task=task), f"Probes: {name}"
        )

    return [picture(str(task)) for task in layers.table["task"].unique()]
