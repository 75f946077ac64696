"""What an ablation study runs on: encoded texts, what is read off each, and independent units."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..attribution.goals import Function
from ..attribution.naming import function_name
from ..attribution.targets import Goal, prepare
from ..corpora import Encoding, Example, Examples, MinimalPair, MinimalPairs, encode
from ..corpora.align import misfit
from ..corpora.text import units_of
from ..errors import CorpusError
from ..models import provenance
from ..models.objectives import IGNORE
from ..probing.representations.minimal_pairs.groups import units_of_pairs
from ..results import Provenance
from .instruments import Instrument, instruments_for, wanted_labels
from .metrics import Metric, Scoring
from .pairs import pair_readings
from .panels import Panel, Reading
from .readers import next_tokens

#: The share of a text's own tokens that is masked to measure the loss of a masked model.
_MASKED = 0.15


@dataclass(frozen=True)
class Setting:
    """The examples the model can read, in the order given, and the texts it reads for them."""

    instruments: tuple[Instrument, ...]
    panels: tuple[Panel, ...]
    """Texts of one kind, with the metrics that are read off them in the same passes."""
    examples: Sequence[Example | MinimalPair]
    units: np.ndarray
    """(example,), index of the document or sentence that is resampled."""
    provenance: Provenance
    encodings: list[Encoding]
    """Of each example, where the target is measured; else empty. So `goals`."""
    goals: list[Goal]

    @property
    def ids(self) -> np.ndarray:
        return np.array([example.id for example in self.examples])

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return tuple(instrument.metric for instrument in self.instruments)


def settle(
    model: Any,
    examples: Examples | MinimalPairs,
    *,
    metrics: Sequence[str | Scoring] = ("target",),
    target: str | Function | None = None,
    foil: str | None = None,
    seed: int = 0,
    options: dict[str, Any] | None = None,
) -> Setting:
    """Encode the examples and decide what is measured on each.

    The loss of a masked model is measured on texts of which 15 % of the tokens, at least one,
    are masked at random; the choice depends on the seed and the text alone. That of a causal
    model is over all tokens but the first.

    Raises:
        CorpusError: a metric that does not fit the model and the data, labels that do not, a
            function that fails on them, or no example that the model can read.
        AttributionError: the target does not suit the model, or no example can be used.
    """
    chosen = instruments_for(model, examples, metrics)
    names = {"metrics": [one.metric.name for one in chosen], **(options or {})}
    if isinstance(examples, MinimalPairs):
        return _settle_pairs(model, examples, chosen, seed, names)
    labels = {
        one.wants: wanted_labels(model, examples, one.wants)
        for one in chosen if one.wants in ("class", "value")
    }  # fmt: skip
    _try_functions(chosen, labels)
    if any(one.wants == "goal" for one in chosen):
        prepared = prepare(model, examples.examples, target=target, foil=foil, seed=seed)
        kept, encodings, goals = prepared.kept, prepared.encodings, prepared.goals
        skipped = prepared.skipped
    else:
        kept, encodings, skipped = _encoded(model, examples)
        goals = []
    wanted: dict[str, list[Any]] = {"goal": goals}
    wanted |= {wants: [given[index] for index in kept] for wants, given in labels.items()}
    own = [examples.examples[index] for index in kept]
    return Setting(
        instruments=chosen,
        panels=tuple(_panels(model, chosen, encodings, own, wanted, seed)),
        examples=own,
        units=np.array(units_of([example.sentence for example in own], examples.unit)),
        provenance=provenance(
            model, examples, seed=seed, skipped=skipped, target=function_name(target),
            foil=foil, **names,
        ),
        encodings=encodings if goals else [],
        goals=goals,
    )  # fmt: skip


def _try_functions(chosen: Sequence[Instrument], labels: dict[str, list[Any]]) -> None:
    """Call functions of users once, as if all were predicted right: they fail before any work."""
    for one in chosen:
        if one.wants in labels and not one.metric.of_sums:
            right = np.array([label for label in labels[one.wants] if label is not None], float)
            one.metric.of(np.stack([right, right], axis=1))


def _encoded(model: Any, data: Examples) -> tuple[list[int], list[Encoding], list[list[str]]]:
    """The examples that fit the model: index and encoding of each, and why others do not."""
    kept, encodings, skipped = [], [], []
    for index, example in enumerate(data.examples):
        encoding = encode(example.sentence, model.tokenizer, example.pair)
        reason = misfit(encoding, model.max_tokens)
        if model.task in ("causal-lm", "masked-lm") and not reason:
            own = ~encoding.added
            if own[1:].sum() < 1 if model.task == "causal-lm" else not own.any():
                reason = "it has no token to predict"
        if reason:
            skipped.append([example.id, reason])
        else:
            kept.append(index)
            encodings.append(encoding)
    if not kept:
        why = f"; the first, {skipped[0][0]!r}: {skipped[0][1]}" if skipped else ""
        raise CorpusError(f"{data.name} holds no text that {model.name} can read{why}.")
    return kept, encodings, skipped


def _panels(
    model: Any,
    chosen: Sequence[Instrument],
    encodings: list[Encoding],
    examples: Sequence[Example],
    wanted: dict[str, list[Any]],
    seed: int,
) -> Iterator[Panel]:
    """Metrics that read the same texts share a panel; a masked model's loss has its own."""
    masked = model.task == "masked-lm"
    plain = [one for one in chosen if not (masked and one.wants == "tokens")]
    if plain:
        if any(one.wants == "tokens" for one in plain):
            wanted["tokens"] = [next_tokens(e.ids, ~e.added) for e in encodings]
        readings = [
            Reading(encoding, index, tuple(wanted[one.wants][index] for one in plain))
            for index, encoding in enumerate(encodings)
        ]
        yield Panel(tuple(plain), readings)
    if apart := [one for one in chosen if one not in plain]:
        # The texts of the target have a mask already.
        whole = [encode(example.sentence, model.tokenizer, example.pair) for example in examples]
        readings = [
            Reading(read, index, (ids,) * len(apart))
            for index, (read, ids) in enumerate(_masked(model, one, seed) for one in whole)
        ]
        yield Panel(tuple(apart), readings)


