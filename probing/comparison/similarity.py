"""How alike two sets of hidden states of the same tokens are: linear CKA and RSA."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import squareform
from scipy.stats import rankdata
from scipy.stats import t as student

from ...stats.intervals import LEVEL

#: Fewer have no unbiased HSIC.
MIN_TOKENS = 4


def linear_cka(first: np.ndarray, second: np.ndarray, *, unbiased: bool = True) -> float:
    """Linear centred kernel alignment of two representations of the same tokens.

    Kornblith et al. 2019; by default of the unbiased estimator of HSIC (Song et al. 2012,
    equation 5), because the plain one grows towards 1 with width over tokens, whatever the data.

    Args:
        first, second: (token, hidden), at least 4 tokens; the widths may differ.
        unbiased: False for the plain estimator of the paper.

    Returns:
        1 for equality up to rotation and scale, 0 expected for independence (may fall below);
        NaN where a representation does not vary.
    """
    if not unbiased:
        x, y = _centred(first), _centred(second)
        size = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
        return float(np.linalg.norm(x.T @ y) ** 2 / size) if size > 0 else np.nan
    a, b = Kernel.of(first), Kernel.of(second)
    return float(cka(hsic(a, b), hsic(a, a), hsic(b, b))[0])


@dataclass(frozen=True)
class Kernel:
    """The linear kernel of a representation with a zero diagonal, without forming it.

    Everything comes for all tokens, and again with each block of them left out.
    """

    states: np.ndarray
    """(token, hidden), centred over all tokens, which changes no HSIC."""
    blocks: np.ndarray
    """(token,), from 0."""
    kept: np.ndarray
    """(1 + block, token), 1 where a token is there: row 0 keeps all, row 1 + b leaves out b."""
    diagonal: np.ndarray
    """(token,)."""
    rows: np.ndarray
    """(1 + block, token), sums of the rows over the tokens that are there."""

    @staticmethod
    def of(states: np.ndarray, blocks: np.ndarray | None = None) -> "Kernel":
        """
        Args:
            states: (token, hidden); products of single precision states are in single precision.
            blocks: (token,), numbered from 0 (default: nothing is left out).
        """
        centred = _centred(states)
        kept = np.ones((1, len(states)))
        if blocks is None:
            blocks = np.zeros(len(states), dtype=int)
        else:
            without = blocks != np.arange(blocks.max() + 1)[:, None]
            kept = np.concatenate([kept, without])
        diagonal = (centred**2).sum(1)
        rows = kept * (kept @ centred @ centred.T - diagonal)
        exact = states.dtype if states.dtype == np.float32 else float
        return Kernel(centred.astype(exact), blocks, kept, diagonal, rows)


def hsic(first: Kernel, second: Kernel) -> np.ndarray:
    """Unbiased HSIC (Song et al. 2012, equation 5): (1 + block,), as the rows of `Kernel.kept`."""
    n = first.kept.sum(1)
    alike = first.kept @ (first.diagonal * second.diagonal)
    trace = _products(first, second) - alike
    sums = first.rows.sum(1) * second.rows.sum(1)
    crossed = (first.rows * second.rows).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = trace + sums / ((n - 1) * (n - 2)) - 2 / (n - 2) * crossed
        return np.where(n >= MIN_TOKENS, value / (n * (n - 3)), np.nan)


def cka(cross: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """CKA from the HSIC of two representations with each other and of each with itself."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.sqrt(first * second)
        return np.where((first > 0) & (second > 0), cross / size, np.nan)


def rsa(first: np.ndarray, second: np.ndarray) -> float:
    """Representational similarity: Spearman's ρ of the dissimilarities of all pairs of tokens.

    Kriegeskorte et al. 2008. A dissimilarity is 1 minus the cosine of two states after the mean
    over tokens is taken off, so that a direction shared by all of them counts for nothing.

    Args:
        first, second: (token, hidden); the widths may differ.
    """
    return float(dissimilarity_ranks(first) @ dissimilarity_ranks(second))


def dissimilarity_ranks(states: np.ndarray) -> np.ndarray:
    """Average ranks of the dissimilarities (pair,), centred and of length 1.

    The product of two is Spearman's ρ.
    """
    centred = _centred(states)
    with np.errstate(invalid="ignore"):
        directions = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        cosines = (directions @ directions.T)[np.triu_indices(len(states), k=1)]
        ranks = rankdata(-cosines)
        ranks -= ranks.mean()
        return ranks / np.linalg.norm(ranks)


def permuted_rsa(
    first: np.ndarray, second: np.ndarray, group: int, *, draws: int, seed: int
) -> np.ndarray:
    """RSA with the units of `second` permuted, as the Mantel test asks (Mantel 1967).

    Args:
        first, second: (layer, pair), from `dissimilarity_ranks`.
        group: how many tokens each unit has; they lie side by side and stay together.

    Returns:
        (draw, layer of first, layer of second); all pairs of layers share the permutations.
    """
    generator = np.random.default_rng(seed)
    square = np.stack([squareform(ranks, checks=False) for ranks in second])
    tokens = square.shape[-1]
    upper = np.triu_indices(tokens, k=1)
    places = np.arange(tokens).reshape(-1, group)
    found = []
    for _ in range(draws):
        order = generator.permutation(places).ravel()
        found.append(first @ square[:, order[upper[0]], order[upper[1]]].T)
    return np.stack(found)


def jackknife_interval(estimates: np.ndarray) -> tuple[float, float]:
    """A 95 % interval from an estimate (first) and those with one block of units left out.

    Delete-a-group jackknife with Student's t (Kott 2001). Not the bootstrap: it would draw a
    token twice, and pairs of copies make an unbiased estimator biased.
    """
    value, without = estimates[0], estimates[1:]
    blocks = len(without)
    if blocks < 2 or not np.isfinite(without).all():
        return np.nan, np.nan
    spread = (blocks - 1) / blocks * ((without - without.mean()) ** 2).sum()
    half = student.ppf(0.5 + LEVEL / 2, blocks - 1) * np.sqrt(spread)
    return float(value - half), float(min(value + half, 1.0))


def _products(first: Kernel, second: Kernel) -> np.ndarray:
    """‖XᵀY‖² for all tokens and without each block: (1 + block,)."""
    whole = first.states.T @ second.states
    found = [_squares(whole)]
    for block in range(len(first.kept) - 1):
        inside = first.blocks == block
        found.append(_squares(whole - first.states[inside].T @ second.states[inside]))
    return np.array(found)


def _squares(matrix: np.ndarray) -> float:
    return float((matrix**2).sum(dtype=float))


def _centred(states: np.ndarray) -> np.ndarray:
    return states.astype(float) - states.mean(0, dtype=float)
