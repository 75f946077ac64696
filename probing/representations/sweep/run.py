"""Running a sweep: all its jobs, then all its tables."""

from collections.abc import Sequence

import pandas as pd

from . import choice, comparisons
from .fitting import fitting_jobs, outcomes_of
from .jobs import Job, run_jobs
from .measured import measured_jobs, measured_table
from .mixes import mix_table
from .options import MEASURES, ProbeOptions
from .outcomes import baselines_of
from .pieces import Arrays, Pieces
from .readings import Reading
from .structural import structural_jobs, structural_tables
from .sums import Units
from .table import probe_table

Tables = dict[str, pd.DataFrame]


def sweep(
    readings: Sequence[Reading], options: ProbeOptions, pieces: Pieces, *, device: str = "cpu"
) -> Tables:
    """Compute what is not finished, and make the tables, by the name of their field in `Probes`."""
    jobs = [job for reading in readings for job in _jobs(reading, options, device)]
    found = run_jobs(jobs, pieces)
    parts = [part for reading in readings for part in _tables(reading, options, found)]
    tables = {name: _joined([part[name] for part in parts if name in part])
              for name in ("table", "tests", "best", "mix", *MEASURES)}  # fmt: skip
    return {
        **tables,
        "tests": comparisons.corrected(tables["tests"]),
        "best": choice.corrected(tables["best"]),
    }


def _jobs(reading: Reading, options: ProbeOptions, device: str) -> list[Job]:
    asked = reading.problems, reading.sources, reading.layers, options
    jobs = fitting_jobs(*asked, device=device) + measured_jobs(*asked, device=device)
    if reading.trees is not None:
        jobs += structural_jobs(
            *reading.trees, reading.sources, reading.layers, options, device=device
        )
    return jobs


def _tables(reading: Reading, options: ProbeOptions, found: dict[str, Arrays]) -> list[Tables]:
    asked = reading.problems, reading.sources, reading.layers, options, found
    outcomes = outcomes_of(*asked)
    parts: list[Tables] = []
    for problem in reading.problems:
        units = Units(problem.evaluate.units, options.seed)
        own = [outcome for outcome in outcomes if outcome.task == problem.task.name]
        if not own:
            continue
        own += baselines_of(problem)
        parts.append({
            "table": probe_table(problem, own, units),
            "tests": comparisons.comparison_table(own, units),
            "best": choice.best_layers(own, units),
            "mix": mix_table(own, units),
        })  # fmt: skip
    if reading.trees is not None:
        _, evaluate = reading.trees
        table, tests = structural_tables(evaluate, *asked[1:])
        parts.append({"table": table, "tests": tests})
    parts.append({measure: measured_table(measure, *asked) for measure in options.measures})
    return parts


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables that have rows, one below the other; if none has, one without rows."""
    filled = [table for table in tables if not table.empty]
    if filled:
        return pd.concat(filled, ignore_index=True)
    return tables[0] if tables else pd.DataFrame()
