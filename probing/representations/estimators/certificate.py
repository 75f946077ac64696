"""How far the objective of a logistic regression is from its minimum, at most: the duality gap.

For rows x_i with weights s_i, labels e_i (one-hot) and any probabilities p_i whose sum
Σ s_i p_i over the rows equals the weight of each class, the minimum of f is at least

    D(p) = C Σ s_i H(p_i) − ‖A‖²/2,   A = C Σ s_i (e_i − p_i) x_i',

with the entropy H in nats (Fenchel duality; the intercepts make the condition on the sum). At the
probabilities of the model itself f − D is ‖W − A‖²/2, half the squared gradient, once the condition
holds. Until then the surplus of each class goes to those that fall short: a class j whose
expected weight N_j is t_j N_j too large keeps (1 − t_j) p_ij in every row, and the rest is shared
out as q. For these probabilities, with the moved weight M = Σ t_j N_j,

    Σ s_i H(p'_i) ≥ Σ s_i H(p_i) − Σ t_j N_j ln(Σ s_i / N_j) − M + M H(q),

as knowing which part of p' a unit of weight belongs to only lowers its entropy, and as −p ln p
is concave.
"""

import torch


def duality_gap(
    C: float,
    theta: torch.Tensor,
    gradient: torch.Tensor,
    counts: torch.Tensor,
    sums: torch.Tensor,
) -> float:
    """A bound on how far the objective of one label set is above its minimum.

    Args:
        theta: weights and, last, intercepts, (columns, features + 1); one column for two classes.
        gradient: of the objective, (columns, features + 1).
        counts: weight of each class, (classes,).
        sums: weighted sum of the features of each class, (classes, features).
    """
    W, b = theta[:, :-1], theta[:, -1]
    # What is left of the classes' own sums after those that the model expects.
    rest, rest_counts = (W - gradient[:, :-1]) / C, -gradient[:, -1] / C
    if len(W) < len(counts):
        rest, rest_counts = torch.cat([-rest, rest]), torch.cat([-rest_counts, rest_counts])
    # What one class has too much the others lack, but for rounding.
    rest_counts = rest_counts - rest_counts.mean()
    expected = counts - rest_counts
    surplus, lack = (-rest_counts).clamp(min=0), rest_counts.clamp(min=0)
    moved = surplus.sum()
    A = C * rest[-len(W) :]
    if min(moved, lack.sum()) == 0:
        return float((W - A).square().sum() / 2)
    q, share = lack / lack.sum(), surplus / expected
    expected_sums = sums - rest
    change = q[:, None] * (share @ expected_sums) - share[:, None] * expected_sums
    feasible = A - C * change[-len(W) :]
    lost = (surplus * torch.log(counts.sum() / expected)).sum() + moved * (
        1 + torch.xlogy(q, q).sum()
    )
    gap = (W - feasible).square().sum() / 2 + (W * (feasible - A)).sum()
    return float(gap + C * (lost - (b * rest_counts[-len(W) :]).sum()))
