"""Agreement with human rationales, which is not faithfulness."""

from .measures import area_under_curve, iou_f1, precision_recall_area, token_f1
from .revised import moved_evidence, revised_words
from .table import plausibility

__all__ = [
    "area_under_curve",
    "iou_f1",
    "moved_evidence",
    "plausibility",
    "precision_recall_area",
    "revised_words",
    "token_f1",
]
