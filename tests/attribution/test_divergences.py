"""Divergences, by hand and against scipy."""

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon

from bertology.attribution.divergences import jensen_shannon, kullback_leibler, total_variation


def test_divergences() -> None:
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.9, 0.1])
    assert jensen_shannon(p, q).item() == pytest.approx(0.10175, abs=1e-5)
    assert jensen_shannon(p, q).item() == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-6)
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert jensen_shannon(one, other).item() == pytest.approx(math.log(2))
    assert total_variation(p, q).item() == pytest.approx(0.4)


def test_kullback_leibler_by_hand() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.5, 0.25])
    assert kullback_leibler(p, q).item() == pytest.approx(0.5 * math.log(2))
    assert kullback_leibler(p, p).item() == pytest.approx(0, abs=1e-7)
