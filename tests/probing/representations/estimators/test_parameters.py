"""Parameters that no probe can be trained with are refused by name."""

import numpy as np
import pytest

from bertology.errors import BertologyError
from bertology.probing.representations.estimators.linear import LinearProbe, fit_together
from bertology.probing.representations.estimators.mlp import MLPProbe
from bertology.probing.representations.estimators.structural import DepthProbe, DistanceProbe

X, LABELS = np.eye(4), list("abab")
HEADS, SENTENCES = [-1, 0, -1, 0], [0, 0, 1, 1]


@pytest.mark.parametrize("probe", [LinearProbe, MLPProbe])
def test_a_grid_without_strengths_is_refused(probe):
    with pytest.raises(BertologyError, match="Cs is empty; give at least one"):
        probe(Cs=()).fit(X, LABELS)


def test_a_grid_without_strengths_is_refused_for_many_label_sets():
    with pytest.raises(BertologyError, match="Cs is empty; give at least one"):
        fit_together(X, [LABELS, LABELS], Cs=())


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
@pytest.mark.parametrize("probe", [LinearProbe, MLPProbe, DistanceProbe, DepthProbe])
def test_a_device_that_is_not_there_is_named(probe, device):
    labels = (HEADS, SENTENCES) if probe in (DistanceProbe, DepthProbe) else (LABELS,)
    with pytest.raises(BertologyError, match=f"device is '{device}', which torch cannot use"):
        probe(device=device).fit(X, *labels)


@pytest.mark.parametrize("probe", [DistanceProbe, DepthProbe])
@pytest.mark.parametrize("rank", [0, -1])
def test_a_projection_without_dimensions_is_refused(probe, rank):
    with pytest.raises(BertologyError, match=f"rank is {rank}; give at least 1"):
        probe(rank=rank).fit(X, HEADS, SENTENCES)
