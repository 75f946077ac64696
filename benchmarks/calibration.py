"""Every score on models whose evidence is known: the tables and the figure of docs/calibration.md.

    python benchmarks/calibration.py FOLDER [--seeds 5] [--texts 24]

Trains a classifier for every trap and seed, sees whether it may serve as known truth, and has every
score rank the words of texts it was not trained on; the model whose weights are set by hand comes
first. FOLDER keeps what is done of each model, so that a run that was stopped goes on, and holds
calibration.csv, calibration_models.csv (the mean of each model), admission.csv and
calibration.{pdf,svg,png} in the end. About half an hour on one core.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from bertology import viz
from bertology.attribution import AttributionError
from bertology.attribution.calibration import (
    TRAPS,
    admission_table,
    calibration_table,
    measure_planted,
    one_head_carries,
    planted,
    train_planted,
)
from bertology.attribution.from_attention import FROM_ATTENTION
from bertology.attribution.methods import METHODS
from bertology.viz.score_names import in_order

Method = Callable[..., Sequence[np.ndarray | None]]
#: The model set by hand reads the texts of the trap `ignored`: its decoy head is on their decoy.
HANDMADE, ITS_TRAP = "handmade", "ignored"


def every_score() -> dict[str, Method]:
    """The scores by name; one that a model does not admit of is None for all texts."""
    scores = {name: own.run for name, own in METHODS.items()}
    scores |= {name: own.method for name, own in FROM_ATTENTION.items()}
    return {name: _or_refused(method) for name, method in scores.items()}


def _or_refused(method: Method) -> Method:
    def tried(
        model: Any, encodings: Sequence[Any], goals: Sequence[Any], *, seed: int
    ) -> Sequence[np.ndarray | None]:
        try:
            return method(model, encodings, goals, seed=seed)
        except AttributionError as refusal:
            tqdm.write(str(refusal))
            return [None] * len(encodings)

    return tried


def measure(trap: str, seed: int, texts: int, folder: Path) -> None:
    """Train one model and score it; the admission is written last."""
    name = f"{trap}-{seed}"
    if trap == HANDMADE:
        model, admission = one_head_carries().model, pd.DataFrame()
    else:
        trained = train_planted(trap, seed=seed)
        model, admission = trained.model, admission_table([trained])
    if trap == HANDMADE or trained.admitted:
        examples = planted(ITS_TRAP if trap == HANDMADE else trap, texts, seed=seed + 3000).examples
        values = measure_planted(model, examples, every_score(), seed=seed)
        values.insert(0, "trap", trap)
        values.insert(1, "seed", seed)
        write(values, folder / f"{name}.values.csv")
    write(admission, folder / f"{name}.admission.csv")


def write(table: pd.DataFrame, path: Path) -> None:
    """A run that is killed leaves no half of a file."""
    part = path.with_suffix(".part")
    table.to_csv(part, index=False)
    part.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=24, help="texts that a trained model reads")
    given = parser.parse_args()
    torch.set_num_threads(1)
    kept = given.folder / f"models-{given.texts}x{given.seeds}"
    kept.mkdir(parents=True, exist_ok=True)
    jobs = [(HANDMADE, 0), *((trap, seed) for seed in range(given.seeds) for trap in TRAPS)]
    for trap, seed in tqdm(jobs, desc="calibration", unit="model", dynamic_ncols=True):
        if not (kept / f"{trap}-{seed}.admission.csv").exists():
            # The one model that is set by hand reads as many texts as all those of a trap.
            several = given.seeds if trap == HANDMADE else 1
            measure(trap, seed, given.texts * several, kept)

    names = [f"{trap}-{seed}" for trap, seed in sorted(jobs, key=lambda job: order_of(*job))]
    admission = pd.concat([pd.read_csv(kept / f"{name}.admission.csv") for name in names[1:]])
    values = [kept / f"{name}.values.csv" for name in names]
    measured = pd.concat([pd.read_csv(own) for own in values if own.exists()])
    table = calibration_table(measured)
    by_model = measured.groupby(["trap", "score", "seed"], sort=False)["value"].mean().dropna()
    results = {"calibration": table, "calibration_models": by_model.reset_index(name="mean"),
               "admission": admission}  # fmt: skip
    for name, result in results.items():
        result.to_csv(given.folder / f"{name}.csv", index=False, float_format="%.4f")
    with viz.style("paper", columns=2):
        viz.save(viz.calibration_map(table), given.folder / "calibration")
    admitted = admission.groupby("trap", sort=False)["admitted"].agg(["sum", "size"])
    print(admitted.to_string())
    print(markdown(table))


def markdown(table: pd.DataFrame) -> str:
    """The means by score and trap with their marks, as in docs/calibration.md."""
    traps = list(dict.fromkeys(table["trap"]))
    marks = table["passes"].map({True: " ✓", False: " ✗"}).fillna(" ?")
    cells = table["mean"].map("{:.2f}".format) + marks
    cells[table["difference_low"] <= 0] += "✗"  # No better than a random order.
    grid = table.assign(cell=cells).pivot(index="score", columns="trap", values="cell")
    grid = grid.loc[in_order(grid.index), traps].fillna("")
    lines = [["score", *traps], ["---"] * (1 + len(traps))]
    lines += [[f"`{score}`", *row] for score, row in zip(grid.index, grid.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def order_of(trap: str, seed: int) -> tuple[int, int]:
    """The model set by hand first, then the traps in their order."""
    return [HANDMADE, *TRAPS].index(trap), seed


if __name__ == "__main__":
    main()
