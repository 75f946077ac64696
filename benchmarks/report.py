"""Time and peak memory of the whole report, measured in a process of its own.

python benchmarks/report.py
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "bertology",
                "report",
                "demo",
                "--out",
                str(Path(folder, "run")),
            ],
            check=True,
        )
        seconds = time.perf_counter() - started
        page = Path(folder, "run", "index.html").stat().st_size
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"report: {seconds:.0f} s, peak memory {peak:.2f} GiB, page {page / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
