"""The `acceptability_probes` analysis: what hidden states know of acceptability."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ....corpora import MinimalPair, MinimalPairs
from ....errors import CorpusError
from ....models import LoadedModel, provenance
from ....results import Result
from ....stats import MIN_UNITS
from .acceptability_tables import Answers, acceptability_table, comparison_table
from .differences import state_differences, word_differences
from .groups import PairGroup, units_of_pairs
from .pairwise import CONTROL_DRAWS, FOLDS, draw_signs, random_folds, scored_by_others


@dataclass(frozen=True, repr=False)
class AcceptabilityProbes(Result):
    """How often a linear probe of each hidden state tells the good sentence of a pair.

    `table` has a row for each phenomenon, `split` and hidden state (`probe` = `linear`, `layer`
    0 is the embeddings), and one for the counts of words (`bag_of_words`). `accuracy` is the share
    of the `n` pairs, the mean over the phenomenon's paradigms, whose good sentence is given the
    higher probability by a probe that has not seen the pair (a tie is half). Split `pairs`: other
    pairs of all paradigms are trained on. The pairs of a paradigm come from one template, and what
    betrays the template is learned with it; only split `paradigms`, where the scored paradigm is
    left out of training, shows what is common to the phenomenon. `control` is the mean over
    labellings where chance says which sentence is good (`control_sd`: over the labellings),
    `selectivity` the difference.

    `comparisons` has the paired difference of every hidden state from `chance`, from the
    `bag_of_words` and from hidden state 0 (`layer_0`), with two-sided sign-flip p, adjusted by
    Benjamini-Hochberg over layers and phenomena of a split.

    Intervals are 95 %, over pairs within paradigms, pairs that share a sentence being one unit;
    they say nothing about other paradigms or training data. `descriptive` rows have too few pairs:
    Wilson's interval, none for differences, and no p.
    """

    comparisons: pd.DataFrame


@dataclass(frozen=True)
class _Problem:
    """One phenomenon under one split."""

    phenomenon: str
    split: str
    rows: np.ndarray
    """Its pairs."""
    group: PairGroup
    parts: np.ndarray
    """(pair,): the part in which each is scored."""


def acceptability_probes(
    model: LoadedModel, pairs: MinimalPairs, *, seed: int = 0
) -> AcceptabilityProbes:
    """Train probes to tell the good sentence of a pair from the hidden states of both.

    For encoders without a head, which give a sentence no probability; a probe that succeeds shows
    that acceptability can be read off linearly, not that the model goes by it. Features are the
    mean over a text's own tokens; the probe is logistic regression on the difference of the two
    sentences.

    Raises:
        CorpusError: a phenomenon has fewer than 10 pairs that fit the model and share no sentence.
        CaptureError: the hidden states cannot be had.
    """
    _check_enough(pairs.pairs, pairs.name)
    states, kept, skipped = state_differences(model, pairs.pairs)
    fitting = [pairs.pairs[number] for number in kept]
    _check_enough(fitting, f"{pairs.name}, as far as it fits {model.name},")
    problems = list(_problems(fitting, seed))
    jobs = [(problem, layer) for problem in problems for layer in (None, *range(len(states)))]
    answers = []
    for problem, layer in tqdm(jobs, desc="probes", unit="probe", dynamic_ncols=True):
        if layer is None:
            features = word_differences([fitting[row] for row in problem.rows])
        else:
            features = states[layer][problem.rows]
        signs = draw_signs(len(problem.rows), seed)
        correct = scored_by_others(features, signs, problem.parts, problem.group.units, seed=seed)
        answers.append(Answers(problem.phenomenon, problem.split, layer, problem.group, correct))
    return AcceptabilityProbes(
        table=acceptability_table(answers, seed=seed),
        comparisons=comparison_table(answers, seed=seed),
        provenance=provenance(
            model, pairs, seed=seed, skipped=skipped, folds=FOLDS, control_draws=CONTROL_DRAWS
        ),
    )


def _check_enough(pairs: Sequence[MinimalPair], name: str) -> None:
    phenomena = np.array([pair.phenomenon for pair in pairs])
    units = units_of_pairs(pairs) if pairs else np.array([])
    counts = {str(p): len(np.unique(units[phenomena == p])) for p in np.unique(phenomena)}
    few = [f"{phenomenon!r} ({count})" for phenomenon, count in counts.items() if count < MIN_UNITS]
    if few or not counts:
        raise CorpusError(
            f"{name} has fewer than {MIN_UNITS} pairs of {', '.join(few) or 'any phenomenon'} that "
            "share no sentence, too few to train and score a probe; give more, or leave it out."
        )


def _problems(pairs: Sequence[MinimalPair], seed: int) -> Iterator[_Problem]:
    phenomena = np.array([pair.phenomenon for pair in pairs])
    paradigms = np.array([pair.paradigm for pair in pairs])
    units = units_of_pairs(pairs)
    for phenomenon in dict.fromkeys(phenomena.tolist()):
        rows = np.flatnonzero(phenomena == phenomenon)
        group = PairGroup(paradigms[rows], units[rows])
        folds = random_folds(group.paradigms, group.units, seed=seed)
        yield _Problem(phenomenon, "pairs", rows, group, folds)
        if _leaves_enough(group):
            yield _Problem(phenomenon, "paradigms", rows, group, group.paradigms)


def _leaves_enough(group: PairGroup) -> bool:
    """Whether, without any one paradigm and what is tied to it, there are pairs to train on."""
    return all(
        len(np.setdiff1d(group.units, group.units[group.paradigms == name])) >= MIN_UNITS
        for name in np.unique(group.paradigms)
    )
