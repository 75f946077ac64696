"""Study files: one TOML file names models, data, what is switched off and what is measured."""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ablation.instruments import METRICS
from ..ablation.scoring import DRAWS, MODES
from ..errors import BertologyError

#: What is switched off by kind, as `parts` and --parts say it: every head, all attention of each
#: layer, each feed-forward network, each block.
KINDS = ("heads", "attention", "mlps", "layers")
_PIECE = r"L\d+(H\d+| attention| mlp)?"
_PART = re.compile(rf"{_PIECE}(\+{_PIECE})*")
_HEAD = re.compile(r"L\d+H\d+")


@dataclass(frozen=True)
class Task:
    """One data file of a study, and what is done on it."""

    file: str
    models: tuple[str, ...]
    """Hub ids, folders, or `demo`."""
    columns: str | None = None
    """As `--columns`."""
    parts: tuple[str, ...] = ("heads",)
    """Any of `KINDS`, names of groups, or parts such as `L7H9` and `L0H1+L2H3`."""
    modes: tuple[str, ...] = ("zero", "mean")
    metrics: tuple[str, ...] | None = None
    """By default the target, and the accuracy where there are labels."""
    target: str | None = None
    foil: str | None = None
    seeds: tuple[int, ...] = (0,)
    draws: int = DRAWS
    """Draws of other texts for `resample`."""
    limit: int | None = None


@dataclass(frozen=True)
class Study:
    """Every model of every task, with every seed."""

    tasks: tuple[Task, ...]
    groups: dict[str, tuple[str, ...]]
    """Names of sets of heads, such as those that a relation analysis found."""


def read_study(path: str | Path) -> Study:
    """Read a study file, and report everything that is wrong with it at once.

    What stands at the top holds for every data file; what an entry of `data` says itself takes its
    place. Paths count from the study file.

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
    groups, data = given.pop("groups", {}), given.pop("data", None)
    problems = [*_wrong_groups(groups), *_wrong_values(given, groups, "")]
    entries = _entries(data)
    if not entries:
        problems.append(f"data must be a list of files or of tables with a file, got {data!r}")
    for number, entry in enumerate(entries):
        where = f"data[{number}]: "
        problems += _wrong_values(entry, groups, where, file=source.parent)
        if "models" not in given and "models" not in entry:
            problems.append(f"{where}it has no models, and there are none at the top")
    if problems:
        raise BertologyError(f"The study file {source} is wrong: {'; '.join(problems)}.")
    tasks = [_task({**given, **entry}, source.parent) for entry in entries]
    return Study(tuple(tasks), {name: tuple(heads) for name, heads in groups.items()})


def _entries(data: Any) -> list[dict[str, Any]]:
    listed = data if isinstance(data, list) else []
    if not all(isinstance(entry, str | dict) for entry in listed):
        return []
    return [{"file": entry} if isinstance(entry, str) else entry for entry in listed]


def _task(values: Mapping[str, Any], folder: Path) -> Task:
    known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return Task(**{**known, "file": str(folder / known["file"])})


def _wrong_values(
    values: Mapping[str, Any], groups: Any, where: str, file: Path | None = None
) -> list[str]:
    checks = dict(_CHECKS)
    checks["parts"] = (lambda v: is_list(v, str) and all(names_part(p, groups) for p in v),
                       f"a list of {', '.join(KINDS)}, groups, or parts such as L7H9")  # fmt: skip
    known = [*checks, *(["file"] if file else ["data", "groups"])]
    found = [
        f"{where}unknown key {key!r} (known: {', '.join(known)})"
        for key in values if key not in known
    ]  # fmt: skip
    found += [
        f"{where}{key} must be {wanted}, got {_unfit(values[key], fits)}"
        for key, (fits, wanted) in checks.items()
        if key in values and not fits(values[key])
    ]
    if file is not None:
        name = values.get("file")
        if not isinstance(name, str):
            found.append(f"{where}file must be the path of the data, got {name!r}")
        elif not (file / name).is_file():
            found.append(f"{where}there is no file {file / name}")
    return found


def _unfit(value: Any, fits: Callable[[Any], bool]) -> str:
    """What does not fit; of a list the entries that do not."""
    entries = [one for one in value if not fits([one])] if isinstance(value, list) else []
    return ", ".join(map(repr, entries)) if entries else repr(value)


def names_part(text: str, groups: Mapping[str, Any]) -> bool:
    """Whether a text names a kind of parts, a group, or a part that some model may have."""
    return text in KINDS or text in groups or _PART.fullmatch(text) is not None


def _wrong_groups(groups: Any) -> list[str]:
    if not isinstance(groups, dict):
        return [f"groups must be a table of names and lists of heads, got {groups!r}"]
    wrong = [
        f"groups.{name} must be a list of heads such as L7H9, got {heads!r}"
        for name, heads in groups.items()
        if not (is_list(heads, str) and all(_HEAD.fullmatch(head) for head in heads))
    ]
    taken = [name for name in groups if names_part(name, {})]
    return wrong + [f"groups cannot have the name {name!r}, which has a meaning" for name in taken]


def is_list(value: Any, kind: type) -> bool:
    """Whether a value is a list of at least one thing of a kind."""
    return isinstance(value, list) and bool(value) and all(type(v) is kind for v in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


#: Whether a value fits its key, and what would.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "models": (lambda v: is_list(v, str), "a list of at least one name"),
    "columns": (_is_text, "text like 'text=Text'"),
    "parts": (lambda v: True, ""),
    "modes": (lambda v: is_list(v, str) and set(v) <= set(MODES), f"a list of {', '.join(MODES)}"),
    "metrics": (lambda v: is_list(v, str) and set(v) <= set(METRICS),
                f"a list of {', '.join(METRICS)}"),
    "target": (_is_text, "the name of a class or token"),
    "foil": (_is_text, "the name of a class or token"),
    "seeds": (lambda v: is_list(v, int) and min(v) >= 0, "a list of whole numbers from 0"),
    "draws": (_is_count, "a whole number from 1"),
    "limit": (_is_count, "a whole number from 1"),
}  # fmt: skip
