"""Faithfulness: whether scores say what the prediction rests on."""

from .erasure import ADVANTAGE, FRACTIONS, RANKED, faithfulness

__all__ = ["ADVANTAGE", "FRACTIONS", "RANKED", "faithfulness"]
