"""The statistics of a whole sweep, on states and labels that are drawn anew many times."""

import warnings

import numpy as np
import pytest
from scipy.stats import binom

from bertology.corpora.text import words_to_sentence
from bertology.probing.representations.states import States
from bertology.probing.representations.sweep.options import ProbeOptions
from bertology.probing.representations.sweep.outcomes import Outcome
from bertology.probing.representations.sweep.pieces import Pieces
from bertology.probing.representations.sweep.problems import pose
from bertology.probing.representations.sweep.readings import Reading
from bertology.probing.representations.sweep.run import sweep
from bertology.probing.representations.sweep.sources import Source
from bertology.probing.representations.sweep.sums import Units
from bertology.probing.representations.sweep.table import probe_table
from bertology.probing.representations.tasks import word_task

WORDS = 4


def drawn(rng, sentences: int, signal: float) -> States:
    """Three layers: noise, noise, and noise with the label at a strength. Two even labels.

    Types tell nothing of labels, so that whatever reads neither is right half of the time.
    """
    labels = rng.integers(0, 2, sentences * WORDS)
    layers = rng.standard_normal((3, len(labels), 3)).astype(np.float32)
    layers[2, :, 0] += signal * (2 * labels - 1)
    forms = [f"w{n}" for n in rng.integers(0, 30, len(labels))]
    tags = [str(label) for label in labels]
    return States(
        sentences=tuple(
            words_to_sentence(forms[k : k + WORDS], id=str(k), upos=tuple(tags[k : k + WORDS]))
            for k in range(0, len(labels), WORDS)
        ),
        layers=(0, 1, 2), read=lambda layer: layers[layer],
        word_tokens=np.ones(len(labels), np.int64), units=np.arange(sentences), unit="sentence",
        skipped=(),
    )  # fmt: skip


def once(seed: int, signal: float, trained: int = 25):
    """The tables of one sweep: one task with a model and a random model."""
    rng = np.random.default_rng(seed)
    train, evaluate = drawn(rng, trained, signal), drawn(rng, 25, signal)
    other = drawn(rng, trained, 0.0), drawn(rng, 25, 0.0)
    task = word_task("tag", lambda s: s.upos, "tags")
    problem = pose(task, train, evaluate, control_draws=3, seed=seed)
    sources = (
        Source("model", 0, lambda: (train, evaluate)),
        Source("random_layers", 0, lambda: other),
    )
    reading = Reading(train, evaluate, (problem,), sources)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sweep([reading], ProbeOptions(training_samples=0, seed=seed), Pieces())


def families(found) -> list[bool]:
    """Whether each family of the tests (a probe against one thing) has an adjusted p below 0.05."""
    return [
        bool((group["p_adjusted"] < 0.05).any()) for _, group in found["tests"].groupby("against")
    ]


def null_is_rarely_flagged(runs: int) -> None:
    by_family = []
    best = 0
    for seed in range(runs):
        found = once(seed, 0.0)
        by_family.append(families(found))
        best += bool((found["best"]["p_adjusted"] < 0.05).any())
    # What a rate of 5 % exceeds in one of a thousand cases.
    most = binom.ppf(0.999, runs, 0.05)
    assert np.array(by_family).sum(axis=0).max() <= most
    assert best <= most


def test_the_pipeline_flags_little_where_there_is_nothing():
    null_is_rarely_flagged(20)


def test_the_pipeline_flags_what_is_there():
    # Enough is held out that no layer of noise is chosen by luck.
    found = [once(seed, 1.5, trained=100) for seed in range(5)]
    assert all(all(families(each)) for each in found)
    assert all((each["best"]["p_adjusted"] < 0.05).all() for each in found)
    assert all((each["best"]["layer"] == 2).all() for each in found)


def outcome(name: str, own: np.ndarray, control: np.ndarray) -> Outcome:
    layer = None if name == "lookup" else 1
    return Outcome("tag", "" if layer is None else "model", name, layer, own, control)


def test_intervals_cover():
    """New sentences, some of them easier than others for the probe, the lookup and the controls."""
    rng = np.random.default_rng(0)
    states = drawn(rng, 40, 0.0)
    task = word_task("tag", lambda s: s.upos, "tags")
    problem = pose(task, states, states, control_draws=3, seed=0)
    truth = {"": 0.8, "selectivity_": 0.2, "over_lookup_": 0.1}
    inside = dict.fromkeys(truth, 0)
    runs = 600
    for seed in range(runs):
        easy = np.repeat(rng.normal(0, 0.1, 40), WORDS)

        def right(share: float, shape: tuple[int, ...] = (), easy: np.ndarray = easy) -> np.ndarray:
            return (rng.random((*shape, len(easy))) < share + easy).astype(float)

        outcomes = [
            outcome("linear", right(0.8), right(0.6, (3,))),
            outcome("lookup", right(0.7), right(0.5, (3,))),
        ]
        units = Units(problem.evaluate.units, seed)
        row = probe_table(problem, outcomes, units).iloc[0]
        for name, value in truth.items():
            inside[name] += row[f"{name}ci_low"] <= value <= row[f"{name}ci_high"]
    # A percentile interval over 40 units is a little narrow; what else is beyond is chance.
    low, high = binom.ppf([0.001, 0.999], runs, [0.93, 0.97])
    assert all(low <= count <= high for count in inside.values()), inside


@pytest.mark.slow
def test_the_pipeline_flags_little_over_many_runs():
    null_is_rarely_flagged(150)
