"""Run a notebook and store what it shows, without the progress bars.

    python notebooks/execute.py notebooks/what_is_it_looking_at.ipynb

GitHub shows the stored figures without running anything.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def execute(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh run; raises where a cell does."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            # Bars go to stderr, or are widgets that only live in a running notebook.
            cell.outputs = [
                output
                for output in cell.outputs
                if output.get("name") != "stderr"
                and "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
            ]
            cell.metadata.pop("execution", None)
    notebook.metadata.pop("widgets", None)
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:]:
        nbformat.write(execute(Path(name)), name)
