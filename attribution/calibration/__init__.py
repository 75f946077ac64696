"""Models whose evidence is known: which methods find it."""
