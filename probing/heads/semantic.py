"""Heads that follow semantic relations (Kovaleva et al. 2019, section 4.2).

Of a sentence counts the largest weight among its links from predicates to arguments, in either
direction; a head's score is the mean over sentences. The paper compares heads with one another: two
of BERT's 144 lay beyond the 99th percentile. Some head always does, so each is also compared with
itself on other pairs of words of the same sentences, which are as far apart in the same direction
(`spans.shuffled`): attention to a place, such as the next word, weighs the same on both. What the
shuffled pairs do not match are the words and the absolute place: a head that attends to verbs, to
words of many tokens or, as decoders do, to the first word weighs more on links whether or not it
knows what they link.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ...errors import CorpusError
from ...stats import bootstrap_ratio, is_descriptive, max_t
from .scan import HeadScan
from .spans import links

#: The weights that are read: the predicate's row, or its column.
DIRECTIONS = ("predicate_to_argument", "argument_to_predicate")
PERCENTILE = 99


def semantic_table(scan: HeadScan, *, seed: int = 0, role: str | None = None) -> pd.DataFrame:
    """The mean over sentences of the largest weight among its links, of every head.

    Links without a shuffled pair, and sentences without a link that has one, are left out of both
    sides. `percentile_99` is that of `mean` over all heads and directions, `above` says whether a
    head lies beyond it; `p_adjusted` is of `difference` = `mean` − `shuffled`, two-sided, from
    sign-flips over units, corrected by max-T over the table; below 30 sentences or 10 units all
    is descriptive and there is none.

    Args:
        role: only links of this role, such as `ARG0` (default: all).

    Returns:
        `direction, layer, head, mean, ci_low, ci_high, n, shuffled, difference, difference_low,
        difference_high, p_adjusted, percentile_99, above, descriptive`; `n` counts sentences.

    Raises:
        CaptureError: the pass did not keep links.
        CorpusError: no sentence has a link of this role that has a shuffled pair.
    """
    linked, shuffled, counts = _unit_sums(scan, role)
    mean, low, high = bootstrap_ratio(linked, counts, seed=seed)
    gaps = linked - shuffled
    gap, gap_low, gap_high = bootstrap_ratio(gaps, counts, seed=seed)
    descriptive = bool(is_descriptive(int(counts.sum()), int((counts > 0).sum())))
    p = np.full(gap.shape, np.nan) if descriptive else max_t(gaps[counts > 0], seed=seed)
    percentile = float(np.percentile(mean, PERCENTILE))
    layers, heads, _ = mean.shape
    index = pd.MultiIndex.from_product(
        [DIRECTIONS, range(layers), range(heads)], names=["direction", "layer", "head"]
    )
    cells = {
        "mean": mean,
        "ci_low": low,
        "ci_high": high,
        "n": np.full(mean.shape, int(counts.sum())),
        "shuffled": mean - gap,
        "difference": gap,
        "difference_low": gap_low,
        "difference_high": gap_high,
        "p_adjusted": p,
        "percentile_99": np.full(mean.shape, percentile),
        "above": mean > percentile,
        "descriptive": np.full(mean.shape, descriptive),
    }
    columns = {name: np.moveaxis(values, 2, 0).ravel() for name, values in cells.items()}
    return pd.DataFrame(columns, index=index).reset_index()


def _unit_sums(scan: HeadScan, role: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums over the sentences of each unit of links and of shuffled pairs, and their number.

    Returns:
        (unit, layer, head, direction) twice, and (unit,).
    """
    units = int(scan.units.max()) + 1
    counts = np.zeros(units)
    sums: tuple[np.ndarray, np.ndarray] | None = None
    for sentence, linked, shuffled in _largest(scan, role):
        if sums is None:
            sums = np.zeros((units, *linked.shape)), np.zeros((units, *linked.shape))
        unit = scan.units[sentence]
        sums[0][unit] += linked
        sums[1][unit] += shuffled
        counts[unit] += 1
    if sums is None:
        raise CorpusError(
            f"No sentence that was read has a link{f' of the role {role!r}' if role else ''} and "
            "another pair of words as far apart; give text with predicates and arguments"
            f"{_roles(scan) if role else ''}."
        )
    return *sums, counts


def _largest(scan: HeadScan, role: str | None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of each sentence the largest weights (layer, head, direction) of links and shuffled pairs."""
    roles = [np.array([link.role for link in links(s)], dtype=object) for s in scan.sentences]
    counts = np.array([len(own) for own in roles])
    both = zip(scan.rows("links", counts), scan.rows("shuffled_links", counts), strict=True)
    for (sentence, linked), (_, shuffled) in both:
        paired = ~np.isnan(shuffled[:, 0, 0, 0])
        if role is not None:
            paired &= roles[sentence] == role
        if paired.any():
            yield sentence, linked[paired].max(0), shuffled[paired].max(0)


def _roles(scan: HeadScan) -> str:
    known = sorted({link.role for sentence in scan.sentences for link in links(sentence)})
    return f", or one of its roles {', '.join(known)}" if known else ""
