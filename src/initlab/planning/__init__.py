"""The words of a command -> a plan: composition as Hydra does it, axes, runs, stacks, a folder. Nothing is written."""
