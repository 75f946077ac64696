"""What a probe is measured against: lookups, control tasks, randomised models."""
