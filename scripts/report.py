#!/usr/bin/env python
"""The report of one or several sweeps: python scripts/report.py SWEEP_DIR... [--out DIR] [--metric NAME]

Writes SWEEP_DIR/report: index.html, one file that needs nothing else; report.md; tables/ as csv and TeX; figures/ as
SVG and PDF. Several sweeps become one report, in the folder that --out names. Needs no GPU, no network and no torch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from initlab.command import answered
from initlab.reporting.report import write


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="SWEEP_DIR", help="a sweep's folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write; SWEEP_DIR/report by default")
    parser.add_argument("--metric", help="compare by this metric, such as loss, in place of the runs' own")
    args = parser.parse_args()

    def work() -> int:
        print(write(args.folders, args.out, args.metric))
        return 0

    return answered(work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
