"""What other attention says for the verdict, on texts drawn with the seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...corpora import Examples
from ...corpora.text import units_of
from ...models import LoadedModel, provenance
from ...results import Provenance, Result
from ..counterfactual import (
    counterfactual_table,
    epsilon_table,
    scramble,
    search_alternatives,
    seed_variance,
)
from ..naming import function_name
from ..targets import Prepared
from .claim import BEYOND_SEEDS
from .declaration import NEEDED, NO_ALTERNATIVE, Declaration
from .drawing import drawn
from .evidence import rows


@dataclass(frozen=True, repr=False)
class Scrambled(Result):
    """What scrambled attention does; `table` is that of `counterfactual_table`."""

    evidence: pd.DataFrame
    """`claim,part,example,unit,value`; see `scrambled`."""


@dataclass(frozen=True, repr=False)
class Searched(Result):
    """What other attention the search found; `table` is that of `epsilon_table`."""

    evidence: pd.DataFrame
    """`claim,part,example,unit,value`; see `searched`."""


def scrambled(
    model: LoadedModel,
    examples: Examples,
    *,
    declared: Declaration | None = None,
    scopes: Sequence[str] = ("all",),
    target: Any = None,
    foil: str | None = None,
    quantity: str = "logit",
    seed: int = 0,
) -> Scrambled:
    """Permute each row of all maps: does the output move more than under random changes?

    The evidence of a text is how far the output moves, minus how far it moves when each head
    output is pushed as far in a random direction; draws are averaged.

    Args:
        scopes: see `scramble`; `all` is what the verdict reads.

    Raises:
        AttributionError: see `prepare_examples`.
        CaptureError: attention that cannot be reached.
    """
    own = declared or Declaration()
    asked = {"target": target, "foil": foil, "quantity": quantity}
    prepared = drawn(model, examples, own.texts, seed=seed, **asked)
    units = units_of([each.sentence for each in prepared.encodings], examples.unit)
    changes = scramble(model, prepared, scopes=scopes, maps=("permuted",), seed=seed)
    table = counterfactual_table(changes, units, seed=seed)
    moved = np.nanmean(changes.scrambled[:, 0, 0], -1, dtype=float)
    noise = np.nanmean(changes.noise[:, 0, 0], -1, dtype=float)
    everything = changes.cells[0].scope == "all"
    return Scrambled(
        table=table,
        evidence=rows(
            NEEDED, changes.metric, prepared.kept, units,
            moved - noise if everything else np.full(len(moved), np.nan),
        ),
        provenance=_provenance(
            model, examples, own, prepared, seed, asked, metric=changes.metric
        ),
    )  # fmt: skip


def searched(
    model: LoadedModel,
    examples: Examples,
    *,
    declared: Declaration | None = None,
    seeds: Sequence[LoadedModel] = (),
    target: Any = None,
    foil: str | None = None,
    quantity: str = "logit",
    seed: int = 0,
) -> Searched:
    """Search attention as far as can be from the model's own that leaves the output within ε.

    The evidence of a text is the divergence (nats) of the farthest maps found for all heads at
    once; with `seeds`, minus the median divergence of these models' own maps. The search finds
    a lower bound: it can show that there is an alternative, never that there is none.

    Args:
        seeds: models fine-tuned as this one was, with other seeds.

    Raises:
        AttributionError: see `prepare_examples`; models of other classes or heads.
        CaptureError: attention that cannot be reached.
    """
    own = declared or Declaration()
    asked = {"target": target, "foil": foil, "quantity": quantity}
    prepared = drawn(model, examples, own.texts, seed=seed, **asked)
    units = units_of([each.sentence for each in prepared.encodings], examples.unit)
    # Before the search, because it refuses models that do not compare.
    apart = seed_variance(model, seeds, prepared)[0] if seeds else 0.0
    found = search_alternatives(
        model, prepared, epsilons=(own.epsilon,), steps=own.steps, restarts=own.restarts, seed=seed
    )
    part = BEYOND_SEEDS if seeds else "divergence"
    farthest = found.jsd[:, 0, 0].astype(float)
    return Searched(
        table=epsilon_table(found, units, seed=seed),
        evidence=rows(NO_ALTERNATIVE, part, prepared.kept, units, farthest - apart),
        provenance=_provenance(
            model, examples, own, prepared, seed, asked, metric=found.metric,
            seeds=[other.name for other in seeds], steps=own.steps, restarts=own.restarts,
        ),
    )  # fmt: skip


def _provenance(
    model: LoadedModel,
    examples: Examples,
    declared: Declaration,
    prepared: Prepared,
    seed: int,
    asked: dict[str, Any],
    **options: Any,
) -> Provenance:
    """The texts are those drawn; `drawn_from` counts those that can be explained."""
    return provenance(
        model, examples.part(prepared.kept), seed=seed, skipped=[],
        **asked | {"target": function_name(asked["target"])},
        drawn_from=len(examples) - len(prepared.skipped), most_texts=declared.texts, **options,
    )  # fmt: skip
