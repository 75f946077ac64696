"""What is measured on request: description length, usable information, learning curves."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from ..measures import description_length, learning_curve, usable_information
from ..states import States
from .fitting import piece_name
from .jobs import Job
from .kinds import KINDS, Kind
from .options import PROBES, ProbeOptions
from .pieces import Arrays
from .problems import Group, Problem
from .sources import Source

#: What a table of a measure begins with; `model` counts the random models of a source.
LEADING = ("task", "layer", "probe", "source", "model")


def measured_jobs(
    problems: Sequence[Problem], sources: Sequence[Source], layers: Sequence[int],
    options: ProbeOptions, *, device: str,
) -> list[Job]:  # fmt: skip
    """One job for each measure, problem, probe, layer and source."""
    return [
        Job(_name(measure, source, probe, layer, problem), source, layer,
            partial(_measure, measure, probe, problem, layer, layers, options.seed, device))
        for measure in options.measures
        for source, probe, layer, problem in _cells(problems, sources, layers, options)
    ]  # fmt: skip


def measured_table(
    measure: str, problems: Sequence[Problem], sources: Sequence[Source], layers: Sequence[int],
    options: ProbeOptions, found: dict[str, Arrays],
) -> pd.DataFrame:  # fmt: skip
    """The table of one measure; its columns are those of the measure's own table."""
    tables = []
    for source, probe, layer, problem in _cells(problems, sources, layers, options):
        table = pd.DataFrame(found[_name(measure, source, probe, layer, problem)])
        own = table.columns
        table = table.assign(
            task=problem.task.name, layer=layer, probe=probe, source=source.name,
            model=source.number,
        )  # fmt: skip
        tables.append(table[[*LEADING, *own]])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _cells(
    problems: Sequence[Problem], sources: Sequence[Source], layers: Sequence[int],
    options: ProbeOptions,
) -> list[tuple[Source, str, int, Problem]]:  # fmt: skip
    return [
        (source, probe, layer, problem)
        for problem in problems
        for source in sources
        for probe in options.probes
        if probe in KINDS and problem.task.level in PROBES[probe]
        for layer in layers
    ]


def _measure(
    measure: str, probe: str, problem: Problem, layer: int, layers: Sequence[int], seed: int,
    device: str, train: States, evaluate: States,
) -> Arrays:  # fmt: skip
    kind = KINDS[probe]
    X = kind.features(train, problem.train, layer, layers)
    X_eval = kind.features(evaluate, problem.evaluate, layer, layers)
    table = _MEASURES[measure](kind, problem, X, X_eval, seed, device)
    # Text as text, for an array of objects cannot be kept without pickle.
    return {
        str(name): column.to_numpy() if is_numeric_dtype(column) else column.to_numpy(str)
        for name, column in table.items()
    }


def _mdl(
    kind: Kind, problem: Problem, X: np.ndarray, X_eval: np.ndarray, seed: int, device: str
) -> pd.DataFrame:
    """Of the training items alone."""
    items = problem.train
    found = description_length(
        kind.make(seed, device), X, problem.train_labels, sentences=items.sentences, seed=seed
    )
    return found.table(items.units, seed=seed)


def _information(
    kind: Kind, problem: Problem, X: np.ndarray, X_eval: np.ndarray, seed: int, device: str
) -> pd.DataFrame:
    found = usable_information(
        kind.make(seed, device), X, problem.train_labels, X_eval, problem.labels,
        sentences=problem.train.sentences,
    )  # fmt: skip
    return found.table(problem.evaluate.units, seed=seed)


def _curves(
    kind: Kind, problem: Problem, X: np.ndarray, X_eval: np.ndarray, seed: int, device: str
) -> pd.DataFrame:
    return learning_curve(
        kind.make(seed, device), X, problem.train_labels, X_eval, problem.labels,
        sentences=problem.train.sentences, units=problem.evaluate.units, seed=seed,
    )  # fmt: skip


_MEASURES: dict[str, Callable[..., pd.DataFrame]] = {
    "mdl": _mdl,
    "information": _information,
    "curves": _curves,
}


def _name(measure: str, source: Source, probe: str, layer: int, problem: Problem) -> str:
    return f"{measure}.{piece_name(source, probe, layer, Group((problem,)))}"
