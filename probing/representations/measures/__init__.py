"""More than accuracy: description length, usable information, learning curves."""
