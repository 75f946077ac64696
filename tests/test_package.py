"""The package as installed: one import name, quick to import, layers in one direction."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bertology

ROOT = Path(bertology.__file__).resolve().parents[1]
#: A folder imports only from folders before it.
ORDER = ["api", "corpora", "models", "capture", "stats", "probing", "attribution", "ablation",
         "viz", "studies"]  # fmt: skip
NOT_FOR_VIZ = {"models", "capture"}


def imports(path: Path) -> set[str]:
    """Folders of the package that a module imports from, and outside packages."""
    folder = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            package = ["", *folder][: len(folder) + 2 - node.level]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                parts = [*package[1:], *(name or "").split(".")]
                found.add(parts[0] if parts[0] in ORDER else "api")
    return found


MODULES = [path for folder in ORDER for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_folders_import_in_one_direction(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    if folder == "api":
        return
    allowed = ORDER[: ORDER.index(folder) + 1]
    inside = imports(path) & set(ORDER)
    assert inside <= set(allowed), f"{path} imports from {sorted(inside - set(allowed))}"
    if folder == "viz":
        forbidden = imports(path) & (NOT_FOR_VIZ | {"torch", "transformers"})
        assert not forbidden, f"{path} imports {sorted(forbidden)}"


def test_the_import_checker_sees_a_violation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "corpora").mkdir()
    module = tmp_path / "corpora" / "wrong.py"
    module.write_text("from ..studies.run import Run\nfrom .. import viz\nimport torch\n")
    assert imports(module) == {"studies", "viz", "torch"}


def test_version_and_module_entry_point() -> None:
    outcome = subprocess.run(
        [sys.executable, "-m", "bertology", "--version"], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.strip() == bertology.__version__


def test_nothing_but_bertology_is_importable(tmp_path: Path) -> None:
    code = f"import importlib.util as u; print([n for n in {[*ORDER, 'tests']} if u.find_spec(n)])"
    outcome = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert outcome.stdout.strip() == "[]"


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import bertology, sys; print('torch' in sys.modules, bertology.__version__)"
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == ["False", bertology.__version__]


def test_every_public_name_resolves() -> None:
    for name in bertology.__all__:
        assert getattr(bertology, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        bertology.no_such_name  # noqa: B018
