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
        name or type(part).__name__
        for name, part in module.named_modules()
        if hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None
    ]
    if compiled:
        raise CaptureError(
            f"{compiled[0]} is compiled by torch.compile, which runs past hooks; give the module "
            "as it was before (`model._orig_mod`), or load it anew."
        )
