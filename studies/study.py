"""Study files: one TOML file names models and data, one table comes out."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..ablation.sweep import MODES
from ..errors import BertologyError


@dataclass(frozen=True)
class Study:
    """What a study file asks for: every model on every data file with every seed."""

    models: list[str]
    """Hub ids, folders, or `demo`."""
    data: list[str]
    """Files as `bertology ablate --data` takes them; paths count from the study file."""
    columns: str | None = None
    """As `--columns`."""
    modes: tuple[str, ...] = MODES
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None


def read_study(path: str | Path) -> Study:
    """Read a study file, and report everything that is wrong with it at once.

    Raises:
        BertologyError: not a file, not TOML, unknown keys, or values of the wrong kind.
    """
    source = Path(path)
    if not source.is_file():
        raise BertologyError(f"There is no study file {source}; check the path.")
    try:
        given = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BertologyError(f"{source} is not a TOML file: {error}.") from error
    problems = _problems(given, source.parent)
    if problems:
        raise BertologyError(f"The study file {source} is wrong: {'; '.join(problems)}.")
    return Study(
        models=given["models"],
        data=[str(source.parent / name) for name in given["data"]],
        columns=given.get("columns"),
        modes=tuple(given.get("modes", MODES)),
        seeds=tuple(given.get("seeds", (0,))),
        limit=given.get("limit"),
    )


def _problems(given: dict[str, Any], folder: Path) -> list[str]:
    known = [field.name for field in fields(Study)]
    unknown = [key for key in given if key not in known]
    found = [f"unknown key {key!r} (known: {', '.join(known)})" for key in unknown]
    for name in ("models", "data"):
        if not _is_list(given.get(name), str):
            found.append(f"{name} must be a list of at least one name, got {given.get(name)!r}")
    if _is_list(given.get("data"), str):
        found += [f"there is no file {folder / name}" for name in given["data"]
                  if not (folder / name).is_file()]  # fmt: skip
    modes = given.get("modes", list(MODES))
    if not _is_list(modes, str) or not set(modes) <= set(MODES):
        found.append(f"modes must be a list of {' and '.join(MODES)}, got {modes!r}")
    if "seeds" in given and not _is_list(given["seeds"], int):
        found.append(f"seeds must be a list of whole numbers, got {given['seeds']!r}")
    if not isinstance(given.get("columns", ""), str):
        found.append(f"columns must be text like 'text=Text', got {given['columns']!r}")
    limit = given.get("limit", 1)
    if not isinstance(limit, int) or limit < 1:
        found.append(f"limit must be a whole number from 1, got {limit!r}")
    return found


def _is_list(value: Any, kind: type) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, kind) for v in value)
