"""What was measured as rows and as markdown; and whether two results are the same."""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from workers import Worker

#: Largest difference of a statistic, relative to max(1, its size), that counts as the same.
TOLERANCES = {"float32": 1e-4, "bfloat16": 3e-2}
#: Share of equal predictions that counts as the same: rounding may turn a tie.
SAME_PREDICTIONS = {"float32": 0.999, "bfloat16": 0.9}

COLUMNS = {
    "contender": "contender",
    "seconds": "seconds",
    "ratio": "× bare forward",
    "range": "lowest–highest",
    "with_reading": "× with tokenizing",
    "peak": "peak GiB",
    "growth": "of it the job, MiB",
    "agreement": "against eager",
}


def compare(worker: Worker, reference: Worker | None, dtype: str) -> None:
    """Write down how far a worker's results are from the reference's; stop it if too far."""
    if reference is None or reference.result is None or not reference.result.exists():
        worker.agreement = "not checked"
        return
    if worker.result is None or not worker.result.exists():
        return
    ours, theirs = _arrays(worker.result), _arrays(reference.result)
    if [a.shape for a in ours] != [a.shape for a in theirs]:
        worker.cannot = f"results of another shape: {ours[0].shape}, eager {theirs[0].shape}"
        return
    gap = np.abs(ours[0] - theirs[0]) / np.maximum(1, np.abs(theirs[0]))
    largest = float(gap.max())
    worker.agreement = f"statistics within {largest:.0e}" if largest else "statistics identical"
    same = float((ours[1] == theirs[1]).mean()) if len(theirs[1]) else 1.0
    if len(theirs[1]):
        share = "all" if same == 1 else f"{same:.4%} of the"
        worker.agreement += f", {share} predictions equal"
    # Written so that NaN is a disagreement too.
    if not (largest <= TOLERANCES[dtype] and same >= SAME_PREDICTIONS[dtype]):
        worker.cannot = f"disagrees with eager: {worker.agreement}"


def _arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as file:
        return file["statistics"], file["predictions"]


def rows(workers: list[Worker]) -> list[dict[str, Any]]:
    """One row for each contender, its ratios to the bare forward pass of the same round."""
    bare = next(worker for worker in workers if worker.name == "bare")
    readings = [one["reading"] for worker in workers for one in worker.answers if one["reading"]]
    reading = statistics.median(readings) if readings else None
    return [_row(worker, bare, reading) for worker in workers]


def _row(worker: Worker, bare: Worker, reading: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {"contender": worker.name, "versions": worker.ready.get("versions", {})}
    if worker.cannot is not None or bare.cannot is not None or not worker.answers:
        reason = worker.cannot or "the bare forward pass cannot run"
        return {**row, "cannot": f"cannot: {reason}"}
    pairs = list(zip(worker.answers, bare.answers, strict=True))
    ratios = [one["seconds"] / other["seconds"] for one, other in pairs]
    peak = max(one["peak"] for one in worker.answers)
    row |= {
        "seconds": statistics.median(one["seconds"] for one in worker.answers),
        "all_seconds": [one["seconds"] for one in worker.answers],
        "ratio": statistics.median(ratios),
        "range": [min(ratios), max(ratios)],
        "peak": peak,
        "growth": (peak - worker.ready["loaded"]) * 1024,
        "agreement": worker.agreement,
    }
    if reading is not None:
        row["reading"] = reading
        row["with_reading"] = statistics.median(
            (one["seconds"] + reading) / (other["seconds"] + reading) for one, other in pairs
        )
    return row


def markdown(title: str, table: list[dict[str, Any]]) -> str:
    """A section with a table; a contender that could not run says why in place of numbers."""
    shown = [name for name in COLUMNS if any(name in row for row in table)]
    lines = [f"## {title}", ""]
    lines.append("| " + " | ".join(COLUMNS[name] for name in shown) + " |")
    lines.append("|---" * len(shown) + "|")
    for row in table:
        if "cannot" in row:
            cells = [row["contender"], row["cannot"], *[""] * (len(shown) - 2)]
        else:
            cells = [_cell(name, row.get(name)) for name in shown]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name == "range":
        return f"{value[0]:.2f}–{value[1]:.2f}"
    if name == "growth":
        return f"{value:,.0f}"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
