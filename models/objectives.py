"""What fine-tuning learns from: encoded texts, batches with targets, losses and metrics."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ..corpora import Encoding, Examples, corpus_of
from ..corpora.align import encode_all
from ..errors import CorpusError
from .loaded import LoadedModel

#: The metric of each task; higher is better, except for the perplexity.
METRICS = {
    "classification": "accuracy",
    "regression": "r2",
    "masked-lm": "perplexity",
    "causal-lm": "perplexity",
}
_LANGUAGE = ("masked-lm", "causal-lm")
#: A token of which nothing is to be predicted.
IGNORE = -100
_MASKED = 0.15


@dataclass(frozen=True)
class Texts:
    """Encoded examples; `labels` has one entry for each, or is empty for language models."""

    encodings: list[Encoding]
    labels: list[str]
    skipped: list[list[str]]
    """[sentence id, reason] of each text that the model cannot learn from."""

    def __len__(self) -> int:
        return len(self.encodings)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(encoding) for encoding in self.encodings])


@dataclass(frozen=True)
class Objective:
    """A task of one model: how targets are made of texts, and how outputs are scored."""

    task: str
    model: LoadedModel
    """The model as it was; of use for its tokenizer and device."""
    classes: tuple[str, ...] = ()

    @property
    def metric(self) -> str:
        return METRICS[self.task]

    def batch(
        self, texts: Texts, rows: np.ndarray, draw: np.random.Generator
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Inputs and targets of some texts, padded to the longest on the right.

        Targets have shape (text,), or (text, token) for language models.
        """
        encodings = [texts.encodings[row] for row in rows]
        ids = [torch.from_numpy(encoding.ids).long() for encoding in encodings]
        if self.task == "masked-lm":
            pairs = [self._masked(encoding, draw) for encoding in encodings]
            ids = [read for read, _ in pairs]
            wanted = [predicted for _, predicted in pairs]
            targets = pad_sequence(wanted, batch_first=True, padding_value=IGNORE)
        elif self.task == "causal-lm":
            # Each token but the last predicts the next one.
            wanted = [functional.pad(one[1:], (0, 1), value=IGNORE) for one in ids]
            targets = pad_sequence(wanted, batch_first=True, padding_value=IGNORE)
        else:
            targets = self._labels([texts.labels[row] for row in rows])
        inputs = self._padded(ids, encodings)
        place = self.model.device
        return {name: value.to(place) for name, value in inputs.items()}, targets.to(place)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean over the texts, or over the tokens that are to be predicted."""
        if self.task == "regression":
            return functional.mse_loss(logits.squeeze(-1), targets)
        return functional.cross_entropy(logits.flatten(0, -2), targets.flatten())

    def size(self, targets: Tensor) -> int:
        """How many terms the mean of the loss has."""
        return int((targets != IGNORE).sum()) if self.task in _LANGUAGE else len(targets)

    def value(self, loss: float, logits: list[Tensor], targets: list[Tensor]) -> float:
        """The metric over all evaluation texts, of their mean loss, logits and targets."""
        if self.task in _LANGUAGE:
            return math.exp(min(loss, 700.0))  # beyond it a float overflows
        predicted, true = torch.cat(logits), torch.cat(targets)
        if self.task == "classification":
            return (predicted.argmax(-1) == true).double().mean().item()
        return 1 - loss / true.double().var(correction=0).item()

    def is_better(self, value: float, best: float) -> bool:
        return value < best if self.task in _LANGUAGE else value > best

    def _labels(self, labels: list[str]) -> Tensor:
        if self.task == "regression":
            return torch.tensor([float(label) for label in labels])
        return torch.tensor([self.classes.index(label) for label in labels])

    def _padded(self, ids: list[Tensor], encodings: list[Encoding]) -> dict[str, Tensor]:
        tokenizer = self.model.tokenizer
        pad = tokenizer.pad_token_id or 0
        inputs = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=pad),
            "attention_mask": pad_sequence([torch.ones_like(one) for one in ids], batch_first=True),
        }
        # GPT-2 accepts segments but reads them as words; the tokenizer knows who wants them.
        if "token_type_ids" in tokenizer.model_input_names:
            segments = [torch.from_numpy(encoding.segments).long() for encoding in encodings]
            inputs["token_type_ids"] = pad_sequence(segments, batch_first=True)
        return inputs

    def _masked(self, encoding: Encoding, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Ids to read and ids to predict, as in Devlin et al. 2019, section 3.1.

        Of 15 % of the tokens (at least one, specials never), 80 % become the mask, 10 % a random
        token, and 10 % stay; all of them are predicted.
        """
        ids, wanted = encoding.ids.copy(), np.full(len(encoding), IGNORE)
        own = np.flatnonzero(~encoding.added)
        chosen = draw.choice(own, max(1, round(_MASKED * len(own))), replace=False)
        wanted[chosen] = ids[chosen]
        how, others = draw.random(len(chosen)), draw.integers(self._vocabulary(), size=len(chosen))
        ids[chosen[how < 0.8]] = self.model.tokenizer.mask_token_id
        random = (how >= 0.8) & (how < 0.9)
        ids[chosen[random]] = others[random]
        return torch.from_numpy(ids).long(), torch.from_numpy(wanted).long()

    def _vocabulary(self) -> int:
        return min(len(self.model.tokenizer), self.model.config.vocab_size)


