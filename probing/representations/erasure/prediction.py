"""The effect of erasing on what the model itself does: its predictions, or its embedding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log

import numpy as np
import torch
from torch import Tensor

from ....capture import Batch, eval_mode, hidden_states, stream
from ....corpora import Encoding
from ....errors import BertologyError
from ....models import LoadedModel
from .eraser import Eraser
from .forward import erased

#: Words that are masked in each sentence, one at a time.
MASKED_WORDS = 3
#: What is measured, by the task of the model; the last for models that predict no token.
MEASURES = {
    "masked-lm": ("masked_token_accuracy", "masked_token_log_probability_bits", "kl_bits"),
    "causal-lm": ("next_token_accuracy", "next_token_log_probability_bits", "kl_bits"),
}
EMBEDDING_MEASURES = ("embedding_cosine",)


def measures_of(model: LoadedModel) -> tuple[str, ...]:
    """What erasing is measured by in this model."""
    return MEASURES.get(model.task, EMBEDDING_MEASURES)


@dataclass(frozen=True)
class Question:
    """A text the model reads and the tokens it is to predict."""

    encoding: Encoding
    sentence: int
    rows: np.ndarray
    """(prediction,): the positions whose output is read."""
    targets: np.ndarray
    """(prediction,): the token ids that are right."""


@dataclass(frozen=True)
class Effects:
    """What the intact model and each erased one did, summed over the predictions of a sentence."""

    measures: tuple[str, ...]
    sums: np.ndarray
    """(1 + eraser, sentence, measure); the intact model is first."""
    counts: np.ndarray
    """(sentence,): predictions; 1 where the embedding is measured."""


def questions_of(model: LoadedModel, encodings: Sequence[Encoding], *, seed: int) -> list[Question]:
    """What the model is asked about each sentence.

    A masked model: up to three words of one token, drawn from the seed and masked one at a time.
    A causal one: every next token that is part of the text. Any other model is asked nothing.

    Raises:
        BertologyError: a masked model without a mask token, or nothing to ask.
    """
    if model.task == "masked-lm":
        mask = model.tokenizer.mask_token_id
        if mask is None:
            raise BertologyError(f"The tokenizer of {model.name} has no mask token to predict at.")
        found = [
            question
            for number, encoding in enumerate(encodings)
            for question in _masked(encoding, number, mask, seed)
        ]
    elif model.task == "causal-lm":
        found = [_next(encoding, number) for number, encoding in enumerate(encodings)]
        found = [question for question in found if len(question.rows)]
    else:
        nothing = np.empty(0, dtype=int)
        return [Question(encoding, n, nothing, nothing) for n, encoding in enumerate(encodings)]
    if not found:
        raise BertologyError(f"No sentence holds a token that {model.name} could be asked for.")
    return found


def effects(
    model: LoadedModel,
    questions: Sequence[Question],
    sentences: int,
    layer: int,
    erasers: Sequence[Eraser],
) -> Effects:
    """Put the questions to the intact model and to the model with each eraser at a hidden state.

    Log-probabilities and the divergence D(intact ‖ erased) of the predicted distributions are in
    bits; the embedding is the mean of the last hidden state over all tokens.
    """
    order = {id(question.encoding): question for question in questions}
    measure = _predictions if model.task in MEASURES else _embeddings

    def run(batch: Batch) -> list[np.ndarray]:
        asked = [order[id(encoding)] for encoding in batch.encodings]
        with torch.no_grad(), eval_mode(model.module):
            intact = measure(model, batch, asked)
            found = [_compared(intact, intact, asked)]
            for eraser in erasers:
                with erased(model.reader, {layer: eraser}):
                    found.append(_compared(intact, measure(model, batch, asked), asked))
        return list(np.stack(found, axis=1))

    answers = stream(
        model, [question.encoding for question in questions], run, description="predictions"
    )
    measures = measures_of(model)
    sums = np.zeros((1 + len(erasers), sentences, len(measures)))
    counts = np.zeros(sentences)
    for question, answer in zip(questions, answers, strict=True):
        sums[:, question.sentence] += answer
        counts[question.sentence] += max(1, len(question.rows))
    return Effects(measures, sums, counts)


def _masked(encoding: Encoding, number: int, mask: int, seed: int) -> list[Question]:
    single = np.flatnonzero(encoding.word_tokens == 1)
    # Drawn for each sentence alone, so that others beside it do not matter.
    generator = np.random.default_rng((seed, number))
    chosen = generator.permutation(single)[:MASKED_WORDS]
    questions = []
    for word in np.sort(chosen):
        row = np.flatnonzero(encoding.words == word)
        ids = encoding.ids.copy()
        ids[row] = mask
        questions.append(Question(replace(encoding, ids=ids), number, row, encoding.ids[row]))
    return questions


def _next(encoding: Encoding, number: int) -> Question:
    rows = np.flatnonzero(~encoding.added[1:])
    return Question(encoding, number, rows, encoding.ids[rows + 1])


def _predictions(model: LoadedModel, batch: Batch, asked: Sequence[Question]) -> list[Tensor]:
    """Log-probabilities in bits of every token, for each text (prediction, vocabulary)."""
    logits = model.module(**batch.inputs).logits
    return [
        torch.log_softmax(logits[i, torch.from_numpy(question.rows).to(logits.device)].float(), -1)
        / log(2)
        for i, question in enumerate(asked)
    ]


def _embeddings(model: LoadedModel, batch: Batch, asked: Sequence[Question]) -> list[Tensor]:
    """The mean over all tokens of the last hidden state, for each text (hidden,)."""
    with hidden_states(model.reader) as states:
        model.reader(**batch.inputs)
    return [states[-1][i, :length].float().mean(0) for i, length in enumerate(batch.lengths)]


def _compared(
    intact: Sequence[Tensor], found: Sequence[Tensor], asked: Sequence[Question]
) -> np.ndarray:
    """What is measured, summed over the predictions of each text: (text, measure)."""
    rows = []
    for before, after, question in zip(intact, found, asked, strict=True):
        if before.dim() == 1:
            rows.append([torch.cosine_similarity(before, after, dim=0).item()])
            continue
        targets = torch.from_numpy(question.targets).to(after.device)
        right = (after.argmax(-1) == targets).sum()
        probability = after.gather(-1, targets[:, None]).sum()
        divergence = (before.exp2() * (before - after)).sum()
        rows.append([right.item(), probability.item(), divergence.item()])
    return np.array(rows)
