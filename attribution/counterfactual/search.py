"""Is there other attention with the same output? A search by gradients inside the transformer.

After Jain & Wallace 2019, section 4.2.2, who search for one row over fixed states.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ...capture import Batch, Event, Hook, find_sites, hooked
from ...capture.places import one_of_a_kind, real_rows
from ...capture.restart import recording, restart_blocks, skipping
from ...errors import AttributionError
from ..divergences import jensen_shannon
from ..goals import Goal
from ..running import stream_with
from ..targets import Prepared
from .maps import normal_draw, text_numbers
from .outputs import distance, output_metric, read_output
from .reading import largest_divergence, map_divergence, mean_over_rows, read_attention, read_rows

EPSILONS = (0.005, 0.01, 0.02, 0.05, 0.1)
SCOPES = ("all", "layer")
#: Steps of each start, and starts of each search at most.
STEPS, RESTARTS = 60, 2
#: Of Adam at the first and at the last step; weight of the output's excess over ε.
RATE, LAST_RATE, PENALTY = 1.0, 0.1, 500.0
#: Weight of the least attended key in the first start and in the second, where the observed
#: attention has the rest; standard deviation of the logits of further ones.
FARTHEST, NEAR, FAR = 0.99, 0.05, 3.0


@dataclass(frozen=True)
class Alternatives:
    """The farthest attention found that leaves the output within ε; 0 where none was.

    Divergences in nats, at most ln 2. Arrays are over texts, layers searched and ε.
    """

    metric: str
    """Of the output: `total_variation`, `cosine_distance` or `absolute_change`."""
    layers: tuple[int | None, ...]
    """The layer whose maps are free; None where those of all layers are."""
    epsilons: tuple[float, ...]
    steps: int
    restarts: int
    jsd: np.ndarray
    """(text, layer, ε), mean over the free heads and all rows."""
    read_jsd: np.ndarray
    """(text, layer, ε), of what people read: the goal's rows, averaged over the free heads."""
    moved: np.ndarray
    """(text, layer, ε), how far the output moved."""
    bound: np.ndarray
    """(text, layer), the largest `jsd` there can be."""
    read_bound: np.ndarray
    """(text, layer), an upper bound of `read_jsd`."""


def search_alternatives(
    model: Any,
    prepared: Prepared,
    *,
    scopes: Sequence[str] = ("all",),
    epsilons: Sequence[float] = EPSILONS,
    steps: int = STEPS,
    restarts: int = RESTARTS,
    seed: int = 0,
) -> Alternatives:
    """For each text, attention as far from the observed as can be found with the same output.

    The logits of every row over its visible keys are free, in all layers at once or in one. Adam
    maximises the mean Jensen–Shannon divergence from the observed maps less a penalty on the
    distance of the output beyond ε, which goes through all ε along the way: up from the smallest
    where the start is near the observed attention, else down from the largest. Whatever it passes
    through counts for every ε that it keeps. The first start is the observed attention with nearly
    all weight moved to the least attended key of each row, which is as far as can be; the second
    with a little moved there, since the divergence has as many local maxima as keys; further ones
    are random. A text gets another start only while nothing was found for its smallest ε. The
    observed attention is a candidate, so that a failed search gives 0. What is found is a lower
    bound: a search that fails does not show that there is no other attention.

    Args:
        scopes: `all` layers, each `layer` (a search for each), or both.
        epsilons: how far the output may move (see `outputs.output_metric`).
        steps, restarts: the search budget: steps of each start, and starts at most.

    Raises:
        AttributionError: an unknown scope, an ε that is not positive, or no budget.
        CaptureError: attention that cannot be reached, or is of several kinds.
    """
    if isinstance(scopes, str) or not scopes or set(scopes) - set(SCOPES):
        raise AttributionError(f"scopes is {scopes!r}; give a list of any of {', '.join(SCOPES)}.")
    if not epsilons or min(epsilons) <= 0:
        raise AttributionError(f"epsilons is {epsilons!r}; give positive numbers.")
    if steps < 1 or restarts < 1:
        raise AttributionError(f"steps is {steps} and restarts {restarts}; give at least 1 each.")
    sites = find_sites(model.module)
    one_of_a_kind(sites)
    each = [site.layer for site in sites] if "layer" in scopes else []
    layers: list[int | None] = [None] * ("all" in scopes) + each
    limits = torch.tensor(sorted(epsilons, reverse=True), device=model.device)
    search = _Search(
        model, output_metric(model, prepared.goals), layers, limits, steps, restarts, seed,
        restart_blocks(model.module),
    )  # fmt: skip
    found = stream_with(
        model, prepared.encodings, prepared.goals, search.on, description="adversarial attention"
    )
    kept = np.stack([own[0] for own in found])[..., ::-1]
    bounds = np.stack([own[1] for own in found])
    return Alternatives(
        search.metric, tuple(layers), tuple(sorted(epsilons)), steps, restarts,
        kept[:, 0], kept[:, 1], kept[:, 2], bounds[:, 0], bounds[:, 1],
    )  # fmt: skip


