"""A part of the examples, for what is costly."""

from dataclasses import replace
from typing import Any

import numpy as np

from ...corpora import Examples
from ...models import LoadedModel
from ..scored import prepare_examples
from ..targets import Prepared


def drawn(
    model: LoadedModel, examples: Examples, most: int, *, seed: int = 0, **target: Any
) -> Prepared:
    """At most `most` of the examples that can be explained, drawn at random and kept in order.

    Args:
        target: `target`, `foil` and `quantity`, see `prepare`.

    Raises:
        AttributionError: see `prepare_examples`.
    """
    prepared = prepare_examples(model, examples, seed=seed, **target)
    count = len(prepared.kept)
    if count <= most:
        return prepared
    chosen = np.sort(np.random.default_rng(seed).choice(count, size=most, replace=False))
    return replace(
        prepared,
        encodings=[prepared.encodings[place] for place in chosen],
        goals=[prepared.goals[place] for place in chosen],
        kept=[prepared.kept[place] for place in chosen],
    )
