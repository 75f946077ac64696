import numpy as np
import pytest

from bertology.viz.lines import spread


def test_names_are_moved_apart_no_further_than_needed():
    assert spread([0.0, 1.0], 0.5) == [0.0, 1.0]
    assert spread([0.5, 0.5], 0.2) == pytest.approx([0.4, 0.6])
    places = spread([0.0, 0.01, 0.02, 5.0], 1.0)
    assert np.diff(places).min() > 0.99
    assert places[3] == 5.0
