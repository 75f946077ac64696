"""Attention that is not a number."""

from collections.abc import Sequence

import numpy as np

from ..corpora import Encoding
from ..errors import CaptureError
from .sites import Site


def refuse_infinite(
    values: np.ndarray,
    sites: Sequence[Site],
    encodings: Sequence[Encoding],
    name: str = "attention",
) -> None:
    """Refuse NaN or infinite numbers of a batch, naming where they are.

    Args:
        values: (sentence, site, …).
        name: what they are of a site.

    Raises:
        CaptureError: some value is not finite.
    """
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        sentence, site = encodings[bad[0][0]].sentence, sites[bad[0][1]]
        raise CaptureError(
            f"The {name} of {site} is NaN or infinite in sentence {sentence.id!r} "
            f"({sentence.text[:60]!r}). The weights may be damaged, or the type too narrow "
            "(float16): load the model in float32 or bfloat16, or leave the sentence out."
        )


def refuse_nan(values: np.ndarray, site: Site, name: str) -> None:
    """Refuse NaN at a site, where no sentence is known.

    Infinite numbers and NaN may stand at padding, which these arrays hold: a row of padding that
    sees no key.

    Raises:
        CaptureError: a whole text is NaN.
    """
    lost = np.isnan(values).reshape(len(values), -1).all(1)
    if lost.any():
        raise CaptureError(
            f"The {name} of {site} is NaN in text {int(lost.argmax())} of the batch. The weights "
            "may be damaged, or the type too narrow (float16): use float32 or bfloat16."
        )
