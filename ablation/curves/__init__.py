"""What a model can do as its heads are removed one after another."""
