"""The verdict on attention: declared before the data are seen, then borne out or not."""

from .claim import INCONCLUSIVE, REFUTED, SUPPORTED, Claim
from .counterfactuals import Scrambled, Searched, scrambled, searched
from .declaration import (
    AGREES,
    CLAIMS,
    FAITHFUL,
    NEEDED,
    NO_ALTERNATIVE,
    RANKS,
    TEXT_CLAIMS,
    Declaration,
)
from .drawing import drawn
from .head_maps import HeadMaps, head_maps
from .judging import Verdict, judge

__all__ = [
    "AGREES",
    "CLAIMS",
    "FAITHFUL",
    "INCONCLUSIVE",
    "NEEDED",
    "NO_ALTERNATIVE",
    "RANKS",
    "REFUTED",
    "SUPPORTED",
    "TEXT_CLAIMS",
    "Claim",
    "Declaration",
    "HeadMaps",
    "Scrambled",
    "Searched",
    "Verdict",
    "drawn",
    "head_maps",
    "judge",
    "scrambled",
    "searched",
]
