"""A run's output folder: what it holds, and how an interrupted run goes on."""

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from ..corpora.text import sha256_of
from ..disk import PARTIAL, write_file, writing
from ..errors import BertologyError, OutputError
from ..results import Provenance, Result, installed_versions

R = TypeVar("R", bound=Result)
MANIFEST = "manifest.json"
RESULTS = "results"
SHARDS = "shards"


class Run:
    """Writes the results of one command into one folder.

    Finished results are kept in `folder/results/NAME` as soon as they exist. A run that is
    resumed with the same settings loads them instead of computing them again. An analysis may
    keep shards in `folder/shards/NAME` on its way; they are removed once its result is kept.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], *, resume: bool) -> None:
        self.folder = folder
        self.settings = settings
        self.finished: list[str] = []
        self.provenance: dict[str, Any] = {}
        self._open(resume)

    def _open(self, resume: bool) -> None:
        if self.folder.is_file():
            raise OutputError(f"{self.folder} is a file; give a folder with --out.")
        manifest = self.folder / MANIFEST
        if manifest.is_file():
            self._check_resumable(_read_manifest(manifest), resume)
        elif self._holds_only_shards():
            # Stopped before its first result. The shards know themselves what they belong to.
            if not resume:
                raise OutputError(
                    f"The folder {self.folder} holds an unfinished run; give a new folder with "
                    "--out, or --resume to go on with it."
                )
        elif self.folder.is_dir() and any(self.folder.iterdir()):
            raise OutputError(
                f"The folder {self.folder} is not empty; give a new folder with --out."
            )
        # The folder is made with the first result: a refused input must leave none behind.
        nearest = next(p for p in [self.folder, *self.folder.absolute().parents] if p.exists())
        if not os.access(nearest, os.W_OK):
            raise OutputError(f"The folder {self.folder} cannot be written; give another --out.")

    def _holds_only_shards(self) -> bool:
        if not self.folder.is_dir():
            return False
        names = {path.name for path in self.folder.iterdir() if path.suffix != PARTIAL}
        return names == {SHARDS}

    def _check_resumable(self, found: dict[str, Any], resume: bool) -> None:
        if not resume:
            raise OutputError(
                f"The folder {self.folder} holds another run ({found['settings']['command']}, "
                f"{found['status']}); give a new folder with --out, or --resume to go on with it."
            )
        theirs, ours = found["settings"], json.loads(json.dumps(self.settings))
        if different := sorted(k for k in {*theirs, *ours} if theirs.get(k) != ours.get(k)):
            details = "; ".join(
                f"{k} was {theirs.get(k)!r}, now {ours.get(k)!r}" for k in different
            )
            raise OutputError(
                f"The run in {self.folder} had other settings ({details}); "
                "repeat them to resume it, or give a new folder with --out."
            )

    def result(self, name: str, kind: type[R], compute: Callable[[], R]) -> R:
        """The result of one analysis: loaded if it is finished, else computed and kept."""
        place = self.folder / RESULTS / name
        outcome = _loaded(place, kind)
        if outcome is None:
            outcome = compute()
            partial = place.with_name(f"{name}{PARTIAL}")
            # Before the result, so that no kill leaves a result without its settings.
            self._write_manifest("unfinished")
            with writing(place):
                shutil.rmtree(partial, ignore_errors=True)
                outcome.save(partial)
                shutil.rmtree(place, ignore_errors=True)
                # A rename is atomic: a killed run leaves a whole result or none.
                partial.rename(place)
        # The result says it all; what each sentence gave is many times larger.
        shutil.rmtree(self.shards(name), ignore_errors=True)
        with suppress(OSError):  # There are none, or those of another analysis.
            (self.folder / SHARDS).rmdir()
        self.finished.append(name)
        self.provenance[name] = asdict(outcome.provenance)
        self._write_manifest("unfinished")
        return outcome

    def shards(self, name: str) -> Path:
        """The folder for the shards of an analysis, kept until its result is saved."""
        return self.folder / SHARDS / name

    def table(self, path: str, table: pd.DataFrame) -> Path:
        """Write one of the run's tables."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(target, index=False)
        return target

    def text(self, path: str, content: str) -> Path:
        """Write one of the run's text files."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
        return target

    def close(self) -> None:
        """Mark the run as finished."""
        self._write_manifest("finished")

    def _write_manifest(self, status: str) -> None:
        manifest = {
            "status": status,
            "settings": self.settings,
            "finished": self.finished,
            "provenance": self.provenance,
            "versions": installed_versions(),
        }
        content = json.dumps(manifest, indent=1, ensure_ascii=False)
        write_file(self.folder / MANIFEST, content.encode())


def _loaded(place: Path, kind: type[R]) -> R | None:
    """A kept result, or None where there is none or it is damaged and must be computed again."""
    if not place.is_dir():
        return None
    try:
        return kind.load(place)
    except (BertologyError, OSError, ValueError, KeyError, TypeError) as error:
        print(f"The result in {place} is damaged ({error}); it is computed again.")
        return None


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OutputError(f"{path} is damaged ({error}); give a new folder with --out.") from error


def skipped_texts(provenance: Provenance) -> str:
    """One line on texts that were left out, or an empty string."""
    if not provenance.skipped:
        return ""
    first = ", ".join(f"{name} ({reason})" for name, reason in provenance.skipped[:3])
    more = ", …" if len(provenance.skipped) > 3 else ""
    count = len(provenance.skipped)
    return f"{count} {'text was' if count == 1 else 'texts were'} skipped: {first}{more}"


def file_hash(path: str | Path | None) -> str | None:
    """What identifies an input file in the settings of a run; None stands for no file."""
    return None if path is None else sha256_of(Path(path).read_bytes())
