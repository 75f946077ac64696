"""Use, not just presence: what a model loses when a property is erased from its states."""
