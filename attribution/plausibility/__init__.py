"""Agreement with human rationales, which is not faithfulness."""