def _masked(model: Any, encoding: Encoding, seed: int) -> tuple[Encoding, np.ndarray]:
    own = np.flatnonzero(~encoding.added)
    text = zlib.crc32(encoding.sentence.text.encode())
    count = max(1, round(_MASKED * len(own)))
    chosen = np.random.default_rng([seed, text]).choice(own, count, replace=False)
    ids, wanted = encoding.ids.copy(), np.full(len(encoding), IGNORE)
    wanted[chosen] = ids[chosen]
    ids[chosen] = model.tokenizer.mask_token_id
    return replace(encoding, ids=ids), wanted


def _settle_pairs(
    model: Any,
    data: MinimalPairs,
    chosen: tuple[Instrument, ...],
    seed: int,
    options: dict[str, Any],
) -> Setting:
    kept, readings, skipped = pair_readings(model, data.pairs)
    if not kept:
        raise CorpusError(f"{data.name} holds no pair that {model.name} can score.")
    pairs = [data.pairs[index] for index in kept]
    return Setting(
        instruments=chosen,
        panels=(Panel(chosen, readings),),
        examples=pairs,
        units=units_of_pairs(pairs),
        provenance=provenance(model, data, seed=seed, skipped=skipped, **options),
        encodings=[],
        goals=[],
    )


def sums_of_units(values: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values of each unit that has any, and how many it has.

    Args:
        values: (example, …).
        units: (example,).

    Returns:
        (unit, …) and (unit,).
    """
    present, place = np.unique(units, return_inverse=True)
    sums = np.zeros((len(present), *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums, np.bincount(place)
