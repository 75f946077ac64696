"""The notebooks run, and show their figures without running."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_have_the_figures_and_no_errors(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    kinds = [kind for cell in notebook.cells for out in cell.get("outputs", [])
             for kind in out.get("data", {})]  # fmt: skip
    assert kinds.count("image/png") >= 5
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not any(out.output_type == "error" or out.get("name") == "stderr" for out in outputs)
    assert path.stat().st_size < 2 * 2**20


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    figures = [
        cell for cell in notebook.cells if "viz." in cell.source and cell.cell_type == "code"
    ]
    for cell in figures:
        assert any("image/png" in out.get("data", {}) for out in cell.outputs), cell.source
