"""The parsers of a model: what its attention says of dependency trees, next to what else does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ....capture import Batch, find_sites, stream
from ....corpora import Corpus, Encoding, encode_all
from ....corpora.text import units_of
from ....errors import BertologyError, CorpusError
from ....models import LoadedModel, provenance, randomised
from ....results import Result
from ...representations.splits import check_apart, count_shared_texts
from ..relations import DIRECTIONS
from .baselines import best_offset, correct_words, offset_heads
from .features import BUDGET, LEFT_OUT, ParserInput, read_inputs, sample_sentences
from .linear import STRENGTHS, AttentionParser
from .networks import RATE, WIDTH, NetworkParser
from .scoring import Outcome, Parser, Scorer, by_unit
from .training import HELD_OUT
from .trees import best_candidates, best_tree

ATTENTION, ATTENTION_WORDS, DISTANCE_WORDS = (
    "attention", "attention + words", "distance + words",
)  # fmt: skip
RIGHT_BRANCHING, OFFSET = "right-branching", "best offset"
RANDOM = "random blocks: "
#: Name and decoding (whether a tree) of each parser; a network has one of each start.
Systems = list[tuple[tuple[str, bool], Parser]]


@dataclass(frozen=True, repr=False)
class Parsers(Result):
    """Unlabelled attachment of parsers that read attention, and of baselines.

    `table` has a row a `system` and decoding (`tree`: the best tree with one root; else the best
    head of each word by itself): `uas` is the share of the `n` words that have the right head,
    ROOT included and punctuation left out; `difference` is from right-branching, paired;
    `seeds` counts the random models, or the starts of a network, that are averaged, and `sd` is the
    standard deviation of UAS over them. Intervals are 95 %, over the units named in the
    provenance; they say nothing about other training data. p is two-sided, from sign-flips over
    units, adjusted by Holm over the rows. `descriptive` rows have too little data.
    """

    comparisons: pd.DataFrame
    """Attention `against` distances with words, and against a model with random blocks."""
    heads: pd.DataFrame
    """The attention-only parser: `weight` on attention, and `scaled` by the attention's standard
    deviation, which makes heads comparable."""


def parse_with_attention(
    model: LoadedModel,
    train: Corpus,
    evaluate: Corpus,
    *,
    seed: int = 0,
    sentences: int = 2000,
    random_models: int = 3,
    starts: int = 3,
) -> Parsers:
    """Train parsers on the attention of all heads and score them on other text.

    Clark et al. 2019, section 5. Word vectors are the model's own input embeddings. The maps of
    the training sentences are held in memory, so these are a sample of at most `sentences`, fewer
    where their maps take more than `BUDGET` bytes.

    Args:
        random_models: copies with random blocks above the model's own embeddings, averaged.
        starts: how often each network is trained, from weights of its own; averaged. The
            attention-only parser is convex: it has one solution.

    Raises:
        BertologyError: no sentence or random model asked for.
        CorpusError: a part lacks trees, the parts share sentences, or too little fits.
        CaptureError: the attention cannot be captured.
        ModelError: the model has no input embeddings, or cannot be made random.
    """
    _check(train, evaluate, sentences, random_models, starts)
    names = [(site.layer, head) for site in find_sites(model.reader) for head in range(site.heads)]
    sample = sample_sentences(train, sentences, len(names), seed=seed)
    scored = sample_sentences(evaluate, len(evaluate), len(names), seed=seed, budget=np.inf)
    learned, train_skipped = _encode(sample, model)
    encodings, skipped = _encode(scored, model)
    units = np.array(units_of([e.sentence for e in encodings], scored.unit))

    inputs = _training_inputs(model, learned)
    offset = best_offset(inputs)
    attention = AttentionParser(seed=seed).fit(inputs)
    networks = {
        name: [
            NetworkParser(name, seed=seed + start, device=model.device.type).fit(inputs)
            for start in range(starts)
        ]
        for name in (DISTANCE_WORDS, ATTENTION_WORDS)
    }
    systems = [
        ((RIGHT_BRANCHING, False), _at_offset(1)),
        ((OFFSET, False), _at_offset(offset)),
        *_of_starts(DISTANCE_WORDS, networks),
        *_decoded(ATTENTION, attention),
        *_of_starts(ATTENTION_WORDS, networks),
    ]
    trained = len(inputs), sum(int((s.gold != LEFT_OUT).sum()) for s in inputs)
    del inputs
    counts, outcomes = _run(model, encodings, systems, units)
    outcomes = _averaged(outcomes)
    by_copy = [
        _of_random_model(model, learned, encodings, units, seed + draw)
        for draw in range(random_models)
    ]
    outcomes += _averaged([outcome for outcomes in by_copy for outcome in outcomes])
    scorer = Scorer(counts, seed)
    return Parsers(
        table=scorer.table(outcomes, outcomes[0]),
        comparisons=scorer.comparisons(_pairs(outcomes)),
        heads=_head_table(attention, names),
        provenance=provenance(
            model, scored, seed=seed, skipped=skipped,
            train=train.name, train_sha256=train.sha256, train_skipped=train_skipped,
            train_sentences=trained[0], train_words=trained[1],
            train_sentences_with_tree=sum(bool(s.heads) for s in train.sentences),
            sentences=sentences, budget_bytes=BUDGET, random_models=random_models,
            evaluated_texts_in_train=count_shared_texts(sample, scored),
            best_offset=offset, strengths=list(STRENGTHS), strength=attention.strength_,
            held_out=HELD_OUT, rate=RATE, word_vector_width=WIDTH,
            epochs={name: [each.epochs_ for each in alike] for name, alike in networks.items()},
            starts=starts,
        ),
    )  # fmt: skip


def _check(
    train: Corpus, evaluate: Corpus, sentences: int, random_models: int, starts: int
) -> None:
    given = {"sentences": sentences, "random_models": random_models, "starts": starts}
    for name, value in given.items():
        if value < 1:
            raise BertologyError(f"{name} is {value}; give at least 1.")
    for corpus in (train, evaluate):
        if not any(sentence.heads for sentence in corpus.sentences):
            raise CorpusError(
                f"No sentence of {corpus.name} has a dependency tree; give CoNLL-U with heads."
            )
    check_apart(train, evaluate)


def _encode(corpus: Corpus, model: LoadedModel) -> tuple[list[Encoding], list[list[str]]]:
    encodings, skipped = encode_all(corpus.sentences, model.tokenizer, model.max_tokens)
    if not encodings:
        reason = f": {skipped[0][1]}" if skipped else ", or fits the budget for maps"
        raise CorpusError(
            f"No sentence of {corpus.name} fits {model.name}{reason}; give shorter ones."
        )
    return encodings, skipped


def _training_inputs(model: LoadedModel, encodings: Sequence[Encoding]) -> list[ParserInput]:
    def run(batch: Batch) -> list[ParserInput]:
        return [sentence.compact() for sentence in read_inputs(model, batch)]

    return stream(model, encodings, run, description="maps to learn from")


def _run(
    model: LoadedModel,
    encodings: Sequence[Encoding],
    systems: Systems,
    units: np.ndarray,
) -> tuple[np.ndarray, list[Outcome]]:
    """Words that count (unit,), and how each system did; no map outlives its batch."""

    def run(batch: Batch) -> list[np.ndarray]:
        return [_counts(sentence, systems) for sentence in read_inputs(model, batch)]

    counts = by_unit(np.array(stream(model, encodings, run, description="parsing")), units)
    outcomes = [Outcome(*name, counts[:, row]) for row, (name, _) in enumerate(systems, start=1)]
    return counts[:, 0], outcomes


def _averaged(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes of one system, of several starts or models, as one; the others as they are."""
    alike: dict[tuple[str, bool], list[Outcome]] = {}
    for outcome in outcomes:
        alike.setdefault((outcome.system, outcome.tree), []).append(outcome)
    return [Outcome.mean(several) if len(several) > 1 else several[0] for several in alike.values()]


