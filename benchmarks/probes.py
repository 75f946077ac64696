"""Part of speech and its control task from every layer: solved together, and by scikit-learn.

    python benchmarks/probes.py en_ewt-ud-train.conllu en_ewt-ud-dev.conllu [--layers 0 3 6]
        [--C 1 | --path] [--limit 8000] [--threads 2] [--cache states.npz]

scikit-learn fits one probe after the other on the same standardised features (tol 1e-4), its time
without the standardising; ours includes it. Both run in this process and in turn, so that what
else the machine is doing falls on both. Where other programs run, take one thread and compare the
processor time: threads that wait for each other burn it. Objectives are computed in double
precision; "from the minimum" is what the solver's duality gap proves. With --path each probe is
solved for every C of the grid by warm starts, and the last ones are compared.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bertology.corpora import read_corpus
from bertology.models import LoadedModel, load_model
from bertology.probing.representations import (
    TASKS,
    ControlTask,
    items_of,
    pooled,
    states_of_model,
)
from bertology.probing.representations.estimators.blocks import Features
from bertology.probing.representations.estimators.linear import GRID
from bertology.probing.representations.estimators.objective import LabelSet, Objective
from bertology.probing.representations.estimators.solver import solve

TOLERANCE, MAX_ITERATIONS = 1e-4, 10_000


@dataclass
class Part:
    """The words of a corpus."""

    states: np.ndarray
    """(layer, word, hidden)."""
    labels: np.ndarray
    """(2, word): their own, and those of the control task."""


@dataclass
class Fit:
    """What came out of one way to fit both probes of a layer."""

    seconds: np.ndarray
    """On the clock, and of processor time."""
    weights: list[tuple[np.ndarray, np.ndarray]]
    """(coefficients, intercepts) of each label set, on standardised features."""


def read_parts(options: argparse.Namespace) -> tuple[Part, Part]:
    """The training and the evaluation part, from the cache where there is one."""
    if options.cache and options.cache.exists():
        with np.load(options.cache) as file:
            return tuple(
                Part(*(file[f"{name}_{field}"] for field in ("states", "labels")))
                for name in ("train", "eval")
            )  # type: ignore[return-value]
    model = load_model(options.model)
    states, labels, types = _words(model, options.train, options.limit)
    control = ControlTask(seed=0).fit(types, labels)
    train = Part(states, np.stack([labels, control.transform(types)]))
    states, labels, types = _words(model, options.eval, None)
    evaluate = Part(states, np.stack([labels, control.transform(types)]))
    if options.cache:
        parts = {"train": train, "eval": evaluate}
        np.savez(options.cache, allow_pickle=False,
                 **{f"{name}_{field}": values for name, part in parts.items()
                    for field, values in vars(part).items()})  # fmt: skip
    return train, evaluate


def _words(
    model: LoadedModel, path: Path, limit: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    states = states_of_model(model, read_corpus(path).first(limit))
    items = items_of(TASKS["upos"], states)
    layers = np.stack([pooled(states.read(layer), items) for layer in states.layers])
    return layers, items.labels.astype(str), items.types.astype(str)


def _clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def fit_with_scikit_learn(X: np.ndarray, labels: np.ndarray, Cs: Sequence[float]) -> Fit:
    """One probe after the other, each from strong to weak penalty."""
    weights, started = [], _clocks()
    for own in labels:
        model = LogisticRegression(tol=TOLERANCE, max_iter=MAX_ITERATIONS, warm_start=True)
        for C in Cs:
            model.set_params(C=C).fit(X, own)
        weights.append((model.coef_, model.intercept_))
    return Fit(_clocks() - started, weights)


def fit_together(
    X: np.ndarray, labels: np.ndarray, Cs: Sequence[float], device: str
) -> tuple[Fit, np.ndarray, int]:
    """Both probes at once, with what their duality gaps say and the number of passes."""
    started = _clocks()
    sets = []
    for own in labels:
        classes, codes = np.unique(own, return_inverse=True)
        sets.append(LabelSet(codes, len(classes)))
    objective = Objective(Features(X, device), sets)
    theta, passes = None, 0
    for C in Cs:
        solution = solve(objective, [C] * len(sets), start=theta)
        theta, passes = solution.theta, passes + solution.passes
    parts = [part.cpu().numpy() for part in solution.theta.split(objective.columns)]
    fit = Fit(_clocks() - started, [(part[:, :-1], part[:, -1]) for part in parts])
    return fit, (solution.gap / solution.value).cpu().numpy(), passes


def value_of(X: np.ndarray, labels: np.ndarray, C: float, W: np.ndarray, b: np.ndarray) -> float:
    """The objective in double precision."""
    codes = np.unique(labels, return_inverse=True)[1]
    loss = 0.0
    for start in range(0, len(X), 8192):
        rows = slice(start, start + 8192)
        logits = X[rows].astype(np.float64) @ W.T.astype(np.float64) + b
        own = np.take_along_axis(logits, codes[rows, None], axis=1)[:, 0]
        loss += (logsumexp(logits, axis=1) - own).sum()
    return C * loss + np.square(W, dtype=np.float64).sum() / 2


def accuracy_of(
    X: np.ndarray, labels: np.ndarray, classes: np.ndarray, W: np.ndarray, b: np.ndarray
) -> float:
    return float((classes[(X @ W.T.astype(X.dtype) + b).argmax(axis=1)] == labels).mean())


def measure(
    layer: int, train: Part, evaluate: Part, Cs: Sequence[float], device: str
) -> np.ndarray:
    """Fit both ways, print what came out; returns the seconds, (way, clock)."""
    scaler = StandardScaler().fit(train.states[layer])
    X, held = (scaler.transform(part.states[layer]) for part in (train, evaluate))
    ours, gaps, passes = fit_together(train.states[layer], train.labels, Cs, device)
    theirs = fit_with_scikit_learn(X, train.labels, Cs)
    both = np.array([ours.seconds, theirs.seconds])
    print(f"layer {layer} ({passes} passes): {_compared(both)}")
    for name, labels, gold, gap, own, other in zip(
        ("upos", "control"), train.labels, evaluate.labels, gaps, ours.weights, theirs.weights,
        strict=True,
    ):  # fmt: skip
        values = [value_of(X, labels, Cs[-1], *each) for each in (own, other)]
        classes = np.unique(labels)
        right = [accuracy_of(held, gold, classes, *each) for each in (own, other)]
        print(f"  {name:8} objective {values[0]:.2f}, at most {gap:.3%} from the minimum; "
              f"scikit-learn {values[1] / values[0] - 1:+.3%}; accuracy {right[0]:.2%}, "
              f"{right[1]:.2%}", flush=True)  # fmt: skip
    return both


def _compared(seconds: np.ndarray) -> str:
    (ours, own), (theirs, other) = seconds
    return (
        f"{ours:.1f} s, scikit-learn {theirs:.1f} s: {theirs / ours:.1f} times faster; "
        f"processor {own:.1f} s, {other:.1f} s: {other / own:.1f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path, help="CoNLL-U file to train on")
    parser.add_argument("eval", type=Path, help="CoNLL-U file for the accuracies")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--limit", type=int, default=8000, help="first training sentences")
    parser.add_argument("--layers", type=int, nargs="+", help="default: all")
    parser.add_argument("--C", type=float, default=1.0)
    parser.add_argument("--path", action="store_true", help="all of the grid instead of one C")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of ours")
    parser.add_argument("--cache", type=Path, help="numpy file to keep the hidden states in")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("error", ConvergenceWarning)
    train, evaluate = read_parts(options)
    words, hidden = train.states.shape[1:]
    Cs = GRID if options.path else (options.C,)
    print(f"{words:,} words, {hidden} features, {options.threads} threads, C = "
          f"{', '.join(f'{C:g}' for C in Cs)}")  # fmt: skip
    with threadpool_limits(limits=options.threads):
        seconds = np.array([
            measure(layer, train, evaluate, Cs, options.device)
            for layer in options.layers or range(len(train.states))
        ])  # fmt: skip
    print(f"all: {_compared(seconds.sum(axis=0))}")


if __name__ == "__main__":
    main()
