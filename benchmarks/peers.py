"""Environments of their own for the peers, so that their dependencies change nothing here."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

#: What was measured. Their other dependencies are held to constraints.txt.
PEERS = {"transformer-lens": "4.3.0", "nnsight": "0.8.1"}
CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


def python_of(folder: Path, peer: str) -> Path:
    """The interpreter of a peer's environment, there or not."""
    return folder.absolute() / peer / "bin" / "python"


def install(folder: Path, index: str | None) -> None:
    """Create the environments that are missing.

    Torch is pinned to the very build that runs here, "+cpu" included: another build would be
    another benchmark, and gigabytes of GPU libraries.

    Args:
        index: one more package index, for builds of torch that the default one lacks.
    """
    for peer, wanted in PEERS.items():
        python = python_of(folder, peer)
        if _installed(python, peer) == wanted:
            continue
        print(f"Installing {peer} {wanted} into {folder / peer}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(folder / peer)], check=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "-c", str(CONSTRAINTS)]
        command += ["--extra-index-url", index] if index else []
        command += [f"torch=={version('torch')}", f"{peer}=={wanted}"]
        subprocess.run(command, check=True, stdout=sys.stderr)


def _installed(python: Path, peer: str) -> str | None:
    if not python.exists():
        return None
    code = f"from importlib.metadata import version; print(version({peer!r}))"
    asked = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() or None
