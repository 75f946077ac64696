"""Adapters for attention that is not one softmax over all keys."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

#: From the class of an attention module to a context manager (module, listener).
ADAPTERS: dict[str, Callable[[Any, Any], AbstractContextManager[None]]] = {}
