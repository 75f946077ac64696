"""Hidden states: the input of the first block and the output of every block."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import CaptureError
from .blocks import Blocks, hidden_of, replaced, stack_blocks
from .guards import guard
from .places import at_positions
from .ways.interface import running


@contextmanager
def hidden_states(module: Any, *, stack: str | None = None) -> Iterator[list[Tensor]]:
    """Collect hidden states of every forward pass inside the block; yields the list they fill.

    After a forward pass the list holds one tensor (batch, token, hidden) for each state: state 0
    is what the first block reads, state k+1 the output of block k, before any final norm (where
    transformers' own `hidden_states[-1]` of GPT-2 or Llama is taken after it). Tensors are live.
    Models that pool (Funnel) have fewer tokens in later states; those that pad texts to whole
    windows (Longformer, BigBird, Reformer) have more, the text's own first. Of Reformer's two
    streams it is the one that transformers returns too.

    Args:
        stack: `encoder` or `decoder`, for a model that has both.

    Raises:
        CaptureError: the blocks of the model cannot be found, or it has several stacks and none
            is named.
    """
    guard(module)
    blocks = stack_blocks(module, stack)
    states: list[Tensor] = []
    fresh = False

    def begin(*_: Any) -> None:
        nonlocal fresh
        fresh = True

    def clear() -> None:
        # A decoder may write many times after its encoder ran once, in a pass of its own.
        nonlocal fresh
        if fresh or len(states) == len(blocks.names) + 1:
            states.clear()
            fresh = False

    def enter(part: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        # A module that all layers share is entered in the middle, too.
        if fresh or not 0 < len(states) <= len(blocks.names):
            clear()
            states.append(_tokens_first(_input_of(part, arguments, named), blocks))

    def leave(part: Any, arguments: Any, output: Any) -> None:
        states.append(_tokens_first(hidden_of(output), blocks))

    def embedded(part: Any, arguments: Any, output: Any) -> None:
        clear()
        leave(part, arguments, output)

    with ExitStack() as handles:
        handles.callback(module.register_forward_pre_hook(_real(begin)).remove)
        if blocks.embeddings is not None:
            part = module.get_submodule(blocks.embeddings)
            handles.callback(part.register_forward_hook(_real(embedded)).remove)
        else:
            part = module.get_submodule(blocks.names[0])
            handles.callback(part.register_forward_pre_hook(_real(enter), with_kwargs=True).remove)
        for name in dict.fromkeys(blocks.names):
            part = module.get_submodule(name)
            handles.callback(part.register_forward_hook(_real(leave)).remove)
        yield states


@contextmanager
def patch_hidden(
    module: Any,
    layer: int,
    value: Tensor | Callable[[Tensor], Tensor],
    positions: Sequence[int] | Tensor | None = None,
    *,
    stack: str | None = None,
) -> Iterator[None]:
    """Let the model go on with another hidden state.

    Whoever else looks at the state sees the new one: hooks, `hidden_states`, and transformers'
    own `output_hidden_states`.

    Args:
        layer: counts hidden states: 0 is what the first block reads, k+1 the output of block k.
        value: (batch or 1, token or 1, hidden), or a function from the state (batch, token,
            hidden) to the new one.
        positions: where to patch (default: every token): token positions, or (batch, token),
            True where to patch.
        stack: `encoder` or `decoder`, for a model that has both.

    Raises:
        CaptureError: no such state, the blocks of the model cannot be found, or a value of
            another shape.
    """
    guard(module)
    blocks = stack_blocks(module, stack)
    if not 0 <= layer <= len(blocks.names):
        raise CaptureError(
            f"There is no hidden state {layer}; this model has 0 (the embeddings) to "
            f"{len(blocks.names)} (the output of the last block)."
        )
    # Of a module that all layers share one call is meant.
    turn, turns = blocks.times(max(layer - 1, 0))
    calls = 0

    def is_turn() -> bool:
        nonlocal calls
        mine, calls = calls == turn, (calls + 1) % turns
        return mine

    def patched(state: Tensor) -> Tensor:
        before = _tokens_first(state, blocks)
        new = value(before) if callable(value) else value
        new = _checked(new, before)
        if positions is not None:
            where = at_positions(positions, before.shape[0], before.shape[1], before.device)
            new = new.where(where[..., None], before)
        # Some models go on in place, which must not reach the value that was given.
        return _tokens_first(new, blocks).clone(memory_format=torch.contiguous_format)

    def enter(part: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not is_turn():
            return None
        if arguments:
            return (patched(arguments[0]), *arguments[1:]), named
        return arguments, named | {"hidden_states": patched(_input_of(part, arguments, named))}

    def leave(part: Any, arguments: Any, output: Any) -> Any:
        return replaced(output, patched(hidden_of(output))) if is_turn() else None

    def embedded(part: Any, arguments: Any, output: Tensor) -> Tensor:
        return patched(output)

    def begin(*_: Any) -> None:
        nonlocal calls
        calls = 0

    with ExitStack() as handles:
        handles.callback(module.register_forward_pre_hook(_real(begin)).remove)
        # First in line, so that hooks of others see the new state.
        if layer == 0 and blocks.embeddings is None:
            part = module.get_submodule(blocks.names[0])
            handle = part.register_forward_pre_hook(_real(enter), with_kwargs=True, prepend=True)
        elif layer == 0:
            part = module.get_submodule(blocks.embeddings)
            handle = part.register_forward_hook(_real(embedded), prepend=True)
        else:
            part = module.get_submodule(blocks.names[layer - 1])
            handle = part.register_forward_hook(_real(leave), prepend=True)
        handles.callback(handle.remove)
        yield


def _real(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The same hook, which does nothing in passes on made-up inputs."""
    level = running.trials
    return lambda *given: hook(*given) if running.trials == level else None


def _input_of(part: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    found = arguments[0] if arguments else named.get("hidden_states")
    if not isinstance(found, Tensor):
        raise CaptureError(
            f"The input of {type(part).__name__} is neither its first argument nor named "
            "hidden_states, so what the first block reads cannot be told."
        )
    return found


def _tokens_first(state: Tensor, blocks: Blocks) -> Tensor:
    """(batch, token, hidden) to the model's own order of axes, or back: both are one swap."""
    return state.transpose(0, 1) if blocks.batch_axis == 1 else state


def _checked(new: Tensor, before: Tensor) -> Tensor:
    fitting = new.dim() == before.dim() and all(
        own in (1, wanted) for own, wanted in zip(new.shape, before.shape, strict=True)
    )
    if not fitting:
        raise CaptureError(
            f"A hidden state of shape {tuple(new.shape)} was given; expected "
            f"{tuple(before.shape)} (batch, token, hidden), where an axis may be 1."
        )
    return new.to(before).expand_as(before)
