"""Random sets of heads beside a named one: does it matter which heads they are?"""

from collections import Counter
from collections.abc import Sequence
from math import comb

import numpy as np
import pandas as pd

from .parts import Part, head_set

COLUMNS = ("null_mean", "null_low", "null_high", "p_null")


def random_sets(part: Part, heads: Sequence[int], count: int, seed: int) -> list[Part]:
    """Sets with as many heads in each layer as a set of heads has; none is the set itself.

    Fewer than `count` where there are no more; none where all heads of its layers are in it.

    Args:
        heads: how many heads each layer has.
    """
    wanted = Counter(layer for layer, _ in part.heads)
    others = int(np.prod([float(comb(heads[layer], n)) for layer, n in wanted.items()])) - 1
    generator = np.random.default_rng([seed, *part.name.encode()])
    known = {tuple(sorted(part.heads))}
    while len(known) - 1 < min(count, others):
        known.add(tuple(sorted(
            (layer, int(head)) for layer, n in wanted.items()
            for head in generator.choice(heads[layer], n, replace=False)
        )))  # fmt: skip
    known.discard(tuple(sorted(part.heads)))
    return [head_set(f"{part.name} ~{n}", drawn) for n, drawn in enumerate(sorted(known))]


def against_null(delta: float, null: np.ndarray) -> dict[str, float]:
    """Mean and middle 95 % of the random sets' effects, and how often one is as extreme.

    `p_null` is the share, among the set and the random ones, of effects that are as far from
    the mean of all of them: were the set a random one, it would be below .05 in 5 % of cases.
    """
    if not len(null) or np.isnan(delta):
        return dict.fromkeys(COLUMNS, np.nan)
    every = np.append(null, delta)
    far = np.abs(every - every.mean())
    low, high = np.quantile(null, [0.025, 0.975])
    p = float((far >= far[-1] - 1e-12).mean())
    return dict(zip(COLUMNS, (float(null.mean()), float(low), float(high), p), strict=True))


def with_null(table: pd.DataFrame, nulls: dict[str, tuple[float, np.ndarray]]) -> pd.DataFrame:
    """The table with the columns of the null; NaN for parts that have none.

    Args:
        nulls: by part, its effect and those of its random sets.
    """
    rows = [
        against_null(*nulls[part]) if part in nulls else dict.fromkeys(COLUMNS, np.nan)
        for part in table["part"]
    ]
    return table.join(pd.DataFrame(rows, columns=list(COLUMNS), index=table.index))
