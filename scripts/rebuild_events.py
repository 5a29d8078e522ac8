#!/usr/bin/env python
"""Make TensorBoard's files of a sweep's runs again: python scripts/rebuild_events.py SWEEP_DIR...

They are a view of the curves and the journal, which have every number; a file that is lost or damaged comes back.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from initlab.command import answered
from initlab.reporting.rebuild import rebuild


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="SWEEP_DIR", help="a sweep's folder")
    folders = parser.parse_args().folders

    def work() -> int:
        for folder in folders:
            print(f"{folder}: {rebuild(folder)} runs")
        return 0

    return answered(work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
