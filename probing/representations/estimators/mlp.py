"""The probe with one hidden layer."""

from torch import nn

from .classifier import TorchClassifier
from .linear import GRID


class MLPProbe(TorchClassifier):
    """One hidden layer of rectified units (Hewitt & Liang 2019, MLP-1) on standardised features.

    See `TorchClassifier` for the objective, for how C is chosen, and for the seed.

    Args:
        hidden: units of the hidden layer.
        Cs: inverse strengths of the penalty on the summed loss.
        epochs: at most so many.
        seed: of the split, the start and the order.
        device: where it is trained, such as "cpu" or "cuda".
    """

    def __init__(
        self, hidden: int = 64, Cs: tuple[float, ...] = GRID, epochs: int = 40, seed: int = 0,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        self.hidden = hidden
        self.Cs = Cs
        self.epochs = epochs
        self.seed = seed
        self.device = device

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(shape[0], self.hidden), nn.ReLU(), nn.Linear(self.hidden, classes)
        )
