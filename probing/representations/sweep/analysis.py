"""The `probe` analysis: what can be read off every hidden state, against controls."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ....capture.identity import model_identity, sentences_sha256
from ....capture.store import ActivationStore
from ....corpora import Corpus
from ....errors import BertologyError, CaptureError
from ....models import LoadedModel, provenance
from ....results import Result, installed_versions
from ..estimators.linear import GRID, HELD_OUT
from ..splits import check_apart, count_shared_texts
from ..states import States, states_of_model, states_of_store
from ..tasks import Task
from . import choice, comparisons
from .fitting import fit_all
from .options import PROBES, ProbeOptions
from .outcomes import Outcome, baselines_of
from .pieces import open_pieces
from .problems import Problem, chosen_tasks, pose
from .sources import Source, control_sources
from .sums import Units
from .table import probe_table


@dataclass(frozen=True, repr=False)
class Probes(Result):
    """Accuracy of probes and baselines; `table` is `probes.csv`.

    One row per task, source of states, probe and hidden state (`layer` counts hidden states), then
    the baselines `majority` and `lookup` (no layer, no source). `source` is `model` or a control:
    `random_weights`, `random_layers` (embeddings kept), `shuffled_words`. `value` is the share of
    the `n` evaluation items that are right, the mean over seeds and random models where there are
    several; `control` is the mean over the control draws of the same on their labels (standard
    deviation over draws: `control_sd`), `selectivity` their difference and `over_lookup` the
    difference from the type lookup. Intervals are 95 %, over the units named in the provenance,
    with items and labellings paired; they say nothing about other control draws or training data.
    What these do is in `training_sd` (over bootstrap samples of the training units), `seed_sd`
    (over starts) and `random_model_sd`: standard deviations of `value`. `control_seen_words` counts
    only items whose words occur in training, `value_unseen_words` only the other
    `n_unseen_words`. `c` is the chosen inverse strength of the penalty. `descriptive` rows have
    too little data: their interval is Wilson's, and differences have none.
    """

    tests: pd.DataFrame
    """`probe_tests.csv`: every layer minus what it is held to; see `comparison_table`."""
    best: pd.DataFrame
    """`best_layers.csv`: layers chosen on held-out training data; see `best_layers`."""


def probe(
    model: LoadedModel,
    train: Corpus,
    evaluate: Corpus,
    *,
    tasks: Sequence[str | Task] = ("upos", "deprel"),
    probes: Sequence[str] = ProbeOptions.probes,
    layers: Sequence[int] | None = None,
    controls: Sequence[str] = ProbeOptions.controls,
    control_draws: int = ProbeOptions.control_draws,
    random_models: int = ProbeOptions.random_models,
    seeds: int = ProbeOptions.seeds,
    training_samples: int = ProbeOptions.training_samples,
    measures: Sequence[str] = (),
    train_store: ActivationStore | None = None,
    eval_store: ActivationStore | None = None,
    folder: str | Path | None = None,
    seed: int = 0,
) -> Probes:
    """Train probes of each task on every hidden state and score them on other text.

    A high value says that the label can be read off, not that the model uses it.

    Args:
        tasks: names in `TASKS`, or tasks of your own.
        probes, layers, controls, control_draws, random_models, seeds, training_samples, measures:
            see `ProbeOptions`.
        train_store, eval_store: activations of the two parts, which are then read one layer at a
            time and not computed.
        folder: where finished pieces are kept, so that a killed sweep goes on.

    Raises:
        BertologyError: options or tasks that do not exist or do not fit.
        CorpusError: a part lacks the annotation, the parts share sentences, or the items cannot
            be learned from.
        CaptureError: the hidden states cannot be had.
        OutputError: the folder holds another sweep, or a store is of another model or corpus.
    """
    options = ProbeOptions(
        probes, layers, controls, control_draws, random_models, seeds, training_samples, measures,
        seed,
    )
    chosen = chosen_tasks(tasks)
    _check_suited(chosen, options)
    check_apart(train, evaluate)
    learned = _states(model, train, train_store, options)
    scored = _states(model, evaluate, eval_store, options)
    problems = [
        pose(task, learned, scored, control_draws=control_draws, seed=seed) for task in chosen
    ]
    states = {
        name: [sentences_sha256(part.sentences), None if store is None else store.description]
        for name, part, store in (("train", learned, train_store), ("evaluate", scored, eval_store))
    }
    pieces = open_pieces(folder, _identity(model, problems, options) | states)
    sources = [Source("model", 0, lambda: (learned, scored))]
    sources += control_sources(model, train, evaluate, options)
    outcomes = fit_all(
        problems, sources, learned.layers, options, pieces, device=str(model.device)
    )
    return Probes(
        **tables_of(problems, outcomes, seed=seed),
        provenance=provenance(
            model, evaluate, seed=seed, skipped=[list(skipped) for skipped in scored.skipped],
            train=train.name, train_sha256=train.sha256, train_sentences=len(train),
            train_words=int(learned.offsets[-1]), train_skipped=[list(s) for s in learned.skipped],
            items_without_tokens={
                problem.task.name: {"train": problem.train.without_tokens,
                                    "evaluate": problem.evaluate.without_tokens}
                for problem in problems
            },
            evaluated_texts_in_train=count_shared_texts(train, evaluate),
            tasks=[task.name for task in chosen], **options.as_dict(),
            grid=list(GRID), held_out=HELD_OUT,
        ),
    )  # fmt: skip


def tables_of(
    problems: Sequence[Problem], outcomes: Sequence[Outcome], *, seed: int
) -> dict[str, pd.DataFrame]:
    """The tables of a sweep by the name of their field."""
    probes, tests, best = [], [], []
    for problem in problems:
        units = Units(problem.evaluate.units, seed)
        own = [outcome for outcome in outcomes if outcome.task == problem.task.name]
        own += baselines_of(problem)
        probes.append(probe_table(problem, own, units))
        tests.append(comparisons.comparison_table(own, units))
        best.append(choice.best_layers(own, units))
    return {
        "table": pd.concat(probes, ignore_index=True),
        "tests": comparisons.corrected(pd.concat(tests, ignore_index=True)),
        "best": choice.corrected(pd.concat(best, ignore_index=True)),
    }


def _check_suited(tasks: Sequence[Task], options: ProbeOptions) -> None:
    levels = {task.level for task in tasks}
    if idle := [name for name in options.probes if not levels & set(PROBES[name])]:
        needed = "; ".join(f"{name} reads {', '.join(PROBES[name])}" for name in idle)
        raise BertologyError(
            f"No task suits the probes {', '.join(idle)}: {needed}, and the tasks are "
            f"{', '.join(f'{task.name} ({task.level})' for task in tasks)}."
        )


def _states(
    model: LoadedModel, corpus: Corpus, store: ActivationStore | None, options: ProbeOptions
) -> States:
    if store is None:
        return states_of_model(model, corpus, options.layers)
    states = states_of_store(store, corpus)
    if options.layers is None:
        return states
    if missing := sorted(set(options.layers) - set(states.layers)):
        raise CaptureError(
            f"The store {store.folder} has no hidden states {missing}; it has "
            f"{list(states.layers)}."
        )
    return replace(states, layers=tuple(options.layers))


def _identity(
    model: LoadedModel, problems: Sequence[Problem], options: ProbeOptions
) -> dict[str, Any]:
    """What the pieces of a sweep depend on."""
    return {
        "task": "probes",
        "model": model_identity(model),
        "items": {problem.task.name: _sha256(problem) for problem in problems},
        "options": options.as_dict(),
        "versions": installed_versions(),
    }


def _sha256(problem: Problem) -> str:
    digest = hashlib.sha256()
    for items in (problem.train, problem.evaluate):
        digest.update(items.spans.tobytes())
        digest.update("\n".join([*items.labels, *items.types]).encode())
    return digest.hexdigest()