@dataclass
class _Maps:
    """What the hook of one session reads and writes; set anew between its passes."""

    observed: dict[int, Tensor] = field(default_factory=dict)
    visible: dict[int, Tensor] = field(default_factory=dict)
    real: dict[int, Tensor | None] = field(default_factory=dict)
    logits: dict[int, Tensor] = field(default_factory=dict)
    """Of the layers that are free (batch, head, query, key)."""
    used: dict[int, Tensor] = field(default_factory=dict)
    """What the last pass used in these layers."""

    def hook(self) -> Hook:
        return Hook(edit_attention=self._edit)

    def _edit(self, event: Event) -> Tensor:
        layer, attention = event.site.layer, event.attention
        if layer not in self.logits:
            if layer not in self.observed:
                self.observed[layer] = attention.detach()
                self.visible[layer] = event.visible.expand_as(attention)
                self.real[layer] = real_rows(event)
            return attention
        lowest = torch.finfo(torch.float32).min
        new = self.logits[layer].masked_fill(~self.visible[layer], lowest).softmax(-1)
        self.used[layer] = new
        return new.to(attention)


@dataclass(frozen=True)
class _Search:
    """What is done with each batch."""

    model: Any
    metric: str
    layers: list[int | None]
    epsilons: Tensor
    """From the largest to the smallest."""
    steps: int
    restarts: int
    seed: int
    blocks: list[Any]

    def on(self, batch: Batch, goals: list[Goal]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each text ((jsd, read jsd, moved), layer, ε) and ((bound, read bound), layer)."""
        module, maps = self.model.module, _Maps()
        found, bounds = [], []
        with hooked(module, maps.hook()):
            with torch.no_grad(), recording(module, self.blocks) as passes:
                base = read_output(self.model, batch, goals)
            total = len(self.layers) * self.restarts * self.steps
            with tqdm(total=total, desc="search", leave=False, dynamic_ncols=True) as bar:
                for layer in self.layers:
                    with skipping(module, self.blocks, passes, layer or 0):
                        free = list(maps.observed) if layer is None else [layer]
                        best = torch.zeros(3, len(batch), len(self.epsilons), device=base.device)
                        for start in range(self.restarts):
                            without = best[0, :, -1] == 0
                            if not without.any():
                                bar.update((self.restarts - start) * self.steps)
                                break
                            with _started(maps, free, f"{self.seed} {start}", start, batch):
                                limits = self.epsilons.flip(0) if start == 1 else self.epsilons
                                own = self._climb(batch, goals, maps, base, limits, bar)
                            better = without[:, None] & (own[0] > best[0])
                            best = own.where(better, best)
                        found.append(best)
                        bounds.append(_bounds(batch, goals, maps, free))
        kept, most = torch.stack(found, 2).cpu().numpy(), torch.stack(bounds, 2).cpu().numpy()
        return [(kept[:, row], most[:, row]) for row in range(len(batch))]

    def _climb(
        self,
        batch: Batch,
        goals: list[Goal],
        maps: _Maps,
        base: Tensor,
        limits: Tensor,
        bar: Any,
    ) -> Tensor:
        """(jsd, read jsd, moved; text; ε) of the best of one start, through the limits."""
        best = torch.zeros(3, len(batch), len(limits), device=base.device)
        rows = read_rows(batch, goals)
        observed = [maps.observed[layer] for layer in maps.logits]
        seen = read_attention(observed, rows)
        free = list(maps.logits.values())
        optimiser = torch.optim.Adam(free, lr=RATE, amsgrad=True)
        # Far at first, fine at last.
        rates = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, LAST_RATE / RATE, self.steps)
        for step in range(self.steps):
            with torch.enable_grad():
                moved = distance(self.metric, read_output(self.model, batch, goals), base)
                used = [maps.used[layer] for layer in maps.logits]
                jsd = map_divergence(used, observed, batch.mask)
                limit = limits[step * len(limits) // self.steps]
                loss = PENALTY * (moved - limit).clamp(min=0).sum() - jsd.sum()
                # The parameters of the model get no gradient.
                loss.backward(inputs=free)
            with torch.no_grad():
                read = jensen_shannon(read_attention(used, rows), seen)
                values = torch.stack([jsd, read, moved])[..., None].expand_as(best)
                better = (values[2] <= self.epsilons) & (values[0] > best[0])
                best.copy_(values.where(better, best))
            optimiser.step()
            optimiser.zero_grad()
            rates.step()
            bar.update()
        return best


@contextmanager
def _started(maps: _Maps, free: list[int], seed: str, start: int, batch: Batch) -> Iterator[None]:
    """Inside the block the layers are free, from logits that hang on seed and text."""
    texts = text_numbers(batch.encodings).to(batch.mask.device)
    for layer in free:
        attention, visible = maps.observed[layer].float(), maps.visible[layer]
        if start < 2:
            share = NEAR if start else FARTHEST
            least = attention.masked_fill(~visible, torch.inf).argmin(-1, keepdim=True)
            mixed = (1 - share) * attention.nan_to_num()
            logits = mixed.scatter_add(-1, least, torch.full_like(mixed, share)).clamp(1e-6).log()
        else:
            logits = FAR * normal_draw(
                f"{seed} {layer}", attention, visible, maps.real[layer], texts
            )
        maps.logits[layer] = logits.float().requires_grad_()
    try:
        yield
    finally:
        maps.logits.clear()
        maps.used.clear()


def _bounds(batch: Batch, goals: list[Goal], maps: _Maps, free: list[int]) -> Tensor:
    """((bound, read bound), text)."""
    observed = [maps.observed[layer] for layer in free]
    largest = [
        largest_divergence(maps.observed[layer].float(), maps.visible[layer]) for layer in free
    ]
    seen = read_attention(observed, read_rows(batch, goals))
    return torch.stack([
        mean_over_rows(largest, batch.mask), largest_divergence(seen, batch.mask.bool())
    ])  # fmt: skip
