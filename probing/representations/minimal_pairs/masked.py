"""Pseudo-log-likelihoods of sentences under a masked model (Salazar et al. 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....capture import Batch, eval_mode
from ....capture.batch import plan
from ....capture.padding import ignores_padding
from ....capture.stream import batch_tokens, progress, run_batches
from ....corpora import Encoding
from ....models import LoadedModel

MASKINGS = ("within_word", "token")


@dataclass(frozen=True)
class Gap:
    """One masked copy of a text: the token at `position` is predicted, all up to `end` masked."""

    text: int
    position: int
    end: int


def pseudo_log_likelihoods(
    model: LoadedModel, encodings: Sequence[Encoding], *, within_word: bool
) -> np.ndarray:
    """(text,): the sum over each text's own tokens of the log-probability in their place, in nats.

    A text has one masked copy for each token; copies of all texts share batches.

    Args:
        within_word: whether the later tokens of the word are masked too (Kauf & Ivanova 2023).
    """
    gaps = [
        Gap(text, position, end)
        for text, encoding in enumerate(encodings)
        for position, end in gaps_of(encoding, within_word=within_word)
    ]
    lengths = [len(encodings[gap.text]) for gap in gaps]
    found = np.empty(len(gaps))
    mask = model.tokenizer.mask_token_id
    mix = ignores_padding(model.reader)
    with progress(len(gaps), "pseudo-log-likelihoods") as bar:
        for members in plan(lengths, batch_tokens(model), mix_lengths=mix):
            # Copies are made batch by batch: all together they would fill the memory.
            made = [masked(encodings[gaps[i].text], gaps[i], mask) for i in members]
            asked = {id(copy): i for copy, i in zip(made, members, strict=True)}

            def run(batch: Batch, asked: dict[int, int] = asked) -> list[float]:
                own = [gaps[asked[id(copy)]] for copy in batch.encodings]
                tokens = [int(encodings[gap.text].ids[gap.position]) for gap in own]
                return batch_log_probabilities(model, batch, [g.position for g in own], tokens)

            found[members] = list(chain(*run_batches(model, [made], run)))
            bar.update(len(members))
    return np.bincount([gap.text for gap in gaps], weights=found, minlength=len(encodings))


def gaps_of(encoding: Encoding, *, within_word: bool) -> list[tuple[int, int]]:
    """Each token to predict, and the end (exclusive) of what is masked from it on.

    A word is what space surrounds, cut at punctuation: of "isn't," the comma hides nothing of the
    word before it. Tokens of no word are words of their own.
    """
    gaps: list[tuple[int, int]] = []
    end = len(encoding)
    for token in reversed(range(len(encoding))):
        last = token + 1 == len(encoding) or not _continues(encoding, token)
        end = token + 1 if last or not within_word else end
        if not encoding.added[token]:
            gaps.append((token, end))
    return gaps[::-1]


def _continues(encoding: Encoding, token: int) -> bool:
    """Whether the next token goes on with the word of this one."""
    word = encoding.words[token]
    return bool(
        word >= 0
        and word == encoding.words[token + 1]
        and not encoding.punctuation[token : token + 2].any()
    )


def masked(encoding: Encoding, gap: Gap, mask: int) -> Encoding:
    """A copy of its own, though texts with one gap may be many."""
    ids = encoding.ids.copy()
    ids[gap.position : gap.end] = mask
    return replace(encoding, ids=ids)


def batch_log_probabilities(
    model: LoadedModel, batch: Batch, positions: Sequence[int], tokens: Sequence[int]
) -> list[float]:
    """The log-probability of one token of each text of a batch, whichever side padding is on."""
    logits = _logits_at(model.module, batch, positions).float()
    wanted = torch.tensor(tokens, device=logits.device)
    chosen = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)
    return [float(value) for value in chosen.cpu()]


def _logits_at(module: Any, batch: Batch, positions: Sequence[int]) -> Tensor:
    """(text, vocabulary): logits at one position of each text.

    The output layer, which takes as long as several blocks, reads these positions only, where it
    is a module of its own.
    """
    rows = torch.arange(len(batch), device=batch.mask.device)
    places = batch.mask.argmax(1) + torch.tensor(positions, device=batch.mask.device)

    def at_places(values: Tensor) -> Tensor:
        return values[rows.to(values.device), places.to(values.device)]

    def narrow(part: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if given and given[0].shape[:2] == batch.mask.shape:
            return at_places(given[0])[:, None], *given[1:]
        return None

    head = module.get_output_embeddings()
    handle = None if head is None else head.register_forward_pre_hook(narrow)
    try:
        with torch.no_grad(), eval_mode(module):
            logits = module(**batch.inputs)[0]
    finally:
        if handle is not None:
            handle.remove()
    # A head of another make has read every position.
    return logits[:, 0] if logits.shape[1] == 1 else at_places(logits)
