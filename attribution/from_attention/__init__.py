"""Scores of words read from attention: raw, rolled out, by norm, decomposed."""
