"""Parameter randomisation: whether a method's scores depend on what the model has learned."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from ...capture import Batch
from ...capture.blocks import stack_blocks, stacks_of
from ...errors import AttributionError
from ...models import LoadedModel
from ...models.randomised import randomised
from ...stats import spearman
from ..goals import Goal, mean_pooled, run
from ..means import mean_over_units
from ..methods.gradients import gradient_norm, input_x_gradient
from ..running import stream_with
from ..targets import Prepared
from ..words import Items, items_of
from .rankings import MIN_ITEMS
from .sensitivity import Method, with_values

MODES = ("cascade", "independent")
METRICS = ("spearman_absolute", "spearman_signed")
#: Gradients alone beside their product with the input, which keeps the input's own pattern.
METHODS: dict[str, Method] = {
    "gradient_norm": gradient_norm,
    "input_x_gradient": input_x_gradient,
}
#: A mean similarity above it means that a method does not depend on the model.
MARGIN = 0.5
PASSES, FAILS, INCONCLUSIVE = "passes", "fails", "inconclusive"


def parameter_randomisation(
    model: LoadedModel,
    prepared: Prepared,
    units: Sequence[int],
    *,
    seed: int,
    methods: Mapping[str, Method] = METHODS,
    modes: Sequence[str] = MODES,
    unit: str = "word",
    trials: int = 1,
    margin: float = MARGIN,
) -> pd.DataFrame:
    """Similarity of scores before and after weights are drawn anew (Adebayo et al. 2018).

    The model is randomised part by part: what comes after the last block, the blocks from the
    last to the first, the embeddings. In a `cascade` each stage adds a part to those before, so
    that nothing is left in the last; the `independent` stages randomise one part alone. The class
    or token explained stays that of the original model; an embedding is compared with its own
    intact one in each model, and a pair's with the pair's in the original.

    `outcome`, of the last stage of a cascade only: a method `fails` whose similarity lies above
    the margin with its whole interval, `passes` where it lies below, and else, or with under 30
    sentences or 10 units, it is `inconclusive`. A method that ignores the model has 1.

    Args:
        methods: by name, (model, encodings, goals, *, seed) to one score per token.
        unit: what is ranked, `word` or `token`.
        trials: draws of the weights, over which similarities are averaged in each sentence.
        margin: the largest mean similarity that a method may keep.

    Returns:
        `score,metric,operator,mean,ci_low,ci_high,n,descriptive,stage,part,outcome`: the metric
        is Spearman's ρ of absolute or of signed scores, the operator the mode, `stage` counts
        from 0 at the top. Sentences under 6 items, and constant scores, are left out.

    Raises:
        AttributionError: an unknown mode or unit, no method, no trial.
        ModelError: the model does not say how its weights are initialised.
    """
    _check(methods, modes, trials)
    parts = parts_of(model)
    pairs = zip(prepared.encodings, prepared.goals, strict=True)
    items = [items_of(encoding, goal, unit) for encoding, goal in pairs]
    own = {name: _rows(model, prepared, prepared.goals, method, items, seed)
           for name, method in methods.items()}  # fmt: skip
    shape = trials, len(modes), len(parts), len(methods), len(METRICS), len(items)
    found = np.full(shape, np.nan)
    for trial in range(trials):
        drawn = randomised(model, keep_embeddings=False, seed=seed + trial)
        for m, mode in enumerate(modes):
            for stage, changed in enumerate(_stages(model, drawn, list(parts.values()), mode)):
                goals = _goals(changed, prepared)
                for k, (name, method) in enumerate(methods.items()):
                    after = _rows(changed, prepared, goals, method, items, seed)
                    found[trial, m, stage, k] = _similarities(own[name], after)
    return _table(found.mean(0), list(methods), modes, list(parts), units, seed, margin)


def parts_of(model: LoadedModel) -> dict[str, list[str]]:
    """The parts of a model from the top down, with the names of their parameters.

    `output` is what is registered after the blocks, `embeddings` what is before; what is tied to
    the embeddings is part of them. Blocks that share their weights are one part.
    """
    blocks: dict[str, list[str]] = {}
    for stack in stacks_of(model.module):
        for layer, module in enumerate(stack_blocks(model.module, stack).names):
            blocks.setdefault(module, []).append(f"{stack} layer {layer}")
    parts: dict[str, list[str]] = {"embeddings": []}
    parts |= {layers[0]: [] for layers in blocks.values()}
    parts["output"] = []
    seen = False
    for name, _ in model.module.named_parameters():
        inside = [own[0] for module, own in blocks.items() if name.startswith(f"{module}.")]
        seen = seen or bool(inside)
        parts[inside[0] if inside else "output" if seen else "embeddings"].append(name)
    return {part: names for part, names in reversed(parts.items()) if names}


def _stages(
    model: LoadedModel, drawn: LoadedModel, parts: Sequence[Sequence[str]], mode: str
) -> Iterator[LoadedModel]:
    """The model with one part after the other drawn anew."""
    module = deepcopy(model.module)
    changed = replace(model, module=module)
    tensors = dict(module.named_parameters())
    new, old = dict(drawn.module.named_parameters()), dict(model.module.named_parameters())
    for names in parts:
        _put(tensors, new, names)
        yield changed
        if mode == "independent":
            _put(tensors, old, names)


def _put(tensors: Mapping[str, Any], source: Mapping[str, Any], names: Sequence[str]) -> None:
    with torch.no_grad():
        for name in names:
            tensors[name].copy_(source[name])


def _goals(model: LoadedModel, prepared: Prepared) -> list[Goal]:
    """The goals as the model now is."""

    def run_batch(batch: Batch, goals: list[Goal]) -> list[torch.Tensor]:
        with torch.no_grad():
            return list(mean_pooled(run(model, batch), batch.mask))

    goals = prepared.goals
    if goals[0].kind == "embedding":
        own = stream_with(model, prepared.encodings, goals, run_batch, description="embeddings")
        goals = [replace(goal, reference=one) for goal, one in zip(goals, own, strict=True)]
    return with_values(model, replace(prepared, goals=goals))


def _rows(
    model: LoadedModel,
    prepared: Prepared,
    goals: Sequence[Goal],
    method: Method,
    items: Sequence[Items],
    seed: int,
) -> list[np.ndarray]:
    scores = method(model, prepared.encodings, goals, seed=seed)
    return [own.sums(score) for own, score in zip(items, scores, strict=True)]


def _similarities(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> np.ndarray:
    """(metric, sentence)."""
    found = np.full((len(METRICS), len(before)), np.nan)
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        if len(one) >= MIN_ITEMS:
            pair = one[None], other[None]
            found[0, number] = spearman(*map(np.abs, pair)).item()
            found[1, number] = spearman(*pair).item()
    return found


def _table(
    found: np.ndarray,
    methods: Sequence[str],
    modes: Sequence[str],
    parts: Sequence[str],
    units: Sequence[int],
    seed: int,
    margin: float,
) -> pd.DataFrame:
    """Rows of similarities (mode, stage, method, metric, sentence)."""
    means = mean_over_units(np.moveaxis(found, -1, 0), units, seed)
    rows = []
    for k, name in enumerate(methods):
        for c, metric in enumerate(METRICS):
            for m, mode in enumerate(modes):
                for stage, part in enumerate(parts):
                    at = m, stage, k, c
                    low, high = float(means.low[at]), float(means.high[at])
                    descriptive = bool(means.descriptive[at])
                    last = mode == "cascade" and stage == len(parts) - 1
                    outcome = _outcome(low, high, descriptive, margin) if last else ""
                    rows.append((name, metric, mode, float(means.mean[at]), low, high,
                                 int(means.n[at]), descriptive, stage, part, outcome))  # fmt: skip
    columns = "score,metric,operator,mean,ci_low,ci_high,n,descriptive,stage,part,outcome"
    return pd.DataFrame(rows, columns=columns.split(","))


def _outcome(low: float, high: float, descriptive: bool, margin: float) -> str:
    if descriptive:
        return INCONCLUSIVE
    return FAILS if low > margin else PASSES if high < margin else INCONCLUSIVE


def _check(methods: Mapping[str, Callable[..., Any]], modes: Sequence[str], trials: int) -> None:
    for mode in modes:
        if mode not in MODES:
            raise AttributionError(f"mode is {mode!r}; give some of {', '.join(MODES)}.")
    if not methods or not modes or trials < 1:
        raise AttributionError(
            f"There are {len(methods)} methods, {len(modes)} modes and {trials} trials; give at "
            "least one of each."
        )
