"""What this folder refuses."""

from ..errors import BertologyError


class AttributionError(BertologyError):
    """A target the model does not have, or scores that cannot be computed from what was given."""
