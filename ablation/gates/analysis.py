"""Learned gates along a path of penalties, scored on texts they were not learned from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...corpora import Examples
from ...errors import CaptureError
from ...models import LoadedModel, provenance
from ...results import Result
from ..knockout import head_grid
from .concrete import deterministic_gate
from .material import Material, halved
from .scoring import gated_sums
from .tables import gate_rows, summary_rows
from .training import Training, learned, trained_with

#: From a fifth of a nat for a hundred open heads to half a nat for each one.
PENALTIES = (0.002, 0.01, 0.05, 0.2, 0.5)


@dataclass(frozen=True, repr=False)
class LearnedGates(Result):
    """Gates of every head, by penalty and seed.

    `table`: `penalty,seed,layer,head,log_alpha,open_probability,gate,kept`; `gate` is the one
    without noise, and a head is kept where it is above 0. `summary`: what the model is worth with
    these gates (`summary_rows`).
    """

    summary: pd.DataFrame


def learn_gates(
    model: LoadedModel,
    examples: Examples,
    *,
    penalties: Sequence[float] = PENALTIES,
    train_model: bool = False,
    steps: int = 500,
    learning_rate: float = 0.05,
    model_learning_rate: float = 5e-5,
    batch: int = 16,
    seeds: Sequence[int] = (0, 1, 2),
    draws: int = 20,
    seed: int = 0,
) -> LearnedGates:
    """Learn which heads to keep: loss + penalty · Σ P(gate open) (Voita et al. 2019, section 6).

    The loss is the cross-entropy of the labels (of a regression, the squared error), or of the
    tokens that a language model predicts. Gates are learned on one half of the units and scored on
    the other, beside the same gates dealt to the heads at random. The model is read without
    dropout and stays as it is.

    Args:
        model: a classifier or a language model.
        penalties: what an open gate costs, in nats; each has gates of its own.
        train_model: train a copy of the model along with the gates. Gates dealt at random then
            each get a copy trained as long, which costs `draws` trainings for every penalty.
        learning_rate: of log α.
        model_learning_rate: of the copy's weights.
        batch: texts a step.
        seeds: of noise and of the order of texts; gates differ between seeds.
        draws: how many times the gates are dealt at random.
        seed: of the halves, the intervals, the masked tokens and the random gates.

    Raises:
        ModelError: a model without a loss, numbers that make no training, or one that diverges.
        CorpusError: unknown labels, or too few texts.
        CaptureError: attention that cannot be reached, a negative penalty, or no draw.
    """
    penalties, seeds = _checked(penalties, seeds, draws)
    training = Training(steps, learning_rate, batch, model_learning_rate if train_model else None)
    material = halved(model, examples, seed)
    study = _Study(model, material, training, draws, seed)
    intact = torch.ones(head_grid(model.module), device=model.device)
    base = study.scored(model, [intact])[0]
    tables, summaries = [], []
    trainings = len(penalties) * len(seeds) * (1 + draws * train_model)
    with tqdm(
        total=trainings * steps, desc="learning gates", unit="step", dynamic_ncols=True
    ) as bar:
        for penalty in penalties:
            for own in seeds:
                log_alpha, scores, null = study.run(penalty, own, bar)
                key = {"penalty": penalty, "seed": own}
                tables.append(gate_rows(log_alpha).assign(**key))
                rows = summary_rows(base, scores, null, material.units, log_alpha, seed=seed)
                summaries.append(rows.assign(**key))
    return LearnedGates(
        table=_keyed(tables),
        summary=_keyed(summaries),
        provenance=provenance(
            model, examples, seed=seed, skipped=material.skipped, penalties=penalties, seeds=seeds,
            train_model=train_model, steps=steps, learning_rate=learning_rate,
            model_learning_rate=training.model_learning_rate, batch=batch, draws=draws,
            learned_on=len(material.learning), scored_on=len(material.scoring),
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class _Study:
    """What is the same for every penalty and seed."""

    model: LoadedModel
    material: Material
    training: Training
    draws: int
    seed: int

    def scored(self, model: LoadedModel, settings: Sequence[Tensor]) -> np.ndarray:
        """(setting, text, sum), on the half that nothing was learned from."""
        part = self.material
        return gated_sums(model, part.objective, part.scoring, settings, self.seed)

    def run(self, penalty: float, seed: int, bar: Any) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """log α, the scores (text, sum), and those of the random gates (draw, text, sum)."""
        given = self.material.objective, self.material.learning
        log_alpha, model = learned(self.model, *given, penalty, self.training, seed, bar)
        gates = deterministic_gate(log_alpha)
        dealt = _dealt(gates, self.draws, [self.seed, seed])
        if self.training.model_learning_rate is None:
            scores = self.scored(model, [gates, *dealt])
            return log_alpha, scores[0], scores[1:]
        null = []
        for random in dealt:
            other = trained_with(self.model, *given, random, self.training, seed, bar)
            null.append(self.scored(other, [random])[0])
        return log_alpha, self.scored(model, [gates])[0], np.stack(null)


def _dealt(gates: Tensor, draws: int, seed: list[int]) -> list[Tensor]:
    """The same gates, given to heads at random."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(gates.numel()) for _ in range(draws)]
    return [gates.flatten()[torch.from_numpy(order)].view_as(gates) for order in orders]


def _checked(
    penalties: Sequence[float], seeds: Sequence[int], draws: int
) -> tuple[list[float], list[int]]:
    path, own = [float(one) for one in penalties], [int(one) for one in seeds]
    if not path or not all(0 <= one < math.inf for one in path):
        raise CaptureError(f"The penalties are {path}; give at least one, each 0 or above.")
    if not own or draws < 1:
        raise CaptureError(f"The seeds are {own} and draws is {draws}; give at least one of each.")
    return list(dict.fromkeys(path)), list(dict.fromkeys(own))


def _keyed(tables: list[pd.DataFrame]) -> pd.DataFrame:
    whole = pd.concat(tables, ignore_index=True)
    keys = ["penalty", "seed"]
    return whole[[*keys, *whole.columns.drop(keys)]]
