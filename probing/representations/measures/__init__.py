"""What is measured besides accuracy: description length, usable information, learning curves."""

from .curves import learning_curve
from .description_length import DescriptionLength, description_length
from .information import UsableInformation, usable_information

__all__ = [
    "DescriptionLength",
    "UsableInformation",
    "description_length",
    "learning_curve",
    "usable_information",
]
