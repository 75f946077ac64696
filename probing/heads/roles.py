"""What each head mostly looks at, in one word."""

import pandas as pd

from .rows import OTHER

#: From this share of the largest possible entropy on, a head looks nowhere in particular
#: (the broad heads of Clark et al. 2019, section 3.3).
BROAD = 0.85
TARGETS = ("previous", "self", "next", "cls", "sep", "first", "punctuation", OTHER)


def head_roles(means: pd.DataFrame) -> pd.DataFrame:
    """Name each head by the target that gets most of its attention.

    Args:
        means: from `statistics_table`, with the rows of `OTHER` (words that are neither
            neighbours nor specials nor punctuation).

    Returns:
        layer, head, looks_at (one of `TARGETS`, or `broad`), share (mean weight on the target
        that gets most).
    """
    wide = means.pivot(index=["layer", "head"], columns="statistic", values="mean")
    # Where the first token is [CLS], both names fit: the earlier in `TARGETS` wins.
    shares = wide[[target for target in TARGETS if target in wide]]
    looks_at = shares.idxmax(axis=1).mask(wide["entropy_normalised"] >= BROAD, "broad")
    return pd.DataFrame({"looks_at": looks_at, "share": shares.max(axis=1)}).reset_index()
