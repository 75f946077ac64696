"""A part of the examples, for what is costly."""

import numpy as np

from ...corpora import Examples


def drawn(examples: Examples, most: int, seed: int) -> Examples:
    """At most `most` of the examples, drawn at random and kept in order."""
    count = len(examples)
    if count <= most:
        return examples
    chosen = np.random.default_rng(seed).choice(count, size=most, replace=False)
    kept = tuple(examples.examples[number] for number in sorted(chosen))
    return Examples(examples.name, kept, examples.sha256)
