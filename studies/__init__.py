"""The command line, runs that resume, and the report.

Names resolve on first use, so that `bertology --help` need not wait for torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report import Report, report

__all__ = ["Report", "report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from importlib import import_module

        found = {n: getattr(import_module(f"{__name__}.report"), n) for n in __all__}
        # Importing the module `report` has put it in the place of the function.
        globals().update(found)
        return found[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
