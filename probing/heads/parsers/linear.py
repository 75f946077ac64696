"""The attention-only parser: a weight for each head and direction (Clark et al. 2019, 5)."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from scipy.optimize import minimize
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .features import ParserInput
from .objective import Objective
from .training import attachment, hold_out
from .trees import best_candidates

#: Strengths of the L2 penalty to choose from.
STRENGTHS = (1e-1, 1e-2, 1e-3)
#: The search stops when the gradient is no longer than this, in nats a word and deviation.
TOLERANCE = 1e-5
#: As far as weights of one standard deviation go in practice; a bad model of the loss shrinks it.
_FIRST_STEP, _LONGEST_STEP = 5.0, 1000.0


class AttentionParser(BaseEstimator):
    """p(i | j) ∝ exp(Σ_k w_k α^k_ij + u_k α^k_ji) for the candidate head i of word j.

    α_ij is the attention from i to j, so w weighs `head_to_dependent` and u `dependent_to_head`.
    ROOT has weights of its own on the attention from j to [CLS] and [SEP], and a bias. The loss
    is convex; Newton steps in a trust region find its minimum. The strength of the penalty, on
    weights of features divided by their standard deviation, is the one of the best UAS on a
    held-out fifth of the sentences (the strongest of equals); all sentences are then fitted.

    Args:
        strengths: of the L2 penalty, beside the mean loss a word.
        seed: of the split.

    Attributes:
        strength_: the one chosen.
        weights_: (direction, head), in the order of `DIRECTIONS`, on attention as it is.
        special_weights_: (special, head).
        bias_: of ROOT.
        deviations_: (direction, head), standard deviation of attention among candidates.
        gradient_: length of the gradient where the search stopped.
    """

    def __init__(self, strengths: tuple[float, ...] = STRENGTHS, seed: int = 0) -> None:
        self.strengths = strengths
        self.seed = seed

    def fit(self, X: Sequence[ParserInput], y: None = None) -> Self:
        """Choose the strength of the penalty, then fit."""
        strengths = sorted(self.strengths, reverse=True)
        fitted, held = hold_out(X, self.seed)
        start: np.ndarray | None = None
        self.strength_ = strengths[0]
        if held and len(strengths) > 1:
            objective, best = Objective.of(fitted), -1.0
            for strength in strengths:
                # Each minimum is where the search for that of the next, weaker penalty starts.
                start = self._minimise(objective, strength, start)
                reached = attachment(self.scores, held)
                if reached > best:
                    self.strength_, best = strength, reached
            del objective
        self._minimise(Objective.of(X), self.strength_, start)
        return self

    def scores(self, sentence: ParserInput) -> np.ndarray:
        """Log-odds of the candidates of each word, up to a constant a word: (word, candidate)."""
        check_is_fitted(self)
        maps, specials = sentence.maps.double().numpy(), sentence.specials.double().numpy()
        to_head, to_dependent = np.tensordot(self.weights_, maps, 1)
        root = np.tensordot(self.special_weights_, specials, 2) + self.bias_
        return np.column_stack([root, to_head + to_dependent.T])

    def predict(self, X: Sequence[ParserInput]) -> list[np.ndarray]:
        """The best head of each word, per sentence (word,), -1 for ROOT."""
        return [best_candidates(self.scores(sentence)) for sentence in X]

    def _minimise(
        self, objective: Objective, strength: float, start: np.ndarray | None
    ) -> np.ndarray:
        found = minimize(
            objective.loss,
            np.zeros(objective.size) if start is None else start,
            args=(strength,),
            jac=True,
            hess=objective.curvature,
            method="trust-exact",
            options={
                "gtol": TOLERANCE, "maxiter": 200,
                "initial_trust_radius": _FIRST_STEP, "max_trust_radius": _LONGEST_STEP,
            },
        )  # fmt: skip
        words, specials = found.x[:-1].reshape(2, 2, -1)
        self.weights_ = words / objective.deviations
        self.special_weights_ = specials / objective.special_deviations
        self.bias_ = float(found.x[-1])
        self.deviations_ = objective.deviations
        self.gradient_ = float(np.linalg.norm(found.jac))
        return np.asarray(found.x)
