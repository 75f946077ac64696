"""Saying where attention is, for modules that no rule could know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from ...errors import CaptureError


@dataclass(frozen=True)
class Example:
    """Arguments a module can be called with."""

    arguments: tuple[Any, ...]
    named: dict[str, Any]


@dataclass(frozen=True)
class Declaration:
    """Where a module's attention is."""

    modules: tuple[str, ...]
    layout: str | None
    memory: tuple[tuple[str, int], ...]
    example: Example | None


_declared: WeakKeyDictionary[Any, Declaration] = WeakKeyDictionary()


def declare(
    module: Any,
    attention: str | Sequence[str],
    *,
    example: Sequence[Any] | Mapping[str, Any] | None = None,
    layout: str | None = None,
    memory: Mapping[str, int] | None = None,
) -> None:
    """Say which submodules compute attention by a softmax that then weighs values.

    Args:
        module: any torch module; call this before the first capture.
        attention: names of the submodules, or the name of their class.
        example: arguments (or named arguments) of a call with at least two texts, for the dry
            run and the proof; transformers models need none.
        layout: the axes of the softmax, where they cannot be read off the product: letters
            b batch, h head, q query, k key, such as `qkbh`.
        memory: keys that precede the text's own, in their order, with the most there can be of
            each: {"compressed memory": 4, "memory": 16}.

    Raises:
        CaptureError: no such submodule, or letters that are no layout.
    """
    wanted = [attention] if isinstance(attention, str) else list(attention)
    found = [name for name, part in module.named_modules()
             if name in wanted or type(part).__name__ in wanted]  # fmt: skip
    if not found or (not isinstance(attention, str) and len(found) < len(wanted)):
        names = ", ".join(name for name, _ in module.named_modules() if name)
        raise CaptureError(
            f"{type(module).__name__} has no submodule {attention!r}, by name or by class; it has "
            f"{names[:400] or 'none'}."
        )
    if layout is not None and (not {"q", "k"} & set(layout) or set(layout) - set("bhqk")):
        raise CaptureError(
            f"The layout {layout!r} is none; give the letters b, h, q and k in the order of the "
            "softmax's axes, such as 'bhqk' or 'qkbh'."
        )
    _declared[module] = Declaration(
        tuple(found), layout, tuple((memory or {}).items()), _example(example)
    )


def declaration(module: Any) -> Declaration | None:
    """What was declared of a module."""
    return _declared.get(module)


def declared_example(module: Any) -> Example | None:
    found = _declared.get(module)
    return found.example if found else None


def _example(given: Sequence[Any] | Mapping[str, Any] | None) -> Example | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        return Example((), dict(given))
    return Example(tuple(given), {})
