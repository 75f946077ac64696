"""The `probe` analysis: what can be read off every hidden state, against controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ...corpora import Corpus
from ...errors import BertologyError
from ...models import LoadedModel, provenance
from ...results import Result
from .features import word_states
from .fits import fit_baselines, fit_linear
from .linear import GRID, HELD_OUT
from .problems import pose
from .split import check_apart, count_shared_texts
from .table import probe_table
from .word_tasks import check_tasks

#: The mean over fewer control draws says little.
MIN_CONTROL_DRAWS = 3


@dataclass(frozen=True, repr=False)
class Probes(Result):
    """Accuracy of probes and baselines; `table` is `probes.csv`.

    One row per task and hidden state (`probe` = `linear`, `layer` counts hidden states), then
    the baselines `majority` and `lookup` (no layer). `value` is the share of the `n` evaluation
    words that are right, `control` the mean over the control draws of the same on their labels
    (standard deviation over draws: `control_sd`), `selectivity` their difference and
    `over_lookup` the difference from the type lookup. Intervals are 95 %, over the units
    named in the provenance, with words and labellings paired; they say nothing about other
    control draws or training data. `control_seen_words` counts only words whose form occurs
    in training, `value_unseen_words` only the other `n_unseen_words`. `c` is the chosen inverse
    strength of the penalty. `descriptive` rows have too little data: their interval is Wilson's,
    and differences have none.
    """


def probe(
    model: LoadedModel,
    train: Corpus,
    evaluate: Corpus,
    *,
    tasks: Sequence[str] = ("upos", "deprel"),
    seed: int = 0,
    control_draws: int = MIN_CONTROL_DRAWS,
) -> Probes:
    """Train linear probes of each task on every hidden state and score them on other text.

    A high value says that the label can be read off linearly, not that the model uses it.

    Args:
        tasks: names in `TASKS`.
        control_draws: random labellings of word types (Hewitt & Liang 2019), at least 3.

    Raises:
        BertologyError: no or an unknown task, or too few control draws.
        CorpusError: a part lacks the annotation, the parts share sentences, or too little fits.
        CaptureError: the hidden states cannot be had.
    """
    if not tasks or isinstance(tasks, str):
        raise BertologyError(f"tasks is {tasks!r}; give a sequence of names such as ('upos',).")
    if control_draws < MIN_CONTROL_DRAWS:
        raise BertologyError(
            f"control_draws is {control_draws}; at least {MIN_CONTROL_DRAWS} are needed."
        )
    check_tasks(tasks, train, evaluate)
    check_apart(train, evaluate)
    learned, scored = word_states(model, train), word_states(model, evaluate)
    problems = [
        pose(task, learned, scored, control_draws=control_draws, seed=seed)
        for task in dict.fromkeys(tasks)
    ]
    linear = fit_linear(problems, learned, scored, seed=seed)
    tables = []
    for problem in problems:
        outcomes = [outcome for outcome in linear if outcome.problem is problem]
        outcomes += fit_baselines(problem)
        tables.append(probe_table(outcomes, scored.units[problem.rows], seed=seed))
    return Probes(
        table=pd.concat(tables, ignore_index=True),
        provenance=provenance(
            model, evaluate, seed=seed, skipped=scored.skipped,
            train=train.name, train_sha256=train.sha256, train_sentences=len(train),
            train_words=len(learned.words), train_skipped=learned.skipped,
            words_without_tokens={
                "train": learned.without_tokens, "evaluate": scored.without_tokens
            },
            evaluated_texts_in_train=count_shared_texts(train, evaluate),
            tasks=list(dict.fromkeys(tasks)), control_draws=control_draws,
            grid=list(GRID), held_out=HELD_OUT,
        ),
    )  # fmt: skip
