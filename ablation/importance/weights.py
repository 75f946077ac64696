"""How large the weights of a head are: what pruning by magnitude goes by, without any data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attribution.targets import Goal
from ...capture import Event, Hook, Site, find_sites, hooked
from ...capture.projection import output_weights
from ...capture.ways.trial import trial_of
from ...corpora import Encoding
from ...errors import CaptureError
from ..knockout import head_grid


def output_norms(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> np.ndarray:
    """‖W_O‖_F of each head's slice: (1, layer, head). The texts are not looked at.

    Raises:
        CaptureError: no linear map reads the head outputs.
    """
    head_grid(model.module)
    norms = [_output(model, site).norm(dim=(1, 2)) for site in find_sites(model.module)]
    return torch.stack(norms)[None].cpu().numpy()


def value_output_norms(
    model: Any, encodings: Sequence[Encoding], goals: Sequence[Goal], *, seed: int
) -> np.ndarray:
    """‖W_V W_O‖_F of each head, the map from what it reads to what it writes: (1, layer, head).

    Unlike ‖W_O‖_F it does not change when values are scaled up and outputs down. The texts are
    not looked at.

    Raises:
        CaptureError: no linear map reads the head outputs, or none returns the values.
    """
    head_grid(model.module)
    values = value_weights(model.module)
    norms = [
        (values[site].to(model.device) @ _output(model, site)).norm(dim=(1, 2))
        for site in find_sites(model.module)
    ]
    return torch.stack(norms)[None].cpu().numpy()


def value_weights(module: Any) -> dict[Site, Tensor]:
    """W_V of each head, (head, hidden, width), of every site.

    Found by a dry run: the linear map that returned, in some of its columns, the very values that
    attention weighs. So maps that give queries, keys and values at once are read too, in whatever
    order, and heads that share their values.

    Raises:
        CaptureError: no linear map returns the values of a site.
    """
    calls: list[tuple[Any, Tensor]] = []
    found: dict[Site, Tensor] = {}

    def keep(part: Any, arguments: Any, result: Any) -> None:
        if isinstance(result, Tensor) and result.dim() > 1:
            calls.append((part, result))

    def observe(event: Event) -> None:
        columns = event.value.permute(1, 3, 0, 2).flatten(2)  # (head, width, row)
        for part, result in reversed(calls):
            weights = _columns_of(part, result, columns)
            if weights is not None:
                found[event.site] = weights
                return
        raise CaptureError(
            f"No linear map returns the values of {event.site}, so W_V is not known there; take "
            "the norm of W_O alone ('output_norm')."
        )

    parts = [p for p in module.modules() if getattr(getattr(p, "weight", None), "ndim", 0) == 2]
    handles = [part.register_forward_hook(keep) for part in parts]
    try:
        with torch.no_grad(), hooked(module, Hook(observe=observe, attention=False)):
            trial_of(module).run(module)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _columns_of(part: Any, result: Tensor, wanted: Tensor) -> Tensor | None:
    """The weights that made the wanted columns (head, width, row): (head, hidden, width).

    None where the map did not return all of them.
    """
    columns = result.flatten(0, -2).T
    if columns.shape[1] != wanted.shape[2]:
        return None
    place = {column.cpu().numpy().tobytes(): number for number, column in enumerate(columns)}
    numbers = [place.get(one.cpu().numpy().tobytes()) for one in wanted.flatten(0, 1)]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return None
    # transformers' Conv1D keeps (in, out), everything else (out, in).
    weight = part.weight if type(part).__name__ == "Conv1D" else part.weight.T
    heads, width = wanted.shape[:2]
    return weight.detach().float()[:, known].unflatten(1, (heads, width)).transpose(0, 1)


def _output(model: Any, site: Site) -> Tensor:
    return output_weights(model.module, site).detach().float().to(model.device)
