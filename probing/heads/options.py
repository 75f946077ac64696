"""What a pass over a corpus keeps, and the named variants of how it is computed."""

from dataclasses import asdict, dataclass
from typing import Any

from ...errors import CaptureError

#: What can be kept of each text besides the statistics of `heads.csv`, which always are.
PARTS = ("predictions", "antecedents", "links", "received", "divergence", "gradients")
#: How the rows of a word's tokens become one: their mean, as in the paper of Clark et al. 2019, or
#: the first token's row, as their released function does unless told otherwise.
WORD_ROWS = ("mean", "first")
#: Segment ids of pairs: as the tokenizer gives them, or all 0, as in the script of Clark et al.
SEGMENT_IDS = ("tokenizer", "zeros")
#: What an anaphor may refer to: see `spans.anaphors`.
CANDIDATES = ("preceding", "all")


@dataclass(frozen=True)
class ScanOptions:
    """Options of a pass; they are part of its identity.

    Raises:
        CaptureError: a value that does not exist.
    """

    parts: tuple[str, ...] = ("predictions",)
    word_rows: str = "mean"
    segment_ids: str = "tokenizer"
    candidates: str = "preceding"
    seed: int = 0
    """Of what is drawn within the pass: shuffled links, masked tokens, rows of long texts."""

    def __post_init__(self) -> None:
        legal = {"word_rows": WORD_ROWS, "segment_ids": SEGMENT_IDS, "candidates": CANDIDATES}
        for name, values in legal.items():
            if getattr(self, name) not in values:
                raise CaptureError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(values)}."
                )
        if unknown := set(self.parts) - set(PARTS):
            raise CaptureError(
                f"The parts {sorted(unknown)} do not exist; there are {', '.join(PARTS)}."
            )

    def as_dict(self) -> dict[str, Any]:
        # A list, as it comes back from JSON.
        return {**asdict(self), "parts": list(self.parts)}


#: What `scan_heads` keeps if nothing is said.
DEFAULT = ScanOptions()
