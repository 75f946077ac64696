"""Draw the pictures of the README and of docs/findings.md from finished runs.

make report && python docs/make_images.py report heads-ewt

The second folder is that of `bertology heads … --analyses all` or at least `clusters`.
"""

import sys
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from bertology import viz

IMAGES = Path(__file__).parent / "images"


def save_png(drawn: Axes, name: str) -> None:
    """Pages show the PNG."""
    for path in viz.save(drawn, IMAGES / name):
        if path.suffix != ".png":
            path.unlink()


def main(report: Path, heads: Path) -> None:
    summary = pd.read_csv(report / "tables" / "head_summary.csv", keep_default_na=False,
                          na_values={"relation_accuracy": [""]})  # fmt: skip
    with viz.style("paper", columns=2):
        save_png(viz.head_atlas(summary), "head_atlas")
    clusters = pd.read_csv(heads / "clusters.csv", keep_default_na=False)
    with viz.style("paper", columns=1):
        save_png(viz.head_space(clusters, by="layer"), "head_space")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
