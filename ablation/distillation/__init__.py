"""Which heads of a teacher its student kept."""
