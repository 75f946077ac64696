"""The best of several, chosen on other units than it is compared on."""

from collections.abc import Sequence

import numpy as np

from .means import mean_of


def best_on_other_half(
    values: np.ndarray, units: Sequence[int], names: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The values of the candidate with the highest mean over the other half of the units.

    Args:
        values: (text, candidate), NaN where a text has none.
        names: of the candidates.

    Returns:
        (text,) values, NaN where the other half has no candidate; and the names of the choices.
    """
    found = np.full(len(values), np.nan)
    choices = []
    # Unit numbers have gaps where examples were skipped, and alternate all the same.
    even = np.unique(np.asarray(units), return_inverse=True)[1] % 2 == 0
    for scored in (even, ~even):
        means = mean_of(values[~scored])
        if not np.isnan(means).all():
            best = int(np.nanargmax(means))
            choices.append(names[best])
            found[scored] = values[scored, best]
    return found, tuple(dict.fromkeys(choices))
