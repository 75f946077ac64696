"""Norms with residual and layer norms, the mixing ratio, and GlobEnc."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bertology.attribution.from_attention import (
    attention_norms_residual,
    globenc,
    residual_maps,
)

from .by_name import terms_by_name


def ratio(terms: np.ndarray) -> list[float]:
    found = []
    for i in range(len(terms)):
        others = np.linalg.norm(sum(terms[i, j] for j in range(len(terms)) if j != i))
        found.append(others / (others + np.linalg.norm(terms[i, i])))
    return found


def test_maps_and_ratios_by_name(
    ready: Callable[..., SimpleNamespace], looked_at: Callable[..., dict]
) -> None:
    case = ready("bert", "classification")
    (own,) = residual_maps(case.model, case.encodings[:1])
    for layer in range(3):
        terms = terms_by_name(case, looked_at, layer)
        for name in ("residual", "norm", "block"):
            expected = np.linalg.norm(terms[name], axis=-1)
            np.testing.assert_allclose(getattr(own, name)[layer], expected, atol=1e-5)
        weights = 1 - terms["attention"].mean(0).diagonal()
        np.testing.assert_allclose(own.mixing.weights[layer], weights, atol=1e-6)
        np.testing.assert_allclose(own.mixing.weights_residual[layer], weights / 2, atol=1e-6)
        carried = terms["residual"].copy()
        carried[np.arange(len(carried)), np.arange(len(carried))] -= terms["read"]
        np.testing.assert_allclose(own.mixing.norms[layer], ratio(carried), atol=1e-5)
        np.testing.assert_allclose(
            own.mixing.norms_residual[layer], ratio(terms["residual"]), atol=1e-5
        )
        np.testing.assert_allclose(
            own.mixing.norms_residual_norm[layer], ratio(terms["norm"]), atol=1e-5
        )


def test_without_output_projection_nothing_is_mixed(
    ready: Callable[..., SimpleNamespace],
) -> None:
    case = ready("bert", "classification", shared=False)
    before = residual_maps(case.model, case.encodings)
    assert all((own.mixing.norms_residual > 0.05).all() for own in before)
    for block in case.module.bert.encoder.layer:
        torch.nn.init.zeros_(block.attention.output.dense.weight)
    for own in residual_maps(case.model, case.encodings):
        assert not own.mixing.norms_residual.any()
        assert not own.mixing.norms_residual_norm.any()
        assert not own.mixing.norms.any()
        assert (own.mixing.weights > 0.3).any()  # weights alone do not see it
        off = ~np.eye(own.norm.shape[-1], dtype=bool)
        assert not own.block[:, off].any() and own.block[:, ~off].all()


def test_layers_multiply_from_the_left(ready: Callable[..., SimpleNamespace]) -> None:
    case = ready("bert", "classification")
    maps = residual_maps(case.model, case.encodings)
    by_norm = attention_norms_residual(case.model, case.encodings, case.goals, seed=0)
    by_block = globenc(case.model, case.encodings, case.goals, seed=0)
    for own, first, second, goal in zip(maps, by_norm, by_block, case.goals, strict=True):
        rows = own.norm / own.norm.sum(-1, keepdims=True)
        np.testing.assert_allclose(first, goal.rows @ rows[2] @ rows[1] @ rows[0])
        assert first.sum() == pytest.approx(1)
        np.testing.assert_allclose(second, goal.rows @ own.block[2] @ own.block[1] @ own.block[0])


def test_rows_in_blocks_are_the_same(
    ready: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = ready("distilbert", "classification")
    expected = residual_maps(case.model, case.encodings)
    monkeypatch.setattr("bertology.attribution.from_attention.layers._CELLS", 2 * 9 * 32)
    for own, other in zip(residual_maps(case.model, case.encodings), expected, strict=True):
        np.testing.assert_allclose(own.block, other.block, atol=1e-6)
        np.testing.assert_allclose(
            own.mixing.norms_residual_norm, other.mixing.norms_residual_norm, atol=1e-6
        )
