"""A stack of runs trained as one program."""
