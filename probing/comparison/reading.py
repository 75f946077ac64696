"""What two models read: the same texts, lined up by token or by word."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...corpora import Corpus, Encoding, Sentence, encode_all
from ...corpora.text import units_of
from ...errors import BertologyError, CorpusError, ModelError
from ...models import LoadedModel

#: Maps between tokens need one tokenizer; maps between words suit any two.
MAPS = ("token", "word")
#: Fewer texts leave nothing to match heads on and nothing to score them on.
MIN_TEXTS = 4
#: Sentences tokenized at a time; of most of them only numbers are kept.
_SURVEYED = 256


@dataclass(frozen=True)
class Aligned:
    """One text as two tokenizers have it."""

    first: Encoding
    second: Encoding
    maps: str

    @property
    def rows(self) -> np.ndarray:
        """The rows of a map that both models have: every token, or the words that have tokens."""
        if self.maps == "token":
            return np.arange(len(self.first))
        return np.flatnonzero((self.first.word_tokens > 0) & (self.second.word_tokens > 0))

    @property
    def size(self) -> int:
        """How many tokens or words the text has."""
        return len(self.first if self.maps == "token" else self.first.sentence)

    @property
    def states(self) -> np.ndarray:
        """The tokens that belong to words, or the words: specials have no hidden state here."""
        return np.flatnonzero(self.first.words >= 0) if self.maps == "token" else self.rows


@dataclass(frozen=True)
class Reading:
    """The texts that fit both models; arrays have shape (text,)."""

    corpus: Corpus
    """Copies of the sentences, so that each is known by its identity."""
    skipped: list[list[str]]
    units: np.ndarray
    sizes: np.ndarray
    """Tokens or words of each text."""
    partners: np.ndarray
    """The next other text of the same size; -1 where there is none."""
    states: np.ndarray
    """How many tokens or words of each text have hidden states to compare."""
    maps: str

    @cached_property
    def place(self) -> dict[int, int]:
        """The number of a text, by the identity of its sentence."""
        return {id(sentence): number for number, sentence in enumerate(self.corpus.sentences)}

    def partner(self, sentence: Sentence) -> Sentence | None:
        """The text whose maps the null compares with those of `sentence`."""
        number = self.partners[self.place[id(sentence)]]
        return None if number < 0 else self.corpus.sentences[number]


def read_together(models: Sequence[LoadedModel], corpus: Corpus, maps: str) -> Reading:
    """Find the texts that every model reads whole, and line them up.

    Raises:
        BertologyError: maps of another name.
        ModelError: maps between tokens, and a text that the tokenizers read differently.
        CorpusError: too few texts fit.
    """
    if maps not in MAPS:
        raise BertologyError(f"maps is {maps!r}; it must be one of {', '.join(MAPS)}.")
    kept: list[Sentence] = []
    skipped: list[list[str]] = []
    sizes, states, whole = [], [], []
    for encodings, misfits in _encoded(models, corpus):
        skipped += misfits
        for row in encodings:
            pairs = [Aligned(row[0], other, maps) for other in row[1:]]
            if maps == "token":
                _check_tokens(models, row)
            if any(len(pair.states) == 0 for pair in pairs):
                skipped.append([row[0].sentence.id, "no word has tokens in every model"])
                continue
            kept.append(replace(row[0].sentence))
            sizes.append(pairs[0].size)
            states.append(min(len(pair.states) for pair in pairs))
            whole.append(all(len(pair.rows) == pair.size for pair in pairs))
    if len(kept) < MIN_TEXTS:
        reason = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise CorpusError(
            f"{len(kept)} texts of {corpus.name} fit {_names(models)}{reason}; at least "
            f"{MIN_TEXTS} are needed: heads are matched on one half and scored on the other."
        )
    units = np.array(units_of(kept, corpus.unit))
    if units.max() == 0:
        raise CorpusError(
            f"All texts of {corpus.name} that fit {_names(models)} are of one document; give "
            "some of others too, or leave out the names of the documents."
        )
    return Reading(
        Corpus(corpus.name, tuple(kept), corpus.sha256), skipped, units, np.array(sizes),
        partners_of(kept, sizes, whole), np.array(states), maps,
    )  # fmt: skip


def partners_of(
    sentences: Sequence[Sentence], sizes: Sequence[int], whole: Sequence[bool]
) -> np.ndarray:
    """The next text of the same size, round in a circle, that reads differently: (text,).

    -1 where there is none, or a word lacks tokens, so that rows could not be lined up.
    """
    groups: dict[int, list[int]] = {}
    for number, size in enumerate(sizes):
        if whole[number]:
            groups.setdefault(size, []).append(number)
    partners = np.full(len(sentences), -1)
    for group in groups.values():
        for place, number in enumerate(group):
            following = (group[(place + step) % len(group)] for step in range(1, len(group)))
            own = _text(sentences[number])
            partners[number] = next((o for o in following if _text(sentences[o]) != own), -1)
    return partners


def sample_states(reading: Reading, count: int, *, seed: int) -> list[np.ndarray]:
    """Draw tokens or words evenly from all units: one of each, then a second one, and so on.

    Returns:
        Per text, the drawn ones, as sorted places among those that have hidden states.
    """
    text = np.repeat(np.arange(len(reading.states)), reading.states)
    starts = reading.states.cumsum() - reading.states
    within = np.arange(len(text)) - starts[text]
    order = np.random.default_rng(seed).permutation(len(text))
    rank = rank_within(reading.units[text][order])
    drawn = np.sort(order[np.argsort(rank, kind="stable")[:count]])
    edges = np.searchsorted(text[drawn], np.arange(1, len(reading.states)))
    return np.split(within[drawn], edges)


def rank_within(groups: np.ndarray) -> np.ndarray:
    """How many of its group come before each: (item,)."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    rank = np.empty(len(groups), dtype=int)
    rank[order] = np.arange(len(groups)) - np.repeat(sizes.cumsum() - sizes, sizes)
    return rank


