"""Devices and number types: what was asked for, checked before anything is loaded."""

from importlib.util import find_spec
from typing import Any

import torch

from ..errors import ModelError

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")

DeviceMap = str | dict[str, Any]


def checked_device(device: str | int | torch.device | None) -> torch.device:
    """A device that can be computed on here.

    Raises:
        ModelError: unknown, or not on this machine.
    """
    try:
        place = torch.device("cpu" if device is None else device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(_unusable(device, str(error).splitlines()[0])) from error
    if place.type == "meta":
        raise ModelError(_unusable(device, "it holds shapes and no numbers"))
    return place


def _unusable(device: object, reason: str) -> str:
    return (
        f"The device {str(device)!r} cannot be used here ({reason.rstrip('.')}); give 'cpu', or "
        "'cuda' on a machine with a GPU."
    )


def checked_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """A number type for weights, by itself or by name.

    Raises:
        ModelError: not one of the three that models are computed in.
    """
    kind = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if dtype is not None and kind not in _DTYPES.values():
        raise ModelError(
            f"The dtype {str(dtype)!r} is unknown; choose one of {', '.join(_DTYPES)} (or the "
            "torch.dtype of that name)."
        )
    return kind


def checked_map(device_map: DeviceMap | None, device: object) -> DeviceMap | None:
    """A plan that spreads a model over devices.

    Raises:
        ModelError: no such plan, a device beside it, or accelerate is not installed.
    """
    if device_map is None:
        return None
    if device is not None:
        raise ModelError(
            f"Both device={str(device)!r} and device_map={device_map!r} are given; device puts the "
            "whole model in one place, device_map spreads it over several: give one of them."
        )
    if isinstance(device_map, str) and device_map not in _MAPS:
        raise ModelError(
            f"The device_map {device_map!r} is unknown; give 'auto', a dict from parts of the "
            f"model to devices, or device={device_map!r} to put all of it there."
        )
    if not isinstance(device_map, str | dict):
        raise ModelError(f"The device_map {device_map!r} is neither 'auto' nor a dict.")
    if find_spec("accelerate") is None:
        raise ModelError("A device_map needs accelerate; install it with: pip install accelerate")
    for place in [] if isinstance(device_map, str) else device_map.values():
        if place != "disk":
            checked_device(place)
    return device_map


def check_parts(device_map: dict[str, Any], module: Any) -> None:
    """Refuse names that transformers would pass over in silence.

    Raises:
        ModelError: a name is none of a part of the module.
    """
    known = {name for name, _ in [*module.named_modules(), *module.named_parameters()]}
    if unknown := sorted(set(device_map) - known):
        parts = ", ".join(name for name, _ in module.named_children())
        raise ModelError(
            f"The device_map names {', '.join(map(repr, unknown))}, and {type(module).__name__} "
            f"has no such part; its parts are {parts} and what is in them ('' is the whole)."
        )


def default_dtype(place: torch.device, device_map: DeviceMap | None) -> torch.dtype | str:
    """float32 where all is computed on a CPU, else the type of the checkpoint."""
    places: list[object] = [place]
    if isinstance(device_map, dict):
        places = [torch.device(other) for other in device_map.values() if other != "disk"]
    elif device_map is not None and torch.accelerator.is_available():
        return "auto"
    return torch.float32 if all(str(other) == "cpu" for other in places) else "auto"


def input_device(module: Any) -> torch.device:
    """Where the inputs of a module go: where its token embeddings are computed."""
    part = _embeddings(module)
    # accelerate leaves weights on the disk until they are used, and knows where that will be.
    place = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
    if place is not None:
        return torch.device(place)
    return next(part.parameters()).device


def _embeddings(module: Any) -> Any:
    try:
        part = module.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        # Not a transformers model, or one without a table of tokens (CANINE hashes characters).
        return module
    return module if part is None or next(part.parameters(), None) is None else part
