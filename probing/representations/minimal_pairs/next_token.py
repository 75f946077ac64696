"""Log-probabilities of sentences under a causal model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ....capture import Batch, collate, eval_mode, stream
from ....corpora import Encoding
from ....errors import ModelError
from ....models import LoadedModel

#: Relative to the largest logit; the two texts compared are rows of one batch.
_ROUNDING = 1e-3


def with_start(encoding: Encoding, tokenizer: Any) -> Encoding:
    """The encoding behind a beginning-of-sequence token, if it has no special token in front."""
    start = tokenizer.bos_token_id
    if encoding.added[0] or start is None:
        return encoding

    def behind(values: np.ndarray, first: Any) -> np.ndarray:
        return np.concatenate([np.array([first], dtype=values.dtype), values])

    return replace(
        encoding,
        ids=behind(encoding.ids, start),
        segments=behind(encoding.segments, encoding.segments[0]),
        words=behind(encoding.words, -1),
        added=behind(encoding.added, True),
        cls=behind(encoding.cls, False),
        sep=behind(encoding.sep, False),
        punctuation=behind(encoding.punctuation, False),
        tokens=(tokenizer.bos_token, *encoding.tokens),
    )


def scored_tokens(encoding: Encoding, *, causal: bool) -> np.ndarray:
    """(token,): the text's own tokens, but for a causal model not one that stands first."""
    scored = ~encoding.added
    return scored & (np.arange(len(scored)) > 0) if causal else scored


def next_token_sums(model: LoadedModel, encodings: Sequence[Encoding]) -> np.ndarray:
    """(text,): the sum of the log-probabilities of each text's scored tokens, in nats.

    Raises:
        ModelError: the model reads later tokens too.
    """
    if long := [encoding for encoding in encodings if len(encoding) > 1]:
        _refuse_reading_ahead(model, long[0])
    found = stream(
        model, encodings, lambda batch: batch_sums(model, batch), description="log-probabilities"
    )
    return np.array(found, dtype=float)


def batch_sums(model: LoadedModel, batch: Batch) -> list[float]:
    """The sum of each text of a batch, whichever side its padding is on."""
    with torch.no_grad(), eval_mode(model.module):
        logits = model.module(**batch.inputs)[0]
    sums = []
    for row, encoding in enumerate(batch.encodings):
        own = batch.mask[row].bool()
        predicting = logits[row, own.to(logits.device)][:-1].float()
        ids = batch.inputs["input_ids"][row, own][1:].to(logits.device)
        chosen = predicting.gather(1, ids[:, None])[:, 0] - predicting.logsumexp(1)
        scored = scored_tokens(encoding, causal=True)[1:]
        sums.append(float(chosen.double().cpu().numpy()[scored].sum()))
    return sums


def _refuse_reading_ahead(model: LoadedModel, encoding: Encoding) -> None:
    """A bidirectional model that is loaded as causal has seen the tokens that it predicts."""
    ids = encoding.ids.copy()
    ids[-1] = ids[0] if ids[-1] != ids[0] else (ids[0] + 1) % model.config.vocab_size
    batch = collate([encoding, replace(encoding, ids=ids)], model)
    with torch.no_grad(), eval_mode(model.module):
        first, second = model.module(**batch.inputs)[0][:, :-1].float()
    if (first - second).abs().max() > _ROUNDING * first.abs().max():
        raise ModelError(
            f"{model.name} was loaded as 'causal-lm', but a token changes what it predicts for "
            "the tokens before; load it with task='masked-lm', or choose a causal model."
        )
