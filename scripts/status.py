#!/usr/bin/env python
"""How far a sweep is: python scripts/status.py DIR. Reads the folder without disturbing who trains there.

Exit codes: 0 every run is done or diverged, 3 and some failed, 75 somebody trains, 1 nobody does and runs are left,
2 DIR is no sweep's folder, or its journal is damaged.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from initlab.command import answered
from initlab.views.status import status, words


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path)
    folder = parser.parse_args().dir

    def work() -> int:
        found = status(folder)
        print(words(found))
        return found.exit_code

    return answered(work, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