def _encoded(
    models: Sequence[LoadedModel], corpus: Corpus
) -> Iterator[tuple[list[tuple[Encoding, ...]], list[list[str]]]]:
    """Some texts at a time as each tokenizer has them, and those that do not fit every model."""
    for start in range(0, len(corpus), _SURVEYED):
        part = corpus.sentences[start : start + _SURVEYED]
        fitting: list[dict[int, Encoding]] = []
        misfits: dict[int, list[str]] = {}
        for model in models:
            encodings, skipped = encode_all(part, model.tokenizer, model.max_tokens)
            found = {id(encoding.sentence): encoding for encoding in encodings}
            left_out = [sentence for sentence in part if id(sentence) not in found]
            for sentence, (name, reason) in zip(left_out, skipped, strict=True):
                misfits.setdefault(id(sentence), [name, f"{reason} ({model.name})"])
            fitting.append(found)
        rows = [
            tuple(found[id(sentence)] for found in fitting)
            for sentence in part
            if id(sentence) not in misfits
        ]
        yield rows, list(misfits.values())


def _check_tokens(models: Sequence[LoadedModel], row: Sequence[Encoding]) -> None:
    for model, other in zip(models[1:], row[1:], strict=True):
        if row[0].tokens != other.tokens or not np.array_equal(row[0].ids, other.ids):
            raise ModelError(
                f"{models[0].name} and {model.name} have different tokenizers: the text "
                f"{other.sentence.id!r} is {_shown(row[0])} for one and {_shown(other)} for the "
                "other. Compare maps between words: maps='word'."
            )


def _shown(encoding: Encoding) -> str:
    pairs = zip(encoding.tokens, encoding.ids.tolist(), strict=True)
    return " ".join(f"{token}={number}" for token, number in list(pairs)[:6]) + " …"


def _text(sentence: Sentence) -> str:
    pair = "" if sentence.pair is None else sentence.pair.text
    return f"{sentence.text}\n{pair}"


def _names(models: Sequence[LoadedModel]) -> str:
    return " and ".join(dict.fromkeys(model.name for model in models))
