"""Erasing inside the forward pass."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ....capture import patch_hidden
from ....errors import CaptureError
from .eraser import Eraser


@contextmanager
def erased(
    module: Any, erasers: Mapping[int, Eraser], *, stack: str | None = None
) -> Iterator[None]:
    """Let the model go on with erased hidden states.

    Every token is erased, special ones too. So is padding, which no token attends to.

    Args:
        erasers: a fitted eraser for each hidden state: 0 is what the first block reads, k+1 the
            output of block k.
        stack: `encoder` or `decoder`, for a model that has both.

    Raises:
        CaptureError: no such hidden state, the blocks of the model cannot be found, or an eraser
            of another width.
    """
    with ExitStack() as hooks:
        for layer, eraser in erasers.items():
            hooks.enter_context(patch_hidden(module, layer, _applied(eraser), stack=stack))
        yield


def _applied(eraser: Eraser) -> Callable[[Tensor], Tensor]:
    """The transform of an eraser as a function of states (batch, token, hidden)."""
    check_is_fitted(eraser)
    mean = torch.from_numpy(eraser.mean_)
    removed = torch.eye(len(mean), dtype=mean.dtype) - torch.from_numpy(eraser.projection_)
    known: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def erase(state: Tensor) -> Tensor:
        if state.shape[-1] != len(mean):
            raise CaptureError(
                f"The eraser was fitted on hidden states of {len(mean)} dimensions and those of "
                f"this model have {state.shape[-1]}; fit it on states of the same model."
            )
        # Half precision would add its own rounding to what is erased.
        kind = torch.promote_types(state.dtype, torch.float32)
        if (state.device, kind) not in known:
            known[state.device, kind] = mean.to(state.device, kind), removed.to(state.device, kind)
        centre, lost = known[state.device, kind]
        wide = state.to(kind)
        return (wide - (wide - centre) @ lost.T).to(state.dtype)

    return erase
