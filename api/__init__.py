"""bertology: what heads look at, what layers know, whether attention explains behaviour.

The few names most users need are importable from here and resolved on first use, so that
`import bertology` stays quick; everything else lives in the folders
(`bertology.capture`, `bertology.probing`, `bertology.attribution`, …).
"""

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from .errors import BertologyError

if TYPE_CHECKING:
    from .corpora import read_corpus, read_examples, sample_treebank
    from .models import load_model
    from .studies import report

__version__ = _version("bertology")

_HOMES = {
    "load_model": "models",
    "read_corpus": "corpora",
    "read_examples": "corpora",
    "report": "studies",
    "sample_treebank": "corpora",
}

__all__ = [
    "BertologyError",
    "__version__",
    "load_model",
    "read_corpus",
    "read_examples",
    "report",
    "sample_treebank",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module 'bertology' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
