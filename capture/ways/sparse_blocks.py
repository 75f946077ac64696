"""BigBird, and the encoder of its Pegasus: block-sparse attention, full where texts are short.

The map that BigBird returns puts random blocks in the place of others. Ours comes from the
model's own kernel: given the identity in the place of values it returns the attention itself,
with random blocks as they were drawn in the same pass. For texts too short for its blocks the
model exchanges its attention modules for full ones; both are captured, and after each pass the
model has its modules back.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from .dense import heads_first
from .tap import Tap
from .watching import Call, Watch, replaced_input, watching

#: Columns of attention made in one call of the kernel, which holds several times as many.
_COLUMNS = 1_024


@contextmanager
def blocked(call: Call) -> Iterator[None]:
    """Attention of `BigBirdAttention`, around the module that may be exchanged."""
    part = call.part

    def replace(output: Tensor) -> Tensor | None:
        if part.attention_type != "block_sparse":
            return None
        heads = part.self.num_attention_heads
        query, key, value = (
            heads_first(watch.outputs[f"self.{name}"][0], heads)
            for name in ("query", "key", "value")
        )
        kernel = _kernel(part.self, watch)
        return call.hand_over(
            output,
            heads,
            lambda: _map(kernel, query, key),
            lambda: value,
            # Without scores every visible key gets the same.
            lambda: (_map(kernel, torch.zeros_like(query), key) > 0).any(1, keepdim=True),
        )

    with ExitStack() as stack:
        _follow_full(stack, call)
        names = ("self.query", "self.key", "self.value")
        watch = stack.enter_context(watching(part, (), names))
        stack.enter_context(replaced_input(part.output, replace))
        if call.owner is not None:
            stack.callback(
                call.owner.register_forward_hook(_back(call.owner), always_call=True).remove
            )
        yield


def _kernel(module: Any, watch: Watch) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The model's kernel: query, key and value (batch, head, token, …) to (batch, head, …)."""
    given = watch.arguments
    masks = [given[name] for name in ("band_mask", "from_mask", "to_mask")]
    blocks = [given[name] for name in ("from_blocked_mask", "to_blocked_mask")]

    def kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, heads, length, width = query.shape
        output, _ = module.bigbird_block_sparse_attention(
            query,
            key,
            value,
            *(mask.to(query.dtype) for mask in masks),
            *blocks,
            n_heads=heads,
            n_rand_blocks=module.num_random_blocks,
            attention_head_size=width,
            from_block_size=module.block_size,
            to_block_size=module.block_size,
            batch_size=batch,
            from_seq_len=length,
            to_seq_len=length,
            seed=module.seed,
            plan_from_length=None,
            plan_num_rand_blocks=None,
        )
        return output.transpose(1, 2)

    return kernel


def _map(kernel: Callable[[Tensor, Tensor, Tensor], Tensor], query: Tensor, key: Tensor) -> Tensor:
    """(batch, head, query, key): what the kernel gives to one-hot values."""
    length = query.shape[2]
    one_hot = torch.eye(length, dtype=query.dtype, device=query.device)
    return torch.cat(
        [
            kernel(query, key, columns.expand(*query.shape[:2], -1, -1).contiguous())
            for columns in one_hot.split(_COLUMNS, dim=1)
        ],
        dim=-1,
    )


def _follow_full(stack: ExitStack, call: Call) -> None:
    """Follow the softmax while the module computes full attention."""
    part, texts = call.part, 0
    tap = Tap(call.tell, lambda: texts)
    active: list[Tap] = []

    def enter(_: Any, arguments: Any, named: dict[str, Any]) -> None:
        nonlocal texts
        texts = (arguments[0] if arguments else named["hidden_states"]).shape[0]
        if part.attention_type != "block_sparse":
            active.append(tap)
            tap.__enter__()

    def leave(*_: Any) -> None:
        if active:
            active.pop().__exit__(None, None, None)
            tap.forget()

    stack.callback(part.register_forward_pre_hook(enter, with_kwargs=True).remove)
    stack.callback(part.register_forward_hook(leave, always_call=True).remove)


def _back(owner: Any) -> Callable[..., None]:
    """A hook that gives a model the attention modules back that it has now."""
    before = [
        (part, part.attention_type, part._modules.get("self"))
        for part in owner.modules()
        if hasattr(part, "attention_type")
    ]

    def restore(*_: Any) -> None:
        for part, kind, own in before:
            part.attention_type = kind
            if own is not None:
                part.self = own

    return restore
