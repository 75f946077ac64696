"""Modules that cannot be looked into as they are."""

from typing import Any

import torch

from ..errors import CaptureError


def guard(module: Any) -> None:
    """Refuse what would run past our hooks.

    Raises:
        CaptureError: no module, or a compiled one.
    """
    if not isinstance(module, torch.nn.Module):
        raise CaptureError(
            f"Expected a torch module, got {type(module).__name__}; of a loaded model give "
            "`model.module`."
        )
    compiled = [
        name or type(part).__name__ for name, part in module.named_modules() if _is_compiled(part)
    ]
    if compiled:
        raise CaptureError(
            f"{compiled[0]} is compiled by torch.compile, which runs past hooks; give the module "
            "as it was before (`model._orig_mod`), or load it anew."
        )


def _is_compiled(part: Any) -> bool:
    return (
        hasattr(part, "_orig_mod")
        or getattr(part, "_compiled_call_impl", None) is not None
        or hasattr(part.__dict__.get("forward"), "_torchdynamo_orig_callable")
    )


def refuse_recomputation(module: Any) -> None:
    """Refuse to listen where a backward pass computes a checkpointed forward pass again.

    Modules in eval mode checkpoint nothing, so that pass was made before the session: without
    its hooks, and with dropout.

    Raises:
        CaptureError: a backward pass is running and the module uses gradient checkpointing.
    """
    # -1: no backward pass runs in this thread; torch's own checkpointing asks in this way.
    if torch._C._current_graph_task_id() != -1 and any(
        getattr(part, "gradient_checkpointing", False) for part in module.modules()
    ):
        raise CaptureError(
            f"The backward pass of {type(module).__name__} computes a checkpointed forward pass "
            "again, which was made before this block; call backward() outside of it, or make the "
            "forward pass inside."
        )


def refuse_other_positions(event: Any, tokens: int) -> None:
    """Refuse a site whose queries and keys are not the tokens that the model was given.

    Args:
        event: what a hook sees.
        tokens: how many there are, padding included.

    Raises:
        CaptureError: the positions of this site are pooled, or keys of another kind join them.
    """
    queries, keys = event.computation.visible_shape[2:]
    if (queries, keys) != (tokens, tokens):
        raise CaptureError(
            f"{event.site} has {queries} queries and {keys} keys for {tokens} tokens: its "
            "positions are not the tokens (it pools them, or has summaries of them as keys), so "
            "nothing per token or word can be said of its heads. `record` gives its maps."
        )
