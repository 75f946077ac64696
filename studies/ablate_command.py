"""What `bertology ablate` does: one model on one data file, or a study of many."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from ..ablation import Ablation, Importance, ablate, held_out, importance, joined
from ..ablation.instruments import default_metrics, instruments_for
from ..ablation.parts import (
    Part,
    every_attention,
    every_head,
    every_layer,
    every_mlp,
    head_set,
    heads_of,
    parse_part,
)
from ..ablation.scoring import check_modes
from ..ablation.setting import settle
from ..corpora import Examples, MinimalPairs, read_examples, read_minimal_pairs
from ..errors import BertologyError, CaptureError, CorpusError
from ..models import LoadedModel
from .commands import Common, finish, limited, parse_columns
from .run import Run, skipped_texts
from .study import KINDS, Study, Task, names_part, read_study

_MAKERS = dict(zip(KINDS, (every_head, every_attention, every_mlp, every_layer), strict=True))
Groups = Mapping[str, Sequence[str]]


def ablate_command(common: Common, task: Task) -> None:
    """`bertology ablate MODEL --data FILE`."""
    if wrong := [part for part in task.parts if not names_part(part, {})]:
        raise BertologyError(
            f"--parts has {wrong[0]!r}; name any of {', '.join(KINDS)}, or parts such as L7H9, "
            "'L3 attention', 'L3 mlp', L3 and L0H1+L2H3."
        )
    data = _data(replace(task, limit=common.limit))
    model = common.load()
    parts = _parts(model, task.parts, {})
    metrics = _metrics(model, data, task)
    settings = {name: value for name, value in asdict(task).items()
                if name not in ("file", "models", "seeds", "limit")}  # fmt: skip
    run = common.open(model, data=task.file, data_sha256=data.sha256, **settings)
    ablation = run.result(
        "ablation", Ablation,
        lambda: ablate(
            model, data, parts=parts, modes=task.modes, metrics=metrics, target=task.target,
            foil=task.foil, draws=task.draws, seed=common.seed, folder=run.shards("ablation"),
        ),
    )  # fmt: skip
    written = [run.table("ablation.csv", ablation.table)]
    best = _held_out(ablation, metrics, common.seed)
    if len(best):
        written.append(run.table("held_out.csv", best))
    even = len(set(heads_of(model.module))) == 1
    if not even:
        print("importance.csv is left out: the layers of the model differ in their heads.")
    if even and isinstance(data, Examples) and "target" in metrics:
        gradients = run.result(
            "importance", Importance,
            lambda: importance(
                model, data, target=task.target, foil=task.foil, seed=common.seed
            ),
        )  # fmt: skip
        written.append(run.table("importance.csv", gradients.table))
    finish(run, written, skipped_texts(ablation.provenance))


def _held_out(ablation: Ablation, metrics: Sequence[str], seed: int) -> pd.DataFrame:
    """Of every metric; too little data for halves does not lose the rest, and is said."""
    tables = [pd.DataFrame()]
    for metric in metrics:
        try:
            tables.append(held_out(ablation, metric, seed=seed))
        except CorpusError as error:
            print(f"No part is chosen by {metric} for held_out.csv: {error}")
    return pd.concat(tables, ignore_index=True)


def ablate_study(common: Common, study_file: Path) -> None:
    """`bertology ablate --study FILE`: every model on its data files, with every seed.

    Everything that can be seen to be wrong is reported before anything is computed; what fails
    later does not lose the rest.
    """
    common.loading.check_for_several()
    study = read_study(study_file)
    data = _check(common, study)
    dtype = common.loading.dtype
    run = Run(
        common.folder,
        {"command": "ablate", "study": str(study_file), **asdict(study),
         **({} if dtype is None else {"dtype": dtype}),
         "data_sha256": [one.sha256 for one in data]},
        resume=common.resume,
    )  # fmt: skip
    jobs = [(name, number, seed) for name in _models(study)
            for number, task in enumerate(study.tasks) if name in task.models
            for seed in dict.fromkeys(task.seeds)]  # fmt: skip
    tables, failed, loaded = [], [], {}
    done: dict[int, dict[str, Ablation]] = {}
    for name, number, seed in tqdm(jobs, desc="study", unit="run"):
        task = study.tasks[number]
        try:
            if name not in loaded:
                # One model at a time: a study may name more than memory holds.
                loaded = {name: common.loading.load_one_of_several(name)}
            ablation = _job(run, study, loaded[name], number, data[number], seed)
        except BertologyError as error:
            failed.append(f"{name} on {task.file}, seed {seed}: {error}")
            continue
        tables.append(ablation.table.assign(model=name, data=_shown(study, task), seed=seed))
        done.setdefault(number, {})[f"{name} seed {seed}"] = ablation
    written = [run.table("ablation.csv", pd.concat(tables, ignore_index=True))] if tables else []
    if (over_runs := _over_runs(study, done)) is not None:
        written.append(run.table("over_runs.csv", over_runs))
    if failed:
        for path in written:
            print(f"wrote {path}")
        raise BertologyError(
            f"{len(failed)} of {len(jobs)} runs of the study failed, the others are kept: "
            f"{'; '.join(failed)}"
        )
    finish(run, written, "")


def _over_runs(study: Study, done: dict[int, dict[str, Ablation]]) -> pd.DataFrame | None:
    """Mean and spread over the runs on each data file, of what several of them have in common."""
    found = []
    for number, runs in done.items():
        if len(runs) < 2:
            continue
        try:
            table = joined(runs)
        except CaptureError:  # Nothing in common, of models that differ in size for instance.
            continue
        single = [f"delta {name}" for name in runs]
        found.append(table.drop(columns=single).assign(data=_shown(study, study.tasks[number])))
    return pd.concat(found, ignore_index=True) if found else None


def _job(run: Run, study: Study, model: LoadedModel, number: int, data: Any, seed: int) -> Ablation:
    task = study.tasks[number]
    model_number = list(_models(study)).index(model.name)
    name = f"ablation-model{model_number}-data{number}-seed{seed}"
    return run.result(
        name, Ablation,
        lambda: ablate(
            model, data, parts=_parts(model, task.parts, study.groups), modes=task.modes,
            metrics=_metrics(model, data, task), target=task.target, foil=task.foil,
            draws=task.draws, seed=seed, folder=run.shards(name),
        ),
    )  # fmt: skip


def _shown(study: Study, task: Task) -> str:
    """The name of a data file, with its path where two have the same name."""
    name = Path(task.file).name
    same = {other.file for other in study.tasks if Path(other.file).name == name}
    return task.file if len(same) > 1 else name


def _check(common: Common, study: Study) -> list[Examples | MinimalPairs]:
    """Read all data, and load every model once: what does not fit is refused, all together.

    Raises:
        BertologyError: what is wrong, with each model and data file.
    """
    problems: list[str] = []
    data: list[Examples | MinimalPairs | None] = []
    for task in study.tasks:
        try:
            data.append(_data(task))
        except BertologyError as error:
            data.append(None)
            problems.append(str(error))
    for name in tqdm(_models(study), desc="checking models", unit="model"):
        try:
            model = common.loading.load_one_of_several(name)
        except BertologyError as error:
            problems.append(str(error))
            continue
        for task, own in zip(study.tasks, data, strict=True):
            if name in task.models and own is not None:
                found = _misfits(model, own, task, study.groups)
                problems += [f"{name} on {task.file}: {reason}" for reason in found]
    if problems:
        print("\n".join(problems), file=sys.stderr)
        raise BertologyError(
            f"The study cannot run as it is; {len(problems)} mistakes are listed above."
            if len(problems) > 1
            else problems[0]
        )
    return [own for own in data if own is not None]


def _misfits(
    model: LoadedModel, data: Examples | MinimalPairs, task: Task, groups: Groups
) -> list[str]:
    """Why a task cannot be done: its parts, modes, metrics, labels, target."""

    def parts() -> None:
        check_modes(task.modes, _parts(model, task.parts, groups), task.draws)

    def measured() -> None:
        metrics = _metrics(model, data, task)
        settle(model, data, metrics=metrics, target=task.target, foil=task.foil)

    found = []
    for check in (parts, measured):
        try:
            check()
        except BertologyError as error:
            found.append(str(error))
    return found


def _models(study: Study) -> dict[str, None]:
    """The models in the order they are named, each once."""
    return dict.fromkeys(name for task in study.tasks for name in task.models)


def _data(task: Task) -> Examples | MinimalPairs:
    if task.metrics is not None and "minimal_pairs" in task.metrics:
        return read_minimal_pairs(task.file).first(task.limit)
    return limited(read_examples(task.file, parse_columns(task.columns)), task.limit)


def _metrics(model: LoadedModel, data: Examples | MinimalPairs, task: Task) -> Sequence[str]:
    metrics = default_metrics(model, data) if task.metrics is None else task.metrics
    instruments_for(model, data, metrics)
    return metrics


def _parts(model: LoadedModel, names: Sequence[str], groups: Groups) -> list[Part]:
    found: list[Part] = []
    for name in dict.fromkeys(names):
        if name in _MAKERS:
            found += _MAKERS[name](model.module)
        elif name in groups:
            heads = [parse_part(head, model.module).heads[0] for head in groups[name]]
            found.append(head_set(name, heads))
        else:
            found.append(parse_part(name, model.module))
    return list(dict.fromkeys(found))
