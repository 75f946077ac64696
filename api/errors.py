"""The exceptions bertology raises on purpose.

Every message says what was given, what was expected and what to do.
"""


class BertologyError(Exception):
    """Base of every error bertology raises on purpose; catch this one."""


class CorpusError(BertologyError):
    """Text or annotation that cannot be read."""


class ModelError(BertologyError):
    """A model or tokenizer that cannot be found, loaded or used."""


class CaptureError(BertologyError):
    """Attention that cannot be captured exactly."""


class AttributionError(BertologyError):
    """A target, text or score that cannot be explained."""


class FigureError(BertologyError):
    """A result that a figure cannot be drawn from."""


class OutputError(BertologyError):
    """An output folder or file that cannot be used."""
