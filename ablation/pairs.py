"""The texts that a language model reads to score minimal pairs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..corpora import Encoding, MinimalPair, encode
from ..corpora.align import misfit
from ..corpora.text import text_to_sentence
from ..models.objectives import IGNORE
from ..probing.representations.minimal_pairs.masked import Gap, gaps_of, masked
from ..probing.representations.minimal_pairs.next_token import scored_tokens, with_start
from ..probing.representations.minimal_pairs.scoring import check_scorable
from .panels import Reading
from .readers import next_tokens


def pair_readings(
    model: Any, pairs: Sequence[MinimalPair]
) -> tuple[list[int], list[Reading], list[list[str]]]:
    """What is read for each pair, as `sentence_log_probabilities` scores sentences.

    A causal model reads either sentence once, a masked one a copy for each of its tokens, with
    the later tokens of the word masked too (Kauf & Ivanova 2023).

    Returns:
        The pairs that both can be scored of, the readings (`example` counts these pairs), and
        [pair id, reason] of the others.

    Raises:
        ModelError: a model under which a sentence has no probability.
    """
    check_scorable(model, "within_word")
    causal = model.task == "causal-lm"
    kept: list[int] = []
    readings: list[Reading] = []
    skipped: list[list[str]] = []
    for index, pair in enumerate(pairs):
        sides = [_encoded(model, text, causal=causal) for text in (pair.good, pair.bad)]
        reasons = [one for one in sides if isinstance(one, str)]
        if reasons:
            skipped.append([pair.id, reasons[0]])
            continue
        for side, encoding in enumerate(sides):
            if isinstance(encoding, Encoding):
                make = _causal if causal else _gaps
                readings += make(model, encoding, len(kept), side)
        kept.append(index)
    return kept, readings, skipped


def _encoded(model: Any, text: str, *, causal: bool) -> Encoding | str:
    encoding = encode(text_to_sentence(text, id=text), model.tokenizer)
    if causal:
        encoding = with_start(encoding, model.tokenizer)
    if reason := misfit(encoding, model.max_tokens):
        return reason
    if not scored_tokens(encoding, causal=causal).any():
        return "it is a single token, which nothing predicts"
    return encoding


def _causal(model: Any, encoding: Encoding, example: int, side: int) -> list[Reading]:
    wanted = next_tokens(encoding.ids, scored_tokens(encoding, causal=True))
    return [Reading(encoding, example, ((side, wanted),))]


def _gaps(model: Any, encoding: Encoding, example: int, side: int) -> list[Reading]:
    readings = []
    for position, end in gaps_of(encoding, within_word=True):
        wanted = np.full(len(encoding), IGNORE)
        wanted[position] = encoding.ids[position]
        copy = masked(encoding, Gap(0, position, end), model.tokenizer.mask_token_id)
        readings.append(Reading(copy, example, ((side, wanted),)))
    return readings
