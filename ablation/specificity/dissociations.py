"""Tests of double dissociation that were declared, and their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from ...errors import CaptureError, CorpusError
from ...stats import holm, is_descriptive
from ..parts import Part
from .behaviours import Hurt
from .crossed import Crossed, crossed, worse_than_matched

#: ((group A, behaviour a), (group B, behaviour b)), by name.
Dissociation = tuple[tuple[str, str], tuple[str, str]]
_KEYS = ("group_a", "behaviour_a", "group_b", "behaviour_b", "metric")
CONTRAST_COLUMNS = (
    *_KEYS, "contrast", "value", "ci_low", "ci_high", "p", "n_a", "n_b", "descriptive",
)  # fmt: skip
#: How much worse behaviour a is without group A, b without A, a without B, b without B.
CELLS = ("a_without_a", "b_without_a", "a_without_b", "b_without_b")
DISSOCIATION_COLUMNS = (
    *_KEYS, *CELLS, "interaction", "ci_low", "ci_high", "p_contrasts", "sets_a", "p_matched_a",
    "sets_b", "p_matched_b", "p", "p_adjusted", "supported", "n_a", "n_b", "descriptive",
)  # fmt: skip
ALPHA = 0.05


@dataclass
class Measured:
    """What was measured of every behaviour."""

    parts: list[str]
    metrics: Mapping[str, str]
    """By behaviour."""
    hurts: dict[str, Hurt] = field(default_factory=dict)
    """By behaviour, of the parts."""
    matched: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    """By group and behaviour, how much each layer-matched set hurts it."""

    def add(self, behaviour: str, hurt: Hurt, sizes: Mapping[str, int]) -> None:
        """Add a behaviour.

        Args:
            hurt: of the parts, and behind them of the layer-matched sets of each group.
            sizes: how many these are, in the same order.
        """
        start = len(self.parts)
        self.hurts[behaviour] = replace(hurt, sums=hurt.sums[:, :start])
        for group, size in sizes.items():
            self.matched[group, behaviour] = hurt.means[start : start + size]
            start += size

    def of(self, test: Dissociation, seed: int) -> tuple[Crossed, dict[str, object], bool]:
        """The contrasts of a test, what its rows share, and whether it only describes."""
        (group_a, a), (group_b, b) = test
        both = self.hurts[a], self.hurts[b]
        few = any(bool(is_descriptive(len(one.ids), len(one.counts))) for one in both)
        places = self.parts.index(group_a), self.parts.index(group_b)
        names = group_a, a, group_b, b, self.metrics[a]
        shared: dict[str, object] = dict(zip(_KEYS, names, strict=True))
        shared |= {"n_a": len(both[0].ids), "n_b": len(both[1].ids), "descriptive": few}
        return crossed(*both, places, seed), shared, few


def check_tests(
    tests: Sequence[Dissociation], parts: Mapping[str, Part], metrics: Mapping[str, str]
) -> None:
    """Refuse tests that cannot be made.

    Raises:
        CaptureError: a part that is not there, or is more than heads.
        CorpusError: a behaviour that is not there, or behaviours that cannot be set against
            each other.
    """
    for (group_a, a), (group_b, b) in tests:
        for group in (group_a, group_b):
            if group not in parts:
                raise CaptureError(
                    f"A dissociation names the part {group!r}; there are {', '.join(parts)}."
                )
            if parts[group].mlps or parts[group].layers:
                raise CaptureError(
                    f"{group!r} is more than heads, and only sets of heads have layer-matched "
                    "ones; declare dissociations of heads."
                )
        for name in (a, b):
            if name not in metrics:
                raise CorpusError(
                    f"A dissociation names the behaviour {name!r}; there are {', '.join(metrics)}."
                )
        if group_a == group_b or a == b:
            raise CorpusError(
                f"A dissociation is of two groups and two behaviours; {group_a!r}, {group_b!r} and "
                f"{a!r}, {b!r} were given."
            )
        if metrics[a] != metrics[b]:
            raise CorpusError(
                f"{a!r} is measured by {metrics[a]} and {b!r} by {metrics[b]}, so which of them is "
                "hurt more cannot be told; measure both by the same."
            )


def contrast_table(tests: Sequence[Dissociation], measured: Measured, seed: int) -> pd.DataFrame:
    """One row for each contrast of each test (`crossed`): `CONTRAST_COLUMNS`."""
    rows = []
    for test in tests:
        found, shared, few = measured.of(test, seed)
        for place, name in enumerate(found.names):
            rows.append({
                **shared, "contrast": name, "value": found.value[place],
                "ci_low": found.low[place], "ci_high": found.high[place],
                "p": np.nan if few else found.p[place],
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def dissociation_table(
    tests: Sequence[Dissociation], measured: Measured, seed: int
) -> pd.DataFrame:
    """One row a test: `DISSOCIATION_COLUMNS`, see `Specificity`."""
    rows = []
    for test in tests:
        found, shared, few = measured.of(test, seed)
        row = {**shared, **dict(zip(CELLS, found.cells, strict=True))}
        row |= {"interaction": found.value[-1], "ci_low": found.low[-1], "ci_high": found.high[-1]}
        p = [found.p_contrasts]
        for side, (group, behaviour) in zip("ab", test, strict=True):
            hurt, matched = measured.hurts[behaviour], measured.matched[group, behaviour]
            own = hurt.means[measured.parts.index(group)]
            p.append(worse_than_matched(own, matched, hurt.rounding))
            row[f"sets_{side}"] = len(matched)
        names = ("p_contrasts", "p_matched_a", "p_matched_b", "p")
        row |= dict(zip(names, [np.nan] * 4 if few else [*p, max(p)], strict=True))
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(DISSOCIATION_COLUMNS))
    table["p_adjusted"] = holm(table["p"].to_numpy(dtype=float))
    table["supported"] = table["p_adjusted"] < ALPHA
    return table
