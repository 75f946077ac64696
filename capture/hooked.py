"""Sessions of a model that has been proven."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .session import Hook, session
from .sites import Site
from .verify import prove


@contextmanager
def hooked(module: Any, *hooks: Hook) -> Iterator[tuple[Site, ...]]:
    """Run `module` with hooks on its attention; yields the sites.

    The module is put into eval mode inside, and everything is as it was afterwards, also
    after an exception. Sessions may be nested. The first session of a model proves on a small
    batch that what is captured is what the model computes.

    Raises:
        CaptureError: attention cannot be reached, the proof fails, the module is compiled, or
            another thread has a session of the same module.
    """
    prove(module)
    with session(module, *hooks) as sites:
        yield sites
