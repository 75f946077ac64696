"""Every head of a classifier removed in turn: bertology, hooks, and TransformerLens' loop.

    python benchmarks/ablation.py MODEL --data SST_TREES [--peers] [--out FILE.json]

The batches are the same for all, padded texts of similar length. Hooks: a whole forward pass for
each head, its slice zeroed before the output projection. Every contender is a process of its own
that loads once; then they run in turn, A B C A B C, and bertology is compared with the others
within each round. Seconds of processor time are disturbed less by other work on the machine.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from peers import install, python_of
from workers import Worker, start

import bertology
from bertology.attribution import prepare
from bertology.capture import collate
from bertology.capture.batch import plan
from bertology.corpora import read_sst

HERE = Path(sys.executable)
#: Texts and texts of a batch.
JOBS = ((64, 16), (4, 1))
#: Largest difference of a logit that is rounding.
SAME = 1e-4


def write_batches(options: argparse.Namespace, texts: int, size: int, file: Path) -> None:
    """Texts spread evenly over the data, sorted by length, `size` at a time."""
    model = bertology.load_model(options.model, task="classification", dtype="float32")
    examples = read_sst(options.data).examples
    chosen = examples[:: max(1, len(examples) // texts)][:texts]
    encodings = prepare(model, chosen).encodings
    order = [i for group in plan([len(e) for e in encodings], 1) for i in group]
    groups = [order[start : start + size] for start in range(0, len(order), size)]
    arrays: dict[str, Any] = {"count": np.array(len(groups))}
    for number, group in enumerate(groups):
        batch = collate([encodings[i] for i in group], model)
        arrays["inputs"] = np.array(list(batch.inputs))
        for name, tensor in batch.inputs.items():
            arrays[f"{name}_{number}"] = tensor.cpu().numpy()
    np.savez(file, **arrays)


def job(options: argparse.Namespace, texts: int, size: int, folder: Path) -> list[dict[str, Any]]:
    file = folder / "batches.npz"
    write_batches(options, texts, size, file)
    settings = {"model": options.model, "batches": str(file), "device": options.device,
                "threads": options.threads, "memory": options.memory}  # fmt: skip
    workers = [
        start("bertology", HERE, "removal_bertology.py", settings, folder),
        start("hooks", HERE, "removal_hooks.py", settings, folder),
    ]
    peer = python_of(options.peers_folder, "transformer-lens")
    missing = []
    if peer.exists():
        workers.append(
            start("TransformerLens", peer, "removal_transformer_lens.py", settings, folder)
        )
    else:
        missing = [{"contender": "TransformerLens", "cannot": "not installed (--peers does that)"}]
    # The first run warms up, and shows whether all find the same.
    for worker in workers:
        worker.ask({"save": str(worker.result)})
    for number in range(options.repeats):
        print(f"  {texts} texts: round {number + 1} of {options.repeats}", file=sys.stderr)
        for worker in workers:
            if (answer := worker.ask({})) is not None:
                worker.answers.append(answer)
    for worker in workers:
        worker.stop()
    return [row(worker, workers[0]) for worker in workers] + missing


def row(worker: Worker, own: Worker) -> dict[str, Any]:
    if worker.cannot is not None or not worker.answers:
        return {"contender": worker.name, "cannot": worker.cannot or "it gave no answer"}
    found: dict[str, Any] = {"contender": worker.name}
    for clock in ("seconds", "processor"):
        pairs = zip(worker.answers, own.answers, strict=True)
        ratios = [one[clock] / ours[clock] for one, ours in pairs]
        found |= {
            clock: statistics.median(one[clock] for one in worker.answers),
            f"times bertology, {clock}": statistics.median(ratios),
            f"lowest–highest, {clock}": f"{min(ratios):.2f}–{max(ratios):.2f}",
        }
    return found | {"largest difference of a logit": difference(worker, own)}


def difference(worker: Worker, own: Worker) -> float:
    theirs, ours = (np.load(Path(str(one.result)))["statistics"] for one in (worker, own))
    return float(np.abs(theirs - ours).max())


def markdown(table: list[dict[str, Any]]) -> str:
    names = list(max(table, key=len))
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for one in table:
        cells = [one["contender"], one["cannot"]] if "cannot" in one else [
            f"{one[name]:.3g}" if isinstance(one[name], float) else str(one[name])
            for name in names
        ]  # fmt: skip
        lines.append("| " + " | ".join([*cells, *[""] * (len(names) - len(cells))]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a sequence classifier of the BERT family")
    parser.add_argument("--data", required=True, type=Path, help="SST trees, one a line")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: as torch chooses")
    parser.add_argument("--memory", type=float, default=8.0, help="GiB a contender may take")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--peers", action="store_true", help="install TransformerLens first")
    parser.add_argument("--peers-folder", type=Path, default=Path(".benchmarks"))
    parser.add_argument("--torch-index", help="package index with this very build of torch")
    parser.add_argument("--out", type=Path, help="where to write the tables as JSON")
    options = parser.parse_args()
    if options.peers:
        install(options.peers_folder, options.torch_index)
    done = {}
    for texts, size in JOBS:
        with tempfile.TemporaryDirectory() as name:
            table = job(options, texts, size, Path(name))
        title = f"every head removed, {texts} texts in batches of {size}"
        print(f"\n{title}\n\n{markdown(table)}", flush=True)
        done[title] = table
    if options.out:
        options.out.write_text(json.dumps(done, indent=1))
    rows = [one for table in done.values() for one in table if "cannot" not in one]
    if any(one["largest difference of a logit"] > SAME for one in rows):
        sys.exit("Some contenders disagree; see the tables.")


if __name__ == "__main__":
    main()
