#!/usr/bin/env python
"""Will this net train? python scripts/probe.py arch.depth=30 init=xavier act=relu; with -m a grid. See docs/probe.md.

Nothing is trained. What was found goes to outputs/probe-<name>/<run>/: probe.json, probe.svg, probe.png, and events.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))  # so that a checkout works without being installed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--multirun", action="store_true", help="probe every combination of the values")
    parser.add_argument("overrides", nargs="*", help="as train.py takes them")
    args = parser.parse_intermixed_args()

    from initlab.command import answered
    from initlab.measuring.probe_command import run

    def work() -> int:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # so few rows are done before a second thread is awake
        for words in run(ROOT, args.overrides, args.multirun):
            print(words, flush=True)
        return 0

    return answered(work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
