"""Attention statistics of every head: bertology and its peers against a bare forward pass.

    python benchmarks/capture.py --corpus en_ewt-ud-dev.conllu [--peers] [--out FILE.json]

Every contender is a process of its own that loads once; then they run in turn, A B C D A B C D,
and each is divided by the bare forward pass of its round. docs/benchmarks.md explains the rows.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers import PEERS, install, python_of
from tables import compare, markdown, rows
from workers import Settings, Worker, absent, prepare, start

HERE = Path(sys.executable)
SCRIPTS = {"transformer-lens": "with_transformer_lens.py", "nnsight": "with_nnsight.py"}
JOBS = ("sentences", "passages", "long")
LENGTHS = (2048, 4096, 8192, 16_384, 32_768)


def measure(workers: list[Worker], repeats: int, dtype: str) -> list[dict[str, Any]]:
    """Check that all find the same, then time those that do, in turn."""
    reference = next((worker for worker in workers if worker.name == "eager"), None)
    for worker in workers:
        print(f"  {worker.name}: checking", file=sys.stderr)
        worker.ask({"save": str(worker.result)})
    for worker in workers:
        if worker.cannot is None and worker.name == "eager":
            worker.agreement = "the reference"
        elif worker.cannot is None and worker.name != "bare":
            compare(worker, reference, dtype)
    for number in range(repeats):
        print(f"  round {number + 1} of {repeats}", file=sys.stderr)
        for worker in workers:
            answer = worker.ask({})
            if answer is not None:
                worker.answers.append(answer)
    for worker in workers:
        worker.stop()
    return rows(workers)


def corpus_job(
    options: argparse.Namespace, settings: Settings, folder: Path
) -> tuple[str, list[dict[str, Any]]]:
    """Statistics and predictions over the sentences or the passages of a corpus."""
    job = settings["job"]
    settings = {**settings, "batches": str(folder / f"{job}.npz")}
    found = prepare(HERE, settings, folder)
    told = {**settings, "model": found["model"]}
    workers = [start(name, HERE, "plain.py", told, folder) for name in ("bare", "eager", "dump")]
    missing = []
    for peer, script in SCRIPTS.items():
        python = python_of(options.peers_folder, peer)
        if python.exists():
            workers.append(start(peer, python, script, told, folder))
        else:
            missing.append(absent(peer, "not run: not installed (--peers does that)"))
    # bertology finds its model by the name that the user gave.
    workers += [
        start(name, HERE, "with_bertology.py", settings, folder)
        for name in ("bertology", "bertology, all")
    ]
    title = (
        f"{job.capitalize()}: {found['texts']:,} texts, {found['tokens']:,} tokens, "
        f"{found['batches']:,} batches, {options.model}"
    )
    return title, measure(workers, options.repeats, settings["dtype"]) + missing


def long_job(
    options: argparse.Namespace, settings: Settings, length: int, folder: Path
) -> tuple[str, list[dict[str, Any]]]:
    """One text of `length` tokens through a small random Llama."""
    settings = {**settings, "length": length}
    names, missing = ["bare", "bertology"], []
    if length <= options.eager_up_to:
        names.insert(1, "eager")
    else:
        missing.append(absent("eager", f"not run: beyond {options.eager_up_to:,} tokens"))
    workers = [start(name, HERE, "long_text.py", settings, folder) for name in names]
    title = f"Long text: {length:,} tokens, random Llama, 4 layers of 8 heads, width 256"
    return title, measure(workers, options.repeats, settings["dtype"]) + missing


def run(options: argparse.Namespace, device: str, dtype: str) -> list[dict[str, Any]]:
    """All jobs asked for, on one device with one number format; prints each when it is done."""
    shared: Settings = {
        "model": options.model,
        "corpus": str(options.corpus),
        "limit": options.limit,
        "threads": options.threads,
        "memory": options.memory,
        "device": device,
        "dtype": dtype,
    }
    done = []
    for job in options.jobs:
        for length in options.lengths if job == "long" else [None]:
            settings = {**shared, "job": job}
            with tempfile.TemporaryDirectory() as name:
                print(f"{job} {length or ''} on {device} in {dtype}", file=sys.stderr)
                if length is None:
                    title, table = corpus_job(options, settings, Path(name))
                else:
                    title, table = long_job(options, settings, length, Path(name))
            title = f"{title} ({device}, {dtype})"
            print(markdown(title, table), end="\n\n", flush=True)
            done.append({"job": job, "length": length, "title": title, "rows": table})
    return done


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Where the numbers come from."""
    names = ("torch", "transformers", "numpy", "bertology")
    # Torch is asked in another process: this one has to stay small (see workers.prepare).
    code = (
        "import torch; print(torch.get_num_threads()); "
        "print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    )
    asked = subprocess.run([str(HERE), "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    threads, gpu, *_ = [*asked.stdout.splitlines(), ""]
    return {
        "cpu": _cpu_name(),
        "gpu": gpu or None,
        "threads": options.threads or int(threads),
        "python": platform.python_version(),
        **{name: version(name) for name in names},
        **PEERS,
    }


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def _available_memory() -> float:
    """GiB that a process could take without driving others out."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, help="CoNLL-U file for sentences and passages")
    parser.add_argument("--limit", type=int, help="read only the first N sentences")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS, help="of long texts")
    parser.add_argument("--eager-up-to", type=int, default=8192, help="longest text for eager")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: as torch chooses")
    parser.add_argument("--memory", type=float, help="GiB a contender may take on a CPU")
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), help="default: cuda where there is one"
    )
    parser.add_argument("--peers", action="store_true", help="install the peers first")
    parser.add_argument("--peers-folder", type=Path, default=Path(".benchmarks"))
    parser.add_argument("--torch-index", help="package index with this very build of torch")
    parser.add_argument("--out", type=Path, help="write everything measured as JSON")
    options = parser.parse_args()
    if options.corpus is None and set(options.jobs) != {"long"}:
        parser.error("--corpus is needed for sentences and passages")
    if options.memory is None:
        options.memory = 0.9 * _available_memory()
    if options.peers:
        install(options.peers_folder, options.torch_index)
    where = machine(options)
    print(", ".join(f"{name} {value}" for name, value in where.items() if value), end="\n\n")
    device = options.device or ("cuda" if where["gpu"] else "cpu")
    done = []
    for dtype in ("float32", "bfloat16") if device == "cuda" else ("float32",):
        done += run(options, device, dtype)
    if options.out:
        options.out.write_text(json.dumps({"machine": where, "jobs": done}, indent=1))
    if any("disagrees" in row.get("cannot", "") for job in done for row in job["rows"]):
        sys.exit("Some contenders disagree; see the tables.")


if __name__ == "__main__":
    main()