def _counts(sentence: ParserInput, systems: Systems) -> np.ndarray:
    """Words that count, then how many each system gets right."""
    hits = [correct_words(sentence, parse(sentence)) for _, parse in systems]
    return np.array([len(hits[0]), *(one.sum() for one in hits)])


def _decoded(name: str, parser: AttentionParser | NetworkParser) -> Systems:
    return [
        ((name, False), lambda sentence: best_candidates(parser.scores(sentence))),
        ((name, True), lambda sentence: best_tree(parser.scores(sentence))),
    ]


def _of_starts(name: str, networks: dict[str, list[NetworkParser]]) -> Systems:
    return [system for network in networks[name] for system in _decoded(name, network)]


def _at_offset(offset: int) -> Parser:
    return lambda sentence: offset_heads(len(sentence), offset)


def _of_random_model(
    model: LoadedModel,
    learned: Sequence[Encoding],
    encodings: Sequence[Encoding],
    units: np.ndarray,
    seed: int,
) -> list[Outcome]:
    copy = randomised(model, keep_embeddings=True, seed=seed)
    inputs = _training_inputs(copy, learned)
    systems: Systems = []
    for name, parser in (
        (ATTENTION, AttentionParser(seed=seed)),
        (ATTENTION_WORDS, NetworkParser(ATTENTION_WORDS, seed=seed, device=model.device.type)),
    ):
        systems += _decoded(RANDOM + name, parser.fit(inputs))
    return _run(copy, encodings, systems, units)[1]


def _pairs(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    known = {(outcome.system, outcome.tree): outcome for outcome in outcomes}
    return [
        (known[name, tree], known[against, tree])
        for name in (ATTENTION, ATTENTION_WORDS)
        for against in (DISTANCE_WORDS, RANDOM + name)
        for tree in (False, True)
    ]


def _head_table(parser: AttentionParser, names: Sequence[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"layer": layer, "head": head, "direction": direction, "weight": weight,
             "scaled": weight * deviation}
            for direction, weights, deviations in zip(
                DIRECTIONS, parser.weights_, parser.deviations_, strict=True
            )
            for (layer, head), weight, deviation in zip(names, weights, deviations, strict=True)
        ]
    )  # fmt: skip
