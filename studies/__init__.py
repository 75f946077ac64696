"""The command line, runs that resume, and the report.

Names resolve on first use, so that `bertology --help` need not wait for torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .reporting import Report, report

__all__ = ["Report", "report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import reporting

        return getattr(reporting, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