def read_texts(model: LoadedModel, examples: Examples, task: str) -> Texts:
    """Encode the examples that fit the model.

    Raises:
        CorpusError: no text is left, or a label is missing.
    """
    sentences = corpus_of(examples).sentences
    encodings, skipped = encode_all(sentences, model.tokenizer, model.max_tokens)
    if task == "causal-lm":
        skipped += [[e.sentence.id, "one token, none follows it"] for e in encodings if len(e) < 2]
        encodings = [encoding for encoding in encodings if len(encoding) > 1]
    if not encodings:
        why = f", e.g. {skipped[0][1]}" if skipped else ""
        raise CorpusError(
            f"{examples.name} holds no text that {model.name} can read: {len(skipped)} were "
            f"skipped{why}; give others."
        )
    if task in _LANGUAGE:
        return Texts(encodings, [], skipped)
    if missing := [example.id for example in examples.examples if example.label is None]:
        raise CorpusError(
            f"{len(missing)} of the {len(examples)} examples of {examples.name} have no label "
            f"(the first: {missing[0]!r}); {task} learns from labels: add or drop them."
        )
    # By the object, because two examples may have the same text.
    given = {id(s): str(e.label) for s, e in zip(sentences, examples.examples, strict=True)}
    return Texts(encodings, [given[id(e.sentence)] for e in encodings], skipped)


def check_labels(train: Texts, evaluation: Texts, task: str) -> None:
    """Refuse labels that nothing can be learned from, or scored on.

    Raises:
        CorpusError: one label only, labels that are no numbers for a regression, or labels to
            evaluate that do not occur in training.
    """
    if task in _LANGUAGE:
        return
    if task == "regression":
        for label in (*train.labels, *evaluation.labels):
            _check_number(label)
    parts = {"training": train} | ({"evaluation": evaluation} if task == "regression" else {})
    for name, texts in parts.items():
        if len({float(x) if task == "regression" else x for x in texts.labels}) < 2:
            raise CorpusError(
                f"All {len(texts)} {name} examples have the label {texts.labels[0]!r}; give "
                "examples of at least two."
            )
    unseen = sorted(set(evaluation.labels) - set(train.labels))
    if task == "classification" and unseen:
        raise CorpusError(
            f"The labels {unseen} are evaluated but not trained on; training has "
            f"{sorted(set(train.labels))}. Use one set of labels."
        )


def _check_number(label: Any) -> None:
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise CorpusError(
            f"The label {label!r} is no finite number; a regression learns numbers: correct it, "
            "or use task='classification'."
        )


def grouped_by_length(
    lengths: np.ndarray, size: int, draw: np.random.Generator
) -> Iterator[np.ndarray]:
    """Rows of each batch in random order; texts of a batch are of similar length.

    Sorted within random pools of at most 50 batches, so that batches differ between epochs.
    """
    order = draw.permutation(len(lengths))
    pool = size * max(1, min(len(order) // (4 * size), 50))
    pools = [order[start : start + pool] for start in range(0, len(order), pool)]
    order = np.concatenate([one[np.argsort(lengths[one], kind="stable")] for one in pools])
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return (batches[place] for place in draw.permutation(len(batches)))
