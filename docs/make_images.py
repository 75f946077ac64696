"""Draw the README's picture from a finished report.

make report && python docs/make_images.py report
"""

import sys
from pathlib import Path

import pandas as pd

from bertology import viz


def main(report: Path) -> None:
    summary = pd.read_csv(report / "tables" / "head_summary.csv", keep_default_na=False,
                          na_values={"relation_accuracy": [""]})  # fmt: skip
    with viz.style("paper", columns=2):
        for path in viz.save(viz.head_atlas(summary), Path(__file__).parent / "images/head_atlas"):
            if path.suffix != ".png":
                path.unlink()  # the README shows the PNG


if __name__ == "__main__":
    main(Path(sys.argv[1]))
