"""Scores of words against a human rationale (DeYoung et al. 2020, ERASER, section 4.1)."""

import numpy as np
from sklearn.metrics import auc, average_precision_score, precision_recall_curve

#: A predicted span matches one of the rationale if they share this part of their union.
MATCH = 0.5


def token_f1(predicted: np.ndarray, rationale: np.ndarray) -> float:
    """F1 of the predicted words, both (word,) bool; 0 where they share none."""
    shared = int((predicted & rationale).sum())
    return 2 * shared / max(int(predicted.sum()) + int(rationale.sum()), 1)


def iou_f1(predicted: np.ndarray, rationale: np.ndarray) -> float:
    """F1 of spans of neighbouring words, which match if intersection over union is ≥ .5."""
    own, gold = spans(predicted), spans(rationale)
    if not own or not gold:
        return 0.0
    overlap = np.array([[_iou(a, b) for b in gold] for a in own])
    precision = (overlap.max(1) >= MATCH).mean()
    recall = (overlap.max(0) >= MATCH).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def precision_recall_area(scores: np.ndarray, rationale: np.ndarray) -> float:
    """Average precision, the step-wise area under the precision–recall curve.

    NaN where all words, or none, are in the rationale.
    """
    if rationale.all() or not rationale.any():
        return float("nan")
    return float(average_precision_score(rationale, scores))


def area_under_curve(scores: np.ndarray, rationale: np.ndarray) -> float:
    """ERASER's area, by trapezoids, which can be larger or smaller than average precision.

    As in the released code texts whose words are all in the rationale count (with 1); without a
    rationale it is NaN.
    """
    if not rationale.any():
        return float("nan")
    precision, recall, _ = precision_recall_curve(rationale, scores)
    return float(auc(recall, precision))


def spans(marked: np.ndarray) -> list[tuple[int, int]]:
    """Runs of marked words, ends exclusive."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.astype(int), [0]])))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _iou(first: tuple[int, int], second: tuple[int, int]) -> float:
    shared = max(0, min(first[1], second[1]) - max(first[0], second[0]))
    return shared / (first[1] - first[0] + second[1] - second[0] - shared)
