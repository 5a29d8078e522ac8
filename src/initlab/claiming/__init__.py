"""Claims: what is declared before a run, and the verdict on it."""
