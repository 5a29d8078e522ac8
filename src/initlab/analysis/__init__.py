"""Runs on the disk -> cells, compared."""
