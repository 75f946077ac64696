"""Good minus bad: what tells the two sentences of a pair apart, as features of the pair."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer

from ....capture import Batch, eval_mode, hidden_states, stream
from ....corpora import Encoding, MinimalPair, encode_all
from ....corpora.text import text_to_sentence
from ....errors import CaptureError
from ....models import LoadedModel

#: Words and single marks of punctuation.
_WORD = r"\w+|[^\w\s]"


def state_differences(
    model: LoadedModel, pairs: Sequence[MinimalPair]
) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Differences of the two sentences' hidden states, each the mean over the text's own tokens.

    Returns:
        (hidden_state, pair, hidden) float32 of the pairs whose sentences fit the model, which of
        the pairs those are, and [pair, reason] of the others.

    Raises:
        CaptureError: the blocks of the model cannot be found, or a state is not finite.
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.good, pair.bad)))
    encodings, misfits = encode_all(
        [text_to_sentence(text, id=text) for text in texts], model.tokenizer, model.max_tokens
    )
    reasons = {row[0]: row[1] for row in misfits}
    kept, skipped = [], []
    for number, pair in enumerate(pairs):
        if reason := reasons.get(pair.good) or reasons.get(pair.bad):
            skipped.append([f"{pair.paradigm} {pair.id}", reason])
        else:
            kept.append(number)
    place = {encoding.sentence.text: i for i, encoding in enumerate(encodings)}
    good = [place[pairs[number].good] for number in kept]
    bad = [place[pairs[number].bad] for number in kept]
    states = _states(model, encodings)
    return states[:, good] - states[:, bad], np.array(kept, dtype=int), skipped


def word_differences(pairs: Sequence[MinimalPair]) -> np.ndarray:
    """Differences of the counts of lower-cased words: (pair, word) float32.

    Only of words that some good sentence has more or less often than its bad one: none at all
    where all pairs reorder their words.
    """
    counter = CountVectorizer(token_pattern=_WORD, dtype=np.int32)
    counts = counter.fit_transform([text for pair in pairs for text in (pair.good, pair.bad)])
    differences = counts[::2] - counts[1::2]
    telling = np.unique(differences.nonzero()[1])
    return np.asarray(differences[:, telling].toarray(), dtype=np.float32)


def _states(model: LoadedModel, encodings: Sequence[Encoding]) -> np.ndarray:
    """(hidden_state, text, hidden)."""
    if not encodings:
        return np.zeros((0, 0, 0), dtype=np.float32)

    def run(batch: Batch) -> list[np.ndarray]:
        with torch.no_grad(), eval_mode(model.reader), hidden_states(model.reader) as states:
            model.reader(**batch.inputs)
        return [_mean(states, row, encoding) for row, encoding in enumerate(batch.encodings)]

    states = np.stack(stream(model, encodings, run, description="hidden states"), axis=1)
    if not np.isfinite(states).all():
        raise CaptureError(
            f"Hidden states of {model.name} are not finite, so nothing can be read off them; load "
            "the model with dtype='float32'."
        )
    return states


def _mean(states: Sequence[torch.Tensor], row: int, encoding: Encoding) -> np.ndarray:
    own = torch.from_numpy(~encoding.added)
    return np.stack([
        state[row, : len(encoding)][own.to(state.device)].float().mean(0).cpu().numpy()
        for state in states
    ])  # fmt: skip
