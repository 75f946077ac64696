"""Restarting a forward pass at a block: what lies before an edited layer is computed once.

An edit in layer k leaves every block before k as it was, so these blocks hand out what they
returned in the intact pass. The module itself still runs from its inputs to its logits, only
with shorter blocks; nothing of any family is known here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ..capture import Hook, find_sites, hooked
from ..capture.hidden import find_blocks
from ..capture.ways.trial import trial_of
from ..errors import CaptureError

#: What each block returned, for each forward pass of a measurement.
Passes = list[list[Any]]


def restart_blocks(module: Any) -> list[Any]:
    """The block of each attention layer, or an empty list where passes must run whole.

    Blocks that are shared (ALBERT) or cannot be found rule a restart out. For all others a
    small padded batch shows that a pass restarted at each layer has the very same output.
    """
    sites = find_sites(module)
    try:
        blocks = find_blocks(module, sites)
    except CaptureError:
        return []
    if len(set(blocks)) < len(sites) or not _is_exact(module, blocks):
        return []
    return blocks


@contextmanager
def recording(module: Any, blocks: Sequence[Any]) -> Iterator[Passes]:
    """Keep what the blocks return in every forward pass inside; yields the list that fills."""
    passes: Passes = []

    def keep(block: Any, arguments: Any, output: Any) -> None:
        passes[-1].append(output)

    with ExitStack() as stack:
        handle = module.register_forward_pre_hook(lambda *_: passes.append([]))
        stack.callback(handle.remove)
        for block in blocks:
            stack.callback(block.register_forward_hook(keep).remove)
        yield passes


@contextmanager
def skipping(module: Any, blocks: Sequence[Any], passes: Passes, layer: int) -> Iterator[None]:
    """Let the blocks before `layer` return what was recorded.

    The measurement must be the recorded one: its n-th forward pass gets the n-th recording.
    Inside, one measurement may be repeated; the count starts anew after the last pass.
    """
    count = -1

    def start(*_: object) -> None:
        nonlocal count
        count = (count + 1) % len(passes)

    def stand_in(index: int) -> Callable[..., Any]:
        return lambda *arguments, **options: passes[count][index]

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(start).remove)
        for index, block in enumerate(blocks[:layer]):
            stack.callback(_restore, block, block.__dict__.get("forward"))
            block.forward = stand_in(index)
        yield


def _restore(block: Any, own_forward: Callable[..., Any] | None) -> None:
    if own_forward is None:
        del block.forward
    else:
        block.forward = own_forward


def _is_exact(module: Any, blocks: list[Any]) -> bool:
    """Whether restarted passes equal whole ones, with every head of one layer switched off."""
    trial = trial_of(module)
    nothing = Hook(observe=lambda event: None, attention=False)
    with torch.no_grad():
        with hooked(module, nothing), recording(module, blocks) as passes:
            trial.run(module)
        for layer in range(1, len(blocks)):
            off = Hook(
                edit_output=lambda event: torch.zeros_like(event.head_output),
                layers=frozenset([layer]),
            )
            with hooked(module, off):
                whole = trial.run(module)
                try:
                    with skipping(module, blocks, passes, layer):
                        restarted = trial.run(module)
                # Blocks may leave each other more than their output (a shared cache, say), and
                # may fail in any way when it is missing. Such a model runs whole.
                except Exception:
                    return False
            if not torch.equal(whole, restarted):
                return False
    return True
