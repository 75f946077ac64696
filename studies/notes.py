"""Warnings as plain lines on the terminal."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print each warning once as a line of its own, without the place in the code it came from."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = _print
        yield


def _print(message: Warning | str, *_: object, **__: object) -> None:
    print(f"Note: {message}", file=sys.stderr)
