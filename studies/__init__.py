"""The command line, runs that resume, and the report."""

from .report import Report, report

__all__ = ["Report", "report"]
