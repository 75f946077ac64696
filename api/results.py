"""What an analysis returns: a tidy table and its provenance, saved without pickle."""

import json
import platform
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from .errors import OutputError

_RECORDED_PACKAGES = ("bertology", "torch", "transformers", "captum", "scikit-learn", "numpy")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number."""
    found = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True)
class Provenance:
    """Where a result comes from; enough to compute it again."""

    model: str
    """Name as the user gave it: hub id, folder or `demo`."""
    revision: str | None
    weights_sha256: str | None
    tokenizer: str
    data: str
    data_sha256: str
    seed: int
    unit: str
    """What is resampled for intervals: `document` or `sentence`."""
    sentences: int
    documents: int
    skipped: list[list[str]] = field(default_factory=list)
    """[sentence id, reason] of every sentence that was left out."""
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=installed_versions)


@dataclass(frozen=True, repr=False)
class Result:
    """Base of every result: tables and arrays as fields, plus `provenance`.

    A subclass adds fields that are data frames or arrays; `save` and `load` handle them all.
    """

    table: pd.DataFrame
    provenance: Provenance

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in _parts(self).items())
        source = f"{self.provenance.model} on {self.provenance.data}"
        return f"{type(self).__name__} of {source}: {shapes}"

    def save(self, folder: str | Path) -> Path:
        """Write `folder/*.csv`, `*.npy` and `provenance.json`; returns the folder."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        kinds: dict[str, Any] = {}
        for name, value in _parts(self).items():
            if isinstance(value, pd.DataFrame):
                value.to_csv(target / f"{name}.csv", index=False)
                kinds[name] = {column: str(kind) for column, kind in value.dtypes.items()}
            else:
                np.save(target / f"{name}.npy", value, allow_pickle=False)
                kinds[name] = "array"
        record = {"result": type(self).__name__, "parts": kinds, **asdict(self.provenance)}
        (target / "provenance.json").write_text(json.dumps(record, indent=1, ensure_ascii=False))
        return target

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            OutputError: the folder holds no result, or one of another analysis.
        """
        source = Path(folder)
        if not (source / "provenance.json").is_file():
            raise OutputError(f"{source} holds no saved result: provenance.json is missing.")
        record = json.loads((source / "provenance.json").read_text())
        saved_as, kinds = record.pop("result"), record.pop("parts")
        if saved_as != cls.__name__:
            raise OutputError(
                f"{source} holds a {saved_as}, not a {cls.__name__}; use {saved_as}.load."
            )
        parts: dict[str, Any] = {
            name: _read_part(source, name, kind) for name, kind in kinds.items()
        }
        return cls(provenance=Provenance(**record), **parts)


def _parts(result: Result) -> dict[str, Any]:
    return {f.name: getattr(result, f.name) for f in fields(result) if f.name != "provenance"}


def _read_part(folder: Path, name: str, kind: Any) -> pd.DataFrame | np.ndarray:
    if kind == "array":
        return np.load(folder / f"{name}.npy", allow_pickle=False)
    if not kind:
        return pd.DataFrame()
    # As text first: numbers then come back to the last bit, and words such as "NA" stay words.
    raw = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
    return pd.DataFrame({column: _restored(raw[column], kind[column]) for column in raw})


def _restored(column: pd.Series, kind: Any) -> pd.Series:
    if kind == "bool":
        return column == "True"
    if kind.startswith("float"):
        return column.where(column != "", "nan").astype(kind)
    if kind == "Int64":
        return column.astype(object).where(column != "", None).astype("Int64")
    return column.astype(kind)
