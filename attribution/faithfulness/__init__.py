"""Faithfulness: whether scores say what the prediction rests on."""

from .curves import CURVES, Curves, curves
from .drops import FRACTIONS, comprehensiveness
from .erasure import ADVANTAGE, AVERAGES, DEYOUNG, faithfulness
from .infidelity import PERTURBATIONS, infidelity
from .randomisation import MARGIN, MODES, parameter_randomisation
from .rankings import BASELINES, FLOOR, RANKED, REVERSED
from .sensitivity import sensitivity
from .soft import soft_faithfulness

__all__ = [
    "ADVANTAGE",
    "AVERAGES",
    "BASELINES",
    "CURVES",
    "DEYOUNG",
    "FLOOR",
    "FRACTIONS",
    "MARGIN",
    "MODES",
    "PERTURBATIONS",
    "RANKED",
    "REVERSED",
    "Curves",
    "comprehensiveness",
    "curves",
    "faithfulness",
    "infidelity",
    "parameter_randomisation",
    "sensitivity",
    "soft_faithfulness",
]
