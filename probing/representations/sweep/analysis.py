"""The `probe` analysis: what can be read off every hidden state, against controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ....capture.identity import model_identity
from ....capture.store import ActivationStore
from ....corpora import Corpus
from ....errors import BertologyError
from ....models import LoadedModel, provenance
from ....results import Result, installed_versions
from ..estimators.linear import GRID, HELD_OUT
from ..splits import check_apart, count_shared_texts
from ..tasks import Task
from .options import PROBES, ProbeOptions
from .pieces import open_pieces
from .problems import chosen_tasks
from .readings import Reading, readings_of
from .run import sweep


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
    only items whose words occur in training (of pairs: the first span, which control labels hang
    on), `value_unseen_words` only the `n_unseen_words` items that do not as a whole, with
    its own interval (`unseen_ci_low`, `unseen_ci_high`) and the lookup's value on these items
    (`lookup_unseen_words`). `c` is the chosen inverse strength of the penalty. `descriptive` rows
    have too little data: their interval is Wilson's, and differences have none.

    A `mix` reads its layer with all those below. Structural probes have the task `tree`, the
    metrics `uuas` and `dspr` (distances), `root` and `nspr` (depths), the baselines `linear_chain`
    and `random`, and no control labels.
    """

    tests: pd.DataFrame
    """`probe_tests.csv`: every layer minus what it is held to; see `comparison_table`."""
    best: pd.DataFrame
    """`best_layers.csv`: layers chosen on held-out training data; see `best_layers`."""
    mix: pd.DataFrame
    """`mix.csv`: what scalar mixes consist of; see `mix_table`."""
    mdl: pd.DataFrame
    """`mdl.csv`: see `DescriptionLength.table`."""
    information: pd.DataFrame
    """`information.csv`: see `UsableInformation.table`."""
    curves: pd.DataFrame
    """`learning_curves.csv`: see `learning_curve`."""


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
        tasks: names such as `upos` or `feats:Number`, or tasks of your own.
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
        OutputError: the folder holds another sweep, or a store is of another model.
    """
    options = ProbeOptions(
        probes, layers, controls, control_draws, random_models, seeds, training_samples, measures,
        seed,
    )  # fmt: skip
    chosen = chosen_tasks(tasks)
    check_suited(chosen, options)
    check_apart(train, evaluate)
    readings = readings_of(model, (train, evaluate), chosen, options, (train_store, eval_store))
    stores = [None if store is None else store.description["options"]
              for store in (train_store, eval_store)]  # fmt: skip
    pieces = open_pieces(folder, _identity(model, readings, options, stores))
    first = readings[0]
    return Probes(
        **sweep(readings, options, pieces, device=str(model.device)),
        provenance=provenance(
            model, evaluate, seed=seed, skipped=[list(each) for each in first.evaluate.skipped],
            train=train.name, train_sha256=train.sha256, train_sentences=len(train),
            train_words=int((first.train.word_tokens > 0).sum()),
            train_skipped=[list(each) for each in first.train.skipped],
            items_without_tokens={
                problem.task.name: {"train": problem.train.without_tokens,
                                    "evaluate": problem.evaluate.without_tokens}
                for reading in readings
                for problem in reading.problems
            },
            sentences_left_out_of_trees={
                part: {"no_tree": trees.no_tree, "without_tokens": trees.without_tokens}
                for reading in readings
                if reading.trees is not None
                for part, trees in zip(("train", "evaluate"), reading.trees, strict=True)
            },
            evaluated_texts_in_train=count_shared_texts(train, evaluate),
            tasks=[task.name for task in chosen], stores=stores, grid=list(GRID),
            held_out=HELD_OUT,
            **{name: value for name, value in options.as_dict().items() if name != "seed"},
        ),
    )  # fmt: skip


def check_suited(tasks: Sequence[Task], options: ProbeOptions) -> None:
    """Refuse probes that can read none of the tasks, and tasks that none of the probes can read.

    Raises:
        BertologyError: there are such.
    """
    levels = {task.level for task in tasks} | {"tree"}
    idle = [name for name in options.probes if not levels & set(PROBES[name])]
    read = {level for name in options.probes for level in PROBES[name]}
    unread = [] if read == {"tree"} else [task for task in tasks if task.level not in read]
    if idle or unread:
        tasks_shown = ", ".join(f"{task.name} ({task.level})" for task in tasks)
        probes_shown = "; ".join(f"{name} reads {', '.join(PROBES[name])}" for name in PROBES)
        raise BertologyError(
            f"These do not go together: {', '.join([*idle, *(task.name for task in unread)])}. The "
            f"tasks are {tasks_shown}; of the probes {probes_shown}."
        )


def _identity(
    model: LoadedModel, readings: Sequence[Reading], options: ProbeOptions, stores: list[Any]
) -> dict[str, Any]:
    """What the pieces of a sweep depend on."""
    return {
        "task": "probes",
        "model": model_identity(model),
        "readings": [reading.identity() for reading in readings],
        "stores": stores,
        "options": options.as_dict(),
        "versions": installed_versions(),
    }
