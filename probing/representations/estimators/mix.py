"""The scalar mix: one probe over all layers, and which layers it draws on."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import softmax
from scipy.stats import entropy
from sklearn.base import clone
from torch import Tensor, nn
from tqdm.auto import tqdm

from .classifier import TorchClassifier
from .linear import GRID
from .training import as_array


class ScalarMixProbe(TorchClassifier):
    """A linear classifier on Σ_l s_l h_l, s being a softmax of one learned number a layer.

    After Tenney et al. 2019, "BERT rediscovers the classical NLP pipeline". Every layer is
    standardised feature by feature, because the weights would otherwise answer for the layers'
    norms. The paper's factor γ is left to the classifier's weights: it would only take from them
    what the penalty counts. X is (item, layer, hidden); (item, feature) is one layer.
    See `TorchClassifier` for the objective, the choice of C, and the seed.

    Args:
        Cs: inverse strengths of the penalty on the summed loss.
        epochs: at most so many.
        seed: of the split, the start and the order.
        device: where it is trained, such as "cpu" or "cuda".
    """

    _axes = ("item", "layer", "hidden")
    # A linear classifier bears it, and the weights of the layers have far to go.
    _rate = 1e-2

    def __init__(
        self, Cs: tuple[float, ...] = GRID, epochs: int = 40, seed: int = 0, device: str = "cpu"
    ) -> None:
        self.Cs = Cs
        self.epochs = epochs
        self.seed = seed
        self.device = device

    @property
    def weights_(self) -> np.ndarray:
        """s, shape (layer,), summing to 1."""
        return np.asarray(softmax(self.network_.state_dict()["raw"].numpy()))

    @property
    def centre_of_gravity_(self) -> float:
        """Σ l · s_l, with l counting the layers of X from 0."""
        return centre_of_gravity(self.weights_)

    @property
    def weight_entropy_(self) -> float:
        """Entropy of s in nats: ln of the number of layers if the mix is even, 0 for one layer."""
        return float(entropy(self.weights_))

    def _network(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        layers, features = shape
        return _Mix(layers, features, classes)


class _Mix(nn.Module):
    def __init__(self, layers: int, features: int, classes: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(layers))
        self.output = nn.Linear(features, classes)

    def forward(self, layers: Tensor) -> Tensor:
        logits: Tensor = self.output(torch.einsum("ilh,l->ih", layers, self.raw.softmax(0)))
        return logits


def centre_of_gravity(weights: np.ndarray) -> float:
    """Σ l · s_l of weights (layer,) that sum to 1, with l from 0; L/2 for an even mix of 0 … L."""
    return float(np.arange(len(weights)) @ weights)


def cumulative_correct(
    probe: ScalarMixProbe,
    X: ArrayLike,
    y: ArrayLike,
    X_eval: ArrayLike,
    y_eval: ArrayLike,
    groups: ArrayLike | None = None,
) -> np.ndarray:
    """Which items the mixes of the layers 0 … l get right, for every l: (layer, item) bool.

    The mean over items is the accuracy of each mix; draw items anew for an interval.

    Args:
        probe: is cloned for every mix.
        X: (item, layer, hidden), with labels y (item,) and groups as in `fit`.
        X_eval: what is scored, (item, layer, hidden), with labels y_eval (item,).
    """
    layers, evaluated = np.asarray(as_array(X)), np.asarray(as_array(X_eval))
    gold = np.asarray(as_array(y_eval))
    correct = []
    for end in tqdm(range(1, layers.shape[1] + 1), desc="mixes", unit="mix", dynamic_ncols=True):
        fitted = clone(probe).fit(layers[:, :end], y, groups)
        correct.append(fitted.predict(evaluated[:, :end]) == gold)
    return np.stack(correct)


def expected_layer(scores: np.ndarray) -> np.ndarray:
    """The layer at which the cumulative mixes improve on average (Tenney et al. 2019, equation 4).

    Σ l · Δ_l / Σ Δ_l over l ≥ 1, with Δ_l the gain of the mix of 0 … l on that of 0 … l − 1. A
    gain may be negative, so the result may lie outside 1 … L; where the mix of all layers is no
    better than layer 0 it means nothing, and is NaN.

    Args:
        scores: of the mixes of 0 … l, (…, layer); several rows for draws of a bootstrap.

    Returns:
        (…), layers.
    """
    gains = np.diff(scores, axis=-1)
    total = gains.sum(axis=-1)
    weighted = (gains * np.arange(1, gains.shape[-1] + 1)).sum(axis=-1)
    return np.divide(weighted, total, out=np.full_like(total, np.nan), where=total > 0)
