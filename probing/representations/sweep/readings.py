"""Readings: what the model reads for some of the tasks, and what is asked of it there."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....capture.identity import sentences_sha256
from ....capture.store import ActivationStore, open_store
from ....corpora import Corpus
from ....errors import BertologyError, CaptureError
from ....models import LoadedModel
from ..checks import check_features
from ..items import pooled
from ..measures.curves import subset_sizes
from ..measures.description_length import block_ends
from ..states import States, states_of_model, states_of_store
from ..tasks import Task
from .options import ProbeOptions
from .problems import Problem, check_annotated, groups_of, pose
from .sources import Source, control_sources
from .structural import Trees, trees_of


@dataclass(frozen=True)
class Reading:
    """The states of both parts from every source, with the problems put to them."""

    train: States
    evaluate: States
    problems: tuple[Problem, ...]
    sources: tuple[Source, ...]
    trees: tuple[Trees, Trees] | None = None
    """The trees of both parts, if structural probes are asked for."""

    @property
    def layers(self) -> tuple[int, ...]:
        return self.train.layers

    def identity(self) -> list[Any]:
        """What the pieces of this reading depend on, besides the model and the options."""
        digest = hashlib.sha256()
        for problem in self.problems:
            for items in (problem.train, problem.evaluate):
                digest.update(items.spans.tobytes())
                digest.update("\n".join([items.task, *items.labels]).encode())
        sentences = [sentences_sha256(part.sentences) for part in (self.train, self.evaluate)]
        return [*sentences, digest.hexdigest()]


def readings_of(
    model: LoadedModel,
    parts: tuple[Corpus, Corpus],
    tasks: Sequence[Task],
    options: ProbeOptions,
    stores: tuple[ActivationStore | None, ActivationStore | None],
) -> list[Reading]:
    """Read both parts, once for all tasks that are about the text as it is, and put the tasks.

    Raises:
        BertologyError: a store, and a task for which the model reads another text; too few
            training sentences for a measure.
        CorpusError: a part lacks the annotation, or the items cannot be learned from.
        CaptureError: the hidden states cannot be had, or are the same for all items.
        OutputError: a store is of another model.
    """
    readings = []
    for reads in dict.fromkeys(task.reads for task in tasks):
        own = [task for task in tasks if task.reads is reads]
        if reads is not None and any(stores):
            raise BertologyError(
                f"For the task {own[0].name!r} the model reads another text than the one that was "
                "stored; leave the stores out, or this task."
            )
        corpora = parts if reads is None else (reads(parts[0]), reads(parts[1]))
        check_annotated(own, *corpora)
        train, evaluate = (
            _states(model, corpus, store, options)
            for corpus, store in zip(corpora, stores, strict=True)
        )
        problems = [
            pose(task, train, evaluate, control_draws=options.control_draws, seed=options.seed)
            for task in own
        ]
        _check_features(train, problems)
        _check_measures(problems, options)
        readings.append(Reading(
            train, evaluate, tuple(problems), _sources(model, corpora, (train, evaluate), options),
            _trees(train, evaluate) if reads is None and "structural" in options.probes else None,
        ))  # fmt: skip
    return readings


def _sources(
    model: LoadedModel, corpora: tuple[Corpus, Corpus], states: tuple[States, States],
    options: ProbeOptions,
) -> tuple[Source, ...]:  # fmt: skip
    own = Source("model", 0, lambda: states)
    return (own, *control_sources(model, corpora, states, options))


def _trees(train: States, evaluate: States) -> tuple[Trees, Trees]:
    return trees_of(train), trees_of(evaluate)


def _states(
    model: LoadedModel, corpus: Corpus, store: ActivationStore | None, options: ProbeOptions
) -> States:
    if store is None:
        return states_of_model(model, corpus, options.layers)
    # Opened anew with the model, which compares the two.
    states = states_of_store(open_store(store.folder, model), corpus)
    if options.layers is None:
        return states
    if missing := sorted(set(options.layers) - set(states.layers)):
        raise CaptureError(
            f"The store {store.folder} has no hidden states {missing}; it has "
            f"{list(states.layers)}."
        )
    return replace(states, layers=tuple(options.layers))


def _check_features(train: States, problems: Sequence[Problem]) -> None:
    """Every layer of the model, so that no message comes after hours of training."""
    for layer in train.layers:
        states = train.read(layer)
        for group in groups_of(problems):
            check_features(pooled(states, group.problems[0].train), layer)


def _check_measures(problems: Sequence[Problem], options: ProbeOptions) -> None:
    """Refuse training parts that are too small for a measure."""
    least = {"mdl": block_ends, "curves": subset_sizes}
    for measure in set(least) & set(options.measures):
        for problem in problems:
            least[measure](len(np.unique(problem.train.sentences)))
