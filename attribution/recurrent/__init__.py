"""The setting of the attention debate: one recurrent layer with attention over it."""
