"""What a sweep runs: probes, controls, draws and measures, all checked before anything is read."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ....errors import BertologyError

#: Each probe with the levels of task that it can read.
PROBES: dict[str, tuple[str, ...]] = {
    "linear": ("word", "pair", "sentence"),
    "mlp": ("word", "pair", "sentence"),
    "bilinear": ("pair",),
    "edge": ("word", "pair", "sentence"),
    "mix": ("word", "pair", "sentence"),
    "structural": ("tree",),
}
#: Where hidden states can come from besides the model itself.
CONTROLS = ("random_weights", "random_layers", "shuffled_words")
#: Those of them that are drawn at random, so that several are worth having.
RANDOM_MODELS = ("random_weights", "random_layers")
#: What is measured on request, besides accuracy.
MEASURES = ("mdl", "information", "curves")
#: The mean over fewer control draws says little.
MIN_CONTROL_DRAWS = 3


@dataclass(frozen=True)
class ProbeOptions:
    """Options of a sweep; they are part of its identity.

    Raises:
        BertologyError: values that do not exist; all of them are named at once.
    """

    probes: Sequence[str] = ("linear",)
    layers: Sequence[int] | None = None
    """Hidden states to read, ascending, 0 being the embeddings; None for all."""
    controls: Sequence[str] = ("random_layers",)
    """Other sources of states. Control labels, lookup, majority and layer 0 are always there."""
    control_draws: int = MIN_CONTROL_DRAWS
    """Random labellings of word types (Hewitt & Liang 2019)."""
    random_models: int = 1
    """Models drawn for each random control; at least 5 where a paper rests on them."""
    seeds: int = 1
    """Starts of each probe that is not convex."""
    training_samples: int = 3
    """Bootstrap samples of the training units on which the linear probe is fitted again."""
    measures: Sequence[str] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise BertologyError(f"The options of the probes are wrong: {'; '.join(problems)}.")

    def _problems(self) -> Iterator[str]:
        legal: dict[str, Sequence[str]] = {
            "probes": tuple(PROBES), "controls": CONTROLS, "measures": MEASURES
        }  # fmt: skip
        for name, values in legal.items():
            given = getattr(self, name)
            if isinstance(given, str) or (name == "probes" and not given):
                yield f"{name} is {given!r}, give a sequence of names such as ({values[0]!r},)"
            elif unknown := [value for value in given if value not in values]:
                yield f"{name} has {', '.join(map(repr, unknown))}, there are {', '.join(values)}"
        least = {"control_draws": MIN_CONTROL_DRAWS, "random_models": 1, "seeds": 1,
                 "training_samples": 0}  # fmt: skip
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                yield f"{name} is {getattr(self, name)}, at least {lowest} are needed"
        if self.training_samples == 1:
            yield "training_samples is 1, a spread needs at least 2 (or 0 for none)"
        if self.layers is not None and not _is_ascending(self.layers):
            yield f"layers is {self.layers!r}, give hidden states from 0 in ascending order"

    def as_dict(self) -> dict[str, Any]:
        """As it comes back from JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


def _is_ascending(layers: Sequence[int]) -> bool:
    return bool(layers) and min(layers) >= 0 and list(layers) == sorted(set(layers))
