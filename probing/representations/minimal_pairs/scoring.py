"""How probable a language model finds whole sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ....corpora import encode_all
from ....corpora.align import misfit
from ....corpora.text import text_to_sentence
from ....errors import CaptureError, ModelError
from ....models import LoadedModel
from .masked import MASKINGS, pseudo_log_likelihoods
from .next_token import next_token_sums, scored_tokens, with_start

#: What a sum of log-probabilities is divided by.
NORMALISATIONS = ("none", "token", "character")


@dataclass(frozen=True)
class SentenceScores:
    """What `sentence_log_probabilities` found: one entry of every array for each text."""

    log_probabilities: np.ndarray
    """(text,) nats, summed over the scored tokens; NaN for a text that was skipped."""
    tokens: np.ndarray
    """(text,): how many tokens were scored."""
    characters: np.ndarray
    """(text,): its length."""
    skipped: dict[str, str]
    """Each text that the model cannot score, and why."""

    def normalised(self, by: str) -> np.ndarray:
        """(text,): the sums (`none`), or the mean per `token` (Lau et al. 2017) or `character`."""
        lengths = {"none": 1, "token": self.tokens, "character": self.characters}[by]
        with np.errstate(invalid="ignore"):
            return np.asarray(self.log_probabilities / lengths)


def sentence_log_probabilities(
    model: LoadedModel, texts: Sequence[str], *, masking: str = "within_word"
) -> SentenceScores:
    """The log-probability of each text, in nats; of a masked model the pseudo-log-likelihood.

    A causal model starts from the special token that its tokenizer puts first, else from the
    tokenizer's beginning-of-sequence token. Where there is neither, nothing predicts the first
    token of a text, and it does not count. A masked model predicts every token in its place, from
    all others (Salazar et al. 2020). Special tokens are read, not scored.

    Args:
        masking: what a masked model does not see beside the token that it predicts:
            `within_word` hides the later tokens of the word (Kauf & Ivanova 2023, l2r), a word
            ending at space and at punctuation; `token` hides nothing else (the original).

    Raises:
        ModelError: the model predicts no tokens, lacks a mask token, or is no causal model though
            it was loaded as one.
        CaptureError: a log-probability is not finite.
    """
    check_scorable(model, masking)
    own = [text_to_sentence(text, id=text) for text in dict.fromkeys(texts)]
    causal = model.task == "causal-lm"
    encodings, misfits = encode_all(own, model.tokenizer, None)
    skipped: dict[str, str] = {row[0]: row[1] for row in misfits}
    if causal:
        encodings = [with_start(encoding, model.tokenizer) for encoding in encodings]
    kept = []
    for encoding in encodings:
        if reason := misfit(encoding, model.max_tokens):
            skipped[encoding.sentence.text] = reason
        elif not scored_tokens(encoding, causal=causal).any():
            skipped[encoding.sentence.text] = "it is a single token, which nothing predicts"
        else:
            kept.append(encoding)
    if causal:
        sums = next_token_sums(model, kept)
    else:
        sums = pseudo_log_likelihoods(model, kept, within_word=masking == "within_word")
    if not np.isfinite(sums).all():
        raise CaptureError(
            f"Log-probabilities of {model.name} are not finite; load it with dtype='float32'."
        )
    number = {encoding.sentence.text: i for i, encoding in enumerate(kept)}
    counts = [int(scored_tokens(encoding, causal=causal).sum()) for encoding in kept]
    places = [number.get(text, -1) for text in texts]
    return SentenceScores(
        log_probabilities=np.append(sums, np.nan)[places],
        tokens=np.array([*counts, 0])[places],
        characters=np.array([len(text) for text in texts], dtype=int),
        skipped=skipped,
    )


def check_scorable(model: LoadedModel, masking: str) -> None:
    """Refuse a model under which a sentence has no probability.

    Raises:
        ModelError: see `sentence_log_probabilities`.
    """
    if masking not in MASKINGS:
        raise ModelError(f"masking is {masking!r}; choose one of {', '.join(MASKINGS)}.")
    if model.task not in ("causal-lm", "masked-lm"):
        raise ModelError(
            f"{model.name} was loaded as {model.task!r}, which gives a sentence no probability. "
            "Load a language model (task='causal-lm' or 'masked-lm'), or ask what the hidden "
            "states know of acceptability with acceptability_probes."
        )
    if model.task == "masked-lm" and model.tokenizer.mask_token_id is None:
        raise ModelError(
            f"The tokenizer of {model.name} has no mask token, so its tokens cannot be predicted "
            "in their place; set tokenizer.mask_token to the one the model was trained with."
        )
