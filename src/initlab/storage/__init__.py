"""A sweep's folder: how it is written, and how it is read from a stranger."""
