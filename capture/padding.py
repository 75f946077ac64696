"""Whether what a model computes of a text depends on the padding beside it."""

from typing import Any
from weakref import WeakKeyDictionary

from .mode import trial_mode
from .ways.trial import first_tensor, trial_of

_known: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
#: Differences of rounding between batches of one and of two, relative to the largest output.
_ROUNDING = 1e-2


def ignores_padding(module: Any) -> bool:
    """Whether a text gives the same in a padded batch as alone, seen on the trial batch.

    Convolutions over tokens (ConvBERT, Nystromformer, CANINE), pooling (Funnel) and blocks that
    wrap around (Reformer, BigBird) read padding; such texts must meet only texts of their length.
    """
    if module not in _known:
        _known[module] = _look(module)
    return _known[module]


def _look(module: Any) -> bool:
    if not hasattr(module, "main_input_name"):
        return True  # no model of transformers: nothing is known of its inputs
    trial = trial_of(module)
    if trial.rows is None or "input_ids" not in trial.named or trial.rows.all():
        return True
    length = int(trial.rows[1].sum())
    alone = {
        name: value[1:, :length] if value.shape == trial.rows.shape else value[1:]
        for name, value in trial.named.items()
    }
    with trial_mode(module):
        together = trial.run(module)[1:]
        single = first_tensor(module(**alone))
    if together.dim() > 2 and single.shape[1] == length:
        together = together[:, :length]
    if together.shape != single.shape:
        return False
    difference = (together - single).abs().max().item()
    return difference <= _ROUNDING * max(1.0, single.abs().max().item())
