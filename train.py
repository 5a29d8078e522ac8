#!/usr/bin/env python
"""Train one run, or with -m a sweep: python train.py -m init=xavier,kaiming act=relu,tanh. See --help and README.md."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "src"))  # so that a checkout works without being installed

from initlab.training import interrupts  # noqa: E402

interrupts.catch()  # first of all

from initlab.command import main  # noqa: E402

if __name__ == "__main__":
    code = main(ROOT, sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # nothing is left to do, and taking torch apart takes longer than the rest of an exit
