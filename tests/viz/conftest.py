"""Small result tables with known numbers, and clean figures between tests."""

from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from bertology.viz import fonts


@pytest.fixture(autouse=True)
def no_figure_is_left_open():
    fonts._warn_once.cache_clear()
    yield
    plt.close("all")


@pytest.fixture
def summary():
    """2 layers × 3 heads; the changes are 0, .1, −.2, .3, −.4, .5 in reading order."""
    layer, head = np.divmod(np.arange(6), 3)
    delta = np.array([0.0, 0.1, -0.2, 0.3, -0.4, 0.5])
    table = pd.DataFrame(
        {
            "layer": layer,
            "head": head,
            "looks_at": ["previous", "sep", "sep", "cls", "broad", "next"],
            "share": 0.5,
            "relation": ["", "nsubj", np.nan, "", "obj", ""],
            "relation_accuracy": 0.5,
            "importance": [0.0, 0.2, 0.1, 0.3, 0.5, 0.4],
            "zero_delta": delta,
            "zero_ci_low": delta - 0.02,
            "zero_ci_high": delta + 0.05,
            "zero_p": [1.0, 0.2, 0.04, 0.01, 0.01, 0.01],
            "mean_delta": delta,
            "agreement": 0.1,
        }
    )
    return SimpleNamespace(table=table)


@pytest.fixture
def captured():
    """2 layers × 3 heads over 4 tokens; the layers are numbered 4 and 5."""
    weights = np.random.default_rng(0).random((2, 3, 4, 4)) + 0.1
    weights /= weights.sum(axis=-1, keepdims=True)
    return SimpleNamespace(attention=weights, tokens=("[CLS]", "$x$", "犬", "[SEP]"), layers=(4, 5))
