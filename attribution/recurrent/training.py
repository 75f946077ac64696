"""Training the classifier on one's own data."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm

from ...corpora import Example, Examples
from ...errors import AttributionError
from .network import AttentionClassifier
from .vocabulary import Vocabulary

BATCH = 32
#: Share of the training examples that the epoch is chosen on, where no others are given.
HELD_OUT = 0.1
#: Of each example of a batch: its number, logits and α to the loss.
Loss = Callable[[np.ndarray, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TrainedClassifier:
    """A trained classifier with all that is needed to read texts with it."""

    network: AttentionClassifier
    vocabulary: Vocabulary
    labels: tuple[str, ...]
    epochs: pd.DataFrame
    """`epoch,loss,held_out_accuracy,chosen`."""

    def accuracy(self, examples: Sequence[Example]) -> float:
        """Share of the examples that are classified right."""
        classes = torch.tensor([self.labels.index(str(e.label)) for e in examples])
        logits = torch.cat([self.network(*batch)[0] for _, batch in self.batches(examples)])
        return (logits.argmax(1) == classes).float().mean().item()

    def batches(
        self, examples: Sequence[Example]
    ) -> list[tuple[np.ndarray, tuple[Tensor, Tensor]]]:
        """Numbers of the examples of each batch, and their ids (batch, word) and lengths."""
        numbers = np.arange(len(examples))
        return [
            (part, collate([self.vocabulary.ids(examples[n].sentence) for n in part]))
            for part in np.split(numbers, range(8 * BATCH, len(numbers), 8 * BATCH))
        ]


def train_classifier(
    train: Examples,
    *,
    evaluate: Examples | None = None,
    encoder: str = "bilstm",
    attention: str = "additive",
    epochs: int = 8,
    seed: int = 0,
    imposed: Sequence[np.ndarray] | None = None,
    start: TrainedClassifier | None = None,
    loss: Loss | None = None,
) -> TrainedClassifier:
    """Train on labelled texts; the epoch with the best held-out accuracy is kept.

    Adam (amsgrad, 1e-3), weight decay 1e-5 except on the attention, classes weighted by their
    rarity, as in Jain & Wallace 2019; but the checkpoint is never chosen on test data.

    Args:
        evaluate: what the epoch is chosen on (default: a tenth of `train`, drawn with the seed).
        encoder, attention: see `AttentionClassifier`.
        imposed: α of each example of `train` and then of `evaluate`, frozen (the diagnostic
            guide of Wiegreffe & Pinter 2019, 3.4); `evaluate` must then be given.
        start: whose vocabulary is used.
        loss: in place of the cross-entropy; then the last epoch is kept, because held-out
            accuracy is not what is sought.

    Raises:
        AttributionError: examples without label, one class only, or an unknown label in
            `evaluate`.
    """
    labels = _labels(train, evaluate)
    learned, held = _parts(train, evaluate, seed)
    both = [*learned, *held]
    if imposed is not None and (evaluate is None or len(imposed) != len(both)):
        raise AttributionError(
            f"{0 if imposed is None else len(imposed)} imposed maps were given; give one for each "
            "example of train and of evaluate."
        )
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vocabulary = start.vocabulary if start else Vocabulary.of(e.sentence for e in learned)
        network = AttentionClassifier(
            len(vocabulary), len(labels), encoder=encoder, attention=attention
        )
    ids = [vocabulary.ids(example.sentence) for example in both]
    classes = torch.tensor([labels.index(str(example.label)) for example in both])
    maps = None if imposed is None else [torch.from_numpy(row).float() for row in imposed]
    counts = torch.bincount(classes[: len(learned)], minlength=len(labels))
    weights = len(learned) / (len(labels) * counts.clamp(min=1).float())

    def run(part: Tensor) -> tuple[Tensor, Tensor]:
        numbers = part.tolist()
        forced = None if maps is None else pad_sequence([maps[n] for n in numbers], True)
        return network(*collate([ids[n] for n in numbers]), forced)

    def step_loss(part: Tensor) -> Tensor:
        logits, alpha = run(part)
        if loss is not None:
            return loss(part.numpy(), logits, alpha)
        return cross_entropy(logits, classes[part], weights)

    optimiser = _optimiser(network)
    rows: list[dict[str, float]] = []
    best = copy.deepcopy(network.state_dict())
    for epoch in tqdm(range(epochs), desc="training", unit="epoch", dynamic_ncols=True):
        losses = []
        for part in torch.randperm(len(learned), generator=generator).split(BATCH):
            optimiser.zero_grad()
            value = step_loss(part)
            value.backward()
            optimiser.step()
            losses.append(value.item())
        with torch.no_grad():
            places = torch.arange(len(learned), len(both)).split(8 * BATCH)
            right = torch.cat([run(part)[0].argmax(1) == classes[part] for part in places])
        rows.append({"epoch": epoch, "loss": float(np.mean(losses)),
                     "held_out_accuracy": right.float().mean().item()})  # fmt: skip
        if loss is not None or _is_best(rows):
            best = copy.deepcopy(network.state_dict())
    network.load_state_dict(best)
    table = pd.DataFrame(rows)
    chosen = table["held_out_accuracy"].idxmax() if loss is None else len(table) - 1
    network.eval().requires_grad_(False)
    return TrainedClassifier(
        network, vocabulary, labels, table.assign(chosen=table.index == chosen)
    )


def collate(ids: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Padded ids (batch, word) and lengths (batch,)."""
    return pad_sequence(list(ids), batch_first=True), torch.tensor([len(own) for own in ids])


def _is_best(rows: Sequence[dict[str, float]]) -> bool:
    """Whether the last epoch is the first of the best."""
    accuracies = [row["held_out_accuracy"] for row in rows]
    return accuracies.index(max(accuracies)) == len(rows) - 1


def _optimiser(network: AttentionClassifier) -> torch.optim.Optimizer:
    attention = list(network.attention.parameters())
    known = {id(parameter) for parameter in attention}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in known]
    groups = [{"params": rest, "weight_decay": 1e-5}, {"params": attention, "weight_decay": 0.0}]
    return torch.optim.Adam(groups, lr=1e-3, amsgrad=True)


def _labels(train: Examples, evaluate: Examples | None) -> tuple[str, ...]:
    for part in (train, evaluate) if evaluate is not None else (train,):
        if missing := [example.id for example in part.examples if example.label is None]:
            raise AttributionError(
                f"{len(missing)} examples of {part.name} have no label, beginning with "
                f"{missing[0]!r}; a classifier is trained on labelled texts."
            )
    labels = tuple(sorted({str(example.label) for example in train.examples}))
    if len(labels) < 2:
        raise AttributionError(
            f"{train.name} has the label {labels[0] if labels else 'none'} only; give at least "
            "two classes."
        )
    unseen = {str(e.label) for e in evaluate.examples} - {*labels} if evaluate is not None else ()
    if unseen:
        raise AttributionError(
            f"The labels {sorted(unseen)} of {evaluate.name if evaluate else ''} are not in "
            f"{train.name}, whose labels are {', '.join(labels)}."
        )
    return labels


def _parts(
    train: Examples, evaluate: Examples | None, seed: int
) -> tuple[list[Example], list[Example]]:
    if evaluate is not None:
        return list(train.examples), list(evaluate.examples)
    order = np.random.default_rng(seed).permutation(len(train))
    held = max(1, round(HELD_OUT * len(train)))
    return ([train.examples[n] for n in sorted(order[held:])],
            [train.examples[n] for n in sorted(order[:held])])  # fmt: skip
