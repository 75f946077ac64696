"""Restarting a forward pass at a block: what lies before an edited layer is computed once.

An edit in a block leaves every block before it as it was, so these blocks hand out what they
returned in the intact pass. The module itself still runs from its inputs to its logits, only
with shorter blocks; nothing of any family is known here. Decoder blocks follow on encoder blocks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import CaptureError
from .blocks import stack_blocks, stacks_of
from .hooked import hooked
from .mode import trial_mode
from .session import Event, Hook
from .sites import Site, find_sites
from .ways.trial import trial_of

#: What each block returned, for each forward pass of a measurement.
Passes = list[list[Any]]

# What Python and torch raise where something is missing or of another shape.
MISSING = (RuntimeError, LookupError, AttributeError, TypeError, ValueError, CaptureError)


def restart_blocks(module: Any) -> list[Any]:
    """The blocks in the order of their computation, or an empty list: passes must run whole.

    With one stack, block k is that of layer k; see `place_of` for models with several. Blocks
    that are shared (ALBERT) or cannot be found (XLM) rule a restart out. For all others a small
    padded batch shows that a pass restarted at each block has the very same output.
    """
    names: list[str] = []
    for stack in stacks_of(module):
        try:
            found = stack_blocks(module, stack)
        except CaptureError:
            return []
        if found.is_shared or found.embeddings is not None:
            return []
        names += found.names
    blocks = [module.get_submodule(name) for name in names]
    return blocks if _is_exact(module, blocks) else []


def place_of(module: Any, blocks: Sequence[Any], site: Site) -> int:
    """Which of the blocks computes the attention of a site.

    Raises:
        CaptureError: none of them.
    """
    part = module.get_submodule(site.module)
    for place, block in enumerate(blocks):
        if any(inner is part for inner in block.modules()):
            return place
    raise CaptureError(f"None of the {len(blocks)} blocks computes {site}.")


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
def skipping(
    module: Any, blocks: Sequence[Any], passes: Passes, place: int, *, copies: int = 1
) -> Iterator[None]:
    """Let the blocks before `place` return what was recorded.

    The measurement must be the recorded one: its n-th forward pass gets the n-th recording.
    Inside, one measurement may be repeated; the count starts anew after the last pass. A cache
    of keys and values that the model returns lacks what the skipped blocks would have written.

    Args:
        copies: how often the batch that runs repeats the recorded one (all texts, then all
            again). Only the last of the skipped blocks repeats what it returns, as the model
            must read nothing else; see `can_pack`.
    """
    count = -1
    if copies > 1 and place:
        passes = [
            [*one[: place - 1], repeated(one[place - 1], copies), *one[place:]] for one in passes
        ]

    def start(*_: object) -> None:
        nonlocal count
        count = (count + 1) % len(passes)

    def stand_in(index: int) -> Callable[..., Any]:
        return lambda *arguments, **options: passes[count][index]

    with ExitStack() as stack:
        stack.callback(module.register_forward_pre_hook(start).remove)
        for index, block in enumerate(blocks[:place]):
            stack.callback(restore, block, block.__dict__.get("forward"))
            block.forward = stand_in(index)
        yield


def repeated(output: Any, copies: int) -> Any:
    """What a block returned for a batch, for a batch that holds it several times."""
    if isinstance(output, Tensor):
        return output if output.dim() < 2 else output.repeat(copies, *[1] * (output.dim() - 1))
    if hasattr(output, "_fields"):
        return type(output)(*(repeated(part, copies) for part in output))
    if isinstance(output, tuple | list):
        return type(output)(repeated(part, copies) for part in output)
    if isinstance(output, dict):
        return type(output)({name: repeated(part, copies) for name, part in output.items()})
    return output


def restore(block: Any, own_forward: Callable[..., Any] | None) -> None:
    if own_forward is None:
        del block.forward
    else:
        block.forward = own_forward


def _without(sites: set[Site]) -> Hook:
    def edit(event: Event) -> Tensor:
        output = event.head_output
        return torch.zeros_like(output) if event.site in sites else output

    return Hook(edit_output=edit)


def _is_exact(module: Any, blocks: list[Any]) -> bool:
    """Whether restarted passes equal whole ones, with every head of one block switched off."""
    trial, sites = trial_of(module), find_sites(module)
    places = {site: place_of(module, blocks, site) for site in sites}
    nothing = Hook(observe=lambda event: None, attention=False)
    with trial_mode(module):
        with hooked(module, nothing), recording(module, blocks) as passes:
            trial.run(module)
        for place in sorted(set(places.values()) - {0}):
            off = {site for site, other in places.items() if other == place}
            with hooked(module, _without(off)):
                whole = trial.run(module)
                try:
                    with skipping(module, blocks, passes, place):
                        restarted = trial.run(module)
                # Blocks may leave each other more than their output (a shared cache, say), and
                # fail when it is missing. Such a model runs whole.
                except MISSING as error:
                    if isinstance(error, torch.OutOfMemoryError):
                        raise
                    return False
            if not torch.equal(whole, restarted):
                return False
    return True
