"""The ways into attention: what a model is, and how each of its attention modules is reached."""
