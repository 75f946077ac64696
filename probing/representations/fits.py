"""Fitting: every probe and every baseline, on a task's own labels and on the control draws."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from .baselines import TypeLookup
from .features import WordStates
from .linear import LinearProbe
from .problems import Problem

#: Fits that run at once: each holds copies of the features of one layer.
_MAX_WORKERS = 8


@dataclass(frozen=True)
class Outcome:
    """How one probe or baseline did on one task."""

    problem: Problem
    probe: str
    correct: np.ndarray
    """bool (1 + draw, evaluation word): row 0 on the task's own labels."""
    layer: int | None = None
    """The hidden state that is read; None for a baseline."""
    c: float = float("nan")
    """Inverse strength of the penalty that was chosen for the task's own labels."""


def fit_baselines(problem: Problem) -> list[Outcome]:
    """The majority class and the type-majority lookup."""
    baselines = {"majority": DummyClassifier(strategy="most_frequent"), "lookup": TypeLookup()}
    return [
        Outcome(
            problem,
            name,
            np.stack([
                estimator.fit(problem.train_words, own).predict(problem.words) == gold
                for own, gold in zip(problem.train_labels, problem.labels, strict=True)
            ]),
        )
        for name, estimator in baselines.items()
    ]  # fmt: skip


def fit_linear(
    problems: Sequence[Problem], train: WordStates, evaluate: WordStates, *, seed: int
) -> list[Outcome]:
    """A linear probe for every problem and hidden state, with a progress bar over the fits."""
    jobs = [
        (problem, layer, draw)
        for problem in problems
        for layer in range(len(train.states))
        for draw in range(len(problem.labels))
    ]
    # Many small fits at once are several times faster than one fit on many cores.
    with threadpool_limits(limits=1, user_api="blas"):
        fits = Parallel(
            n_jobs=min(os.cpu_count() or 1, _MAX_WORKERS), prefer="threads", return_as="generator"
        )(delayed(_fit)(*job, train, evaluate, seed) for job in jobs)
        results: Iterator[tuple[np.ndarray, float]] = iter(
            tqdm(fits, total=len(jobs), desc="probes", unit="fit", dynamic_ncols=True)
        )
        outcomes = []
        for problem in problems:
            for layer in range(len(train.states)):
                rows = [next(results) for _ in problem.labels]
                correct = np.stack([row for row, _ in rows])
                outcomes.append(Outcome(problem, "linear", correct, layer, rows[0][1]))
        next(results, None)  # The bar closes when it is exhausted.
    return outcomes


def _fit(
    problem: Problem, layer: int, draw: int, train: WordStates, evaluate: WordStates, seed: int
) -> tuple[np.ndarray, float]:
    probe = LinearProbe(seed=seed).fit(
        train.states[layer][problem.train_rows],
        problem.train_labels[draw],
        groups=train.sentences[problem.train_rows],
    )
    predicted = probe.predict(evaluate.states[layer][problem.rows])
    return predicted == problem.labels[draw], probe.C_
