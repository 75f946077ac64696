"""Every attribution method by name, with what can be said of it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .deeplift import deeplift
from .draws import random_scores
from .gradients import gradient_norm, input_x_gradient
from .integrated import integrated_gradients
from .occlusion import leave_one_out, leave_one_token_out, occlusion
from .relevance import attn_lrp, cp_lrp
from .sampled import gradient_shap, smoothgrad
from .surrogates import kernel_shap, lime


@dataclass(frozen=True)
class Method:
    """One attribution method.

    `run(model, encodings, goals, *, seed, …)` returns one score per token of each text (token,).
    Special tokens and masked words have 0 where words are taken away, and their own scores where
    gradients are taken.
    """

    run: Callable[..., list[np.ndarray]]
    unit: str
    """What is scored as a whole, `word` or `token`; the tokens of a word share its score."""
    complete: bool = False
    """Whether the scores of all tokens add up to f(x) − f(reference)."""
    stochastic: bool = False
    """Whether scores depend on the seed."""
    gradient: bool = False
    """Whether backward passes are needed."""
    signed: bool = True
    """Whether a negative score speaks against the target."""


METHODS = {
    "random": Method(random_scores, "token", stochastic=True),
    "gradient_norm": Method(gradient_norm, "token", gradient=True, signed=False),
    "input_x_gradient": Method(input_x_gradient, "token", gradient=True),
    "integrated_gradients": Method(integrated_gradients, "token", complete=True, gradient=True),
    "smoothgrad": Method(smoothgrad, "token", stochastic=True, gradient=True),
    "gradient_shap": Method(gradient_shap, "token", stochastic=True, gradient=True),
    "deeplift": Method(deeplift, "token", complete=True, gradient=True),
    "lime": Method(lime, "word", stochastic=True),
    "kernel_shap": Method(kernel_shap, "word", complete=True, stochastic=True),
    "occlusion": Method(occlusion, "word"),
    "leave_one_out": Method(leave_one_out, "word"),
    "leave_one_token_out": Method(leave_one_token_out, "token"),
    "attn_lrp": Method(attn_lrp, "token", gradient=True),
    "cp_lrp": Method(cp_lrp, "token", gradient=True),
}


def unusable(scores: np.ndarray) -> str | None:
    """Why the scores of one text (token,) say nothing, or None if they say something."""
    if not np.isfinite(scores).all():
        return "a score is not finite"
    if not scores.any():
        return "every score is 0: the target does not change with the text (its gradient is zero)"
    return None
