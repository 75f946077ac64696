"""Does the decision flip when the most attended words are hidden? (Serrano & Smith 2019)

There the states are fixed and one row of attention is cut; inside the transformer a word is hidden
as a key from every row of every head of every layer, so that nothing reads it any more.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...capture import Batch, Event, Hook, hooked
from ...errors import AttributionError
from ..divergences import jensen_shannon
from ..goals import Goal
from ..means import mean_of, mean_over_units
from ..recurrent.removal import ORDERS, RANDOM_DRAWS, mean_share
from ..running import stream_with
from ..targets import Prepared
from ..words import Items, items_of
from .outputs import TOTAL_VARIATION, output_metric, read_output
from .reading import read_attention, read_rows

T = TypeVar("T")


def removal_shares(
    model: Any,
    prepared: Prepared,
    units: Sequence[int],
    *,
    unit: str = "word",
    seed: int = 0,
) -> pd.DataFrame:
    """Share of the words that must be hidden, in several orders, before the decision flips.

    The decision is the class or token with the highest probability. The weights of a hidden word
    are set to zero and the rest of each row is normalised again. Orders, by descending weight:
    attention (the goal's rows, averaged over all heads), gradient of the decision's probability
    with respect to attention (summed over layers, heads and rows), attention × gradient (summed
    alike), and random (the mean over five draws).

    Returns:
        `order,mean,ci_low,ci_high,n,never,difference,difference_low,difference_high,descriptive`.
        Texts whose decision never flips, with one word left, are not in the mean over `n` texts:
        `never` is their share (of the random draws, the mean share of those that never flip) among
        the texts of two words or more. `difference` is from the random order, over the texts that
        flip in both.

    Raises:
        AttributionError: the model takes no decision, or `unit` is neither `word` nor `token`.
    """
    items, weights = _decided(model, prepared, unit)
    hidden: list[np.ndarray] = []
    owners: list[int] = []
    for number, (own, (scores, _)) in enumerate(zip(items, weights, strict=True)):
        for order in _orders(own.sums(scores), np.random.default_rng([seed, number])):
            hidden += [np.isin(own.of_token, order[: k + 1]) for k in range(len(own) - 1)]
            owners += [number] * (len(own) - 1)
    decided = iter(_without(
        model, prepared, owners, hidden, lambda output: output.argmax(1).tolist()
    ))  # fmt: skip
    shares = np.full((len(items), len(ORDERS)), np.nan)
    never = np.zeros((len(items), len(ORDERS)))
    long_enough = np.array([len(own) >= 2 for own in items])
    for number, (own, (_, decision)) in enumerate(zip(items, weights, strict=True)):
        found = [
            _share([next(decided) != decision for _ in range(len(own) - 1)], own)
            for _ in range(len(ORDERS) - 1 + RANDOM_DRAWS)
        ]
        single, draws = found[: len(ORDERS) - 1], found[len(ORDERS) - 1 :]
        shares[number] = [*single, mean_share(draws)]
        never[number] = [*np.isnan(single), np.isnan(draws).mean()]
    means = mean_over_units(shares, units, seed)
    against = mean_over_units(shares - shares[:, [ORDERS.index("random")]], units, seed)
    return pd.DataFrame({
        "order": list(ORDERS), "mean": means.mean, "ci_low": means.low, "ci_high": means.high,
        "n": means.n, "never": mean_of(never[long_enough]),
        "difference": against.mean, "difference_low": against.low, "difference_high": against.high,
        "descriptive": means.descriptive,
    })  # fmt: skip


def decision_flips(
    model: Any, prepared: Prepared, *, unit: str = "word", seed: int = 0
) -> pd.DataFrame:
    """One word hidden: the most attended one, and a random other one (Serrano & Smith, section 4).

    Decision, attention and hiding are those of `removal_shares`; `pandas.crosstab` of the two
    columns of flips is the paper's table.

    Returns:
        One row a text of two words or more: `example` (its number among those given),
        `flips_top` and `flips_random` (whether the decision changes), `difference`
        (Jensen–Shannon divergence of the output from the intact one without the most attended
        word, less without the other one; nats).

    Raises:
        AttributionError: see `removal_shares`.
    """
    items, weights = _decided(model, prepared, unit)
    owners = [number for number, own in enumerate(items) if len(own) >= 2]
    hidden = []
    for number in owners:
        own = items[number]
        top = int(own.sums(weights[number][0])[0].argmax())
        others = np.delete(np.arange(len(own)), top)
        other = np.random.default_rng([seed, number]).choice(others)
        hidden.append(np.zeros(len(own.of_token), dtype=bool))
        hidden += [own.of_token == gone for gone in (top, other)]
    outputs = _without(model, prepared, np.repeat(owners, 3).tolist(), hidden, list)
    rows = []
    for place, number in enumerate(owners):
        intact, *cut = outputs[3 * place : 3 * place + 3]
        flips = [bool(own.argmax() != intact.argmax()) for own in cut]
        shift = [float(jensen_shannon(own.double(), intact.double())) for own in cut]
        rows.append((prepared.kept[number], *flips, shift[0] - shift[1]))
    return pd.DataFrame(rows, columns=["example", "flips_top", "flips_random", "difference"])


def _decided(
    model: Any, prepared: Prepared, unit: str
) -> tuple[list[Items], list[tuple[np.ndarray, int]]]:
    """The items of each text, and what `_weights` says of it.

    Raises:
        AttributionError: the model takes no decision, or `unit` is neither `word` nor `token`.
    """
    if output_metric(model, prepared.goals) != TOTAL_VARIATION:
        raise AttributionError(
            f"The targets of {model.name} are no classes or tokens ({prepared.goals[0].kind}), so "
            "there is no decision that could flip; load a classifier or a language model."
        )
    encodings, goals = prepared.encodings, prepared.goals
    items = [items_of(e, goal, unit) for e, goal in zip(encodings, goals, strict=True)]
    weights = stream_with(
        model, encodings, goals, lambda batch, own: _weights(model, batch, own),
        description="gradients of attention",
    )  # fmt: skip
    return items, weights


def hide_keys(hidden: Tensor) -> Hook:
    """A hook that takes keys away from every row of every head; the rest sums to 1 again.

    Where nothing that is left had weight, it is shared evenly; a row that sees only hidden keys
    stays as it is.

    Args:
        hidden: (batch, key), True for the keys that go.
    """

    def edit(event: Event) -> Tensor:
        left = event.visible & ~hidden[:, None, None]
        weights = event.attention * left
        total = weights.sum(-1, keepdim=True)
        count = left.sum(-1, keepdim=True)
        even = left / count.clamp(min=1)
        kept = torch.where(total > 0, weights / total.clamp(min=1e-30), even.to(weights))
        return kept.where(count > 0, event.attention)

    return Hook(edit_attention=edit)


def _weights(model: Any, batch: Batch, goals: list[Goal]) -> list[tuple[np.ndarray, int]]:
    """Of each text (order, token) by which the first three orders go, and the decision."""
    maps: list[Tensor] = []

    def keep(event: Event) -> Tensor:
        # Later layers' attention follows on that of earlier ones, so the graph goes on.
        own = event.attention
        maps.append(own if own.requires_grad else own.requires_grad_())
        return maps[-1]

    with torch.enable_grad(), hooked(model.module, Hook(edit_attention=keep)):
        output = read_output(model, batch, goals)
        slopes = torch.autograd.grad(output.amax(1).sum(), maps, materialize_grads=True,
                                     allow_unused=True)  # fmt: skip
    maps = [own.detach() for own in maps]
    real = batch.mask.bool()[:, None, :, None]
    gradient, product = (
        torch.stack([m.where(real, 0.0).sum((1, 2)) for m in own]).sum(0)
        for own in (slopes, [a * g for a, g in zip(maps, slopes, strict=True)])
    )
    read = read_attention(maps, read_rows(batch, goals))
    scores = torch.stack([read, gradient, product], 1).double().cpu().numpy()
    mask = batch.mask.bool().cpu().numpy()
    decisions = output.argmax(1).tolist()
    return [
        (own[:, keep], decision)
        for own, keep, decision in zip(scores, mask, decisions, strict=True)
    ]


def _orders(scores: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Items from the first to go to the last: one order a row of (order, item), then random."""
    return [
        *np.argsort(-scores, axis=1, kind="stable"),
        *(generator.permutation(scores.shape[1]) for _ in range(RANDOM_DRAWS)),
    ]


def _without(
    model: Any,
    prepared: Prepared,
    owners: Sequence[int],
    hidden: Sequence[np.ndarray],
    read: Callable[[Tensor], list[T]],
) -> list[T]:
    """What is read from the output on each text named, with these tokens (token,) hidden."""

    def run(batch: Batch, own: list[tuple[Goal, np.ndarray]]) -> list[T]:
        gone = torch.zeros(batch.mask.shape, dtype=torch.bool)
        gone[batch.mask.bool().cpu()] = torch.from_numpy(np.concatenate([one for _, one in own]))
        with torch.no_grad(), hooked(model.module, hide_keys(gone.to(batch.mask.device))):
            output = read_output(model, batch, [goal for goal, _ in own])
        return read(output.cpu())

    partners = [(prepared.goals[n], gone) for n, gone in zip(owners, hidden, strict=True)]
    encodings = [prepared.encodings[number] for number in owners]
    return stream_with(model, encodings, partners, run, description="hiding words")


def _share(flips: Sequence[bool], items: Items) -> float:
    """The share of the items hidden as the decision first flips; NaN where it never does."""
    return (flips.index(True) + 1) / len(items) if True in flips else np.nan
