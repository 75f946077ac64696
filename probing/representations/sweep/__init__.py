"""Tasks, layers, probes, controls and seeds in one run, with their statistics."""
