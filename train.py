#!/usr/bin/env python
"""Train one run, or with -m a sweep: python train.py -m init=xavier,kaiming act=relu,tanh. See --help and README.md."""

import sys

try:
    import os
    from pathlib import Path

    ROOT = Path(__file__).resolve().parent
    sys.path.insert(0, str(ROOT / "src"))  # so that a checkout works without being installed

    from initlab.training import interrupts

    interrupts.catch()  # first of all
except KeyboardInterrupt:  # which Ctrl-C is to Python, as long as nobody answers it
    sys.exit(130)

from initlab.command import main

if __name__ == "__main__":
    code = main(ROOT, sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # nothing is left to do, and taking torch apart takes longer than the rest of an exit
