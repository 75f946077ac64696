"""How faithful the map of each single head is as an explanation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...corpora import Examples
from ...corpora.text import units_of
from ...models import LoadedModel, provenance
from ...results import Result
from ..faithfulness import comprehensiveness
from ..floors import random_scores
from ..from_attention.raw import attention_scores
from ..means import mean_over_units
from ..naming import function_name
from ..words import items_of
from .declaration import Declaration
from .drawing import drawn


@dataclass(frozen=True, repr=False)
class HeadMaps(Result):
    """`table` is `layer,head,advantage,ci_low,ci_high,n,descriptive`: how much more comprehensive
    the words are that a head attends to most than random words, mean over the operators."""


def head_maps(
    model: LoadedModel,
    examples: Examples,
    *,
    declared: Declaration | None = None,
    unit: str = "word",
    target: Any = None,
    foil: str | None = None,
    quantity: str = "logit",
    seed: int = 0,
) -> HeadMaps:
    """Comprehensiveness of the words each head attends to from the row that is read.

    At most `declared.texts` texts, drawn with the seed: every head erases words of its own.

    Raises:
        AttributionError: see `prepare_examples`.
        CaptureError: attention that cannot be captured.
    """
    own = declared or Declaration()
    prepared = drawn(
        model, examples, own.texts, target=target, foil=foil, quantity=quantity, seed=seed
    )
    units = units_of([e.sentence for e in prepared.encodings], examples.unit)
    pairs = list(zip(prepared.encodings, prepared.goals, strict=True))
    items = [items_of(encoding, goal, unit) for encoding, goal in pairs]
    attention = attention_scores(model, prepared.encodings, prepared.goals)
    rankings = [
        np.vstack([words.sums(maps.attention), floor])
        for words, maps, floor in zip(
            items, attention, random_scores(items, seed=seed), strict=True
        )
    ]
    drops = comprehensiveness(
        model, prepared, items, rankings, operators=own.operators or None, seed=seed
    )
    mean = np.mean(list(drops.values()), axis=0)
    gains = mean_over_units(mean[:, :-1] - mean[:, -1:], units, seed)
    table = pd.DataFrame({
        "layer": attention[0].layers,
        "head": attention[0].heads,
        "advantage": gains.mean,
        "ci_low": gains.low,
        "ci_high": gains.high,
        "n": gains.n,
        "descriptive": gains.descriptive,
    })  # fmt: skip
    record = provenance(
        model, examples.part(prepared.kept), seed=seed, skipped=[],
        target=function_name(target), foil=foil, quantity=quantity,
        drawn_from=len(examples) - len(prepared.skipped), most_texts=own.texts,
        operators=list(drops), scored=unit,
    )  # fmt: skip
    return HeadMaps(table, record)
