"""A probing task as a behaviour: what a probe fitted on the intact model still reads."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...capture import Batch
from ...corpora import Corpus, Encoding, examples_of
from ...errors import CorpusError
from ...models import LoadedModel
from ...probing.representations import LinearProbe, Task, items_of, pooled, states_of_model
from ...probing.representations.tasks.registry import task_of
from .behaviours import Behaviour


def probing_behaviour(
    model: LoadedModel, train: Corpus, evaluate: Corpus, task: str | Task = "upos", *, seed: int = 0
) -> Behaviour:
    """The accuracy of a linear probe on the last hidden state, as a target.

    The probe is fitted once, on the intact model; parts that are switched off change what it
    reads. The target is the share of the task's items of a sentence that it gets right, so that
    sentences, not words, count alike; its gradient is that of the right labels' probability.
    Sentences without an item are left out.

    Args:
        task: of words (a name or a `Task`): `upos`, `xpos`, …

    Raises:
        CorpusError: a model that does not end in hidden states, a task that is not of words, or a
            corpus without its annotation.
    """
    asked = task_of(task)
    if model.task != "encoder":
        raise CorpusError(
            f"{model.name} was loaded as {model.task}, and a probe reads hidden states; load it "
            "with task='encoder'."
        )
    if asked.level != "word":
        raise CorpusError(f"The task {asked.name!r} is of a {asked.level}; give one of words.")
    sentences = tuple(s for s in evaluate.sentences if asked.items(s))
    if not sentences:
        raise CorpusError(
            f"{evaluate.name} has no {asked.needs}, which the task {asked.name!r} needs."
        )
    states = states_of_model(model, train)
    items = items_of(asked, states)
    features = pooled(states.read(max(states.layers)), items)
    probe = LinearProbe(seed=seed).fit(features, items.labels.astype(str), groups=items.units)

    def accuracy(outputs: Any, batch: Batch) -> Tensor:
        texts = zip(batch.encodings, outputs[0], strict=True)
        return torch.stack([_share_right(probe, asked, text, state) for text, state in texts])

    accuracy.__name__ = f"{asked.name} probe"
    data = examples_of(Corpus(evaluate.name, sentences, evaluate.sha256))
    return Behaviour(data, "target", accuracy)


def _share_right(probe: LinearProbe, task: Task, encoding: Encoding, state: Tensor) -> Tensor:
    """Share of the items of a text that are predicted right; NaN if none has a token.

    Args:
        state: (token, hidden), padding behind the text or none.
    """
    asked = [(item.spans[0][0], item.label) for item in task.items(encoding.sentence)]
    asked = [(word, label) for word, label in asked if encoding.word_tokens[word]]
    owned = encoding.words == np.array([word for word, _ in asked]).reshape(-1, 1)
    weights = torch.from_numpy(owned / owned.sum(1, keepdims=True)).to(state)
    logits = (weights @ state[: len(encoding)]) @ _on(state, probe.coef_).T + _on(
        state, probe.intercept_
    )
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    # A label that training did not have is never predicted.
    codes = {label: code for code, label in enumerate(probe.classes_)}
    known = [(row, codes[label]) for row, (_, label) in enumerate(asked) if label in codes]
    rows, labels = torch.tensor(known, dtype=torch.long).reshape(-1, 2).to(state.device).T
    soft = logits.softmax(1)[rows, labels].sum() / len(asked)
    right = (logits.argmax(1)[rows] == labels).sum() / len(asked)
    return right + soft - soft.detach()


def _on(state: Tensor, values: np.ndarray) -> Tensor:
    return torch.from_numpy(values).to(state)
