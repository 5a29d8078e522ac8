#!/usr/bin/env python
"""Do layers change alike at every width? python scripts/coordinates.py init=mup optimizer=adam optimizer.lr=0.003

The coordinate check of Yang et al. 2022, appendix D.1: how much each layer's output changes in the first updates, by
width, and the slope of its logarithm. Exit code 0 if all slopes are within the tolerance of 0, 1 if not, 2 if refused.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))  # so that a checkout works without being installed


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", default="64,128,256,512,1024", help="values of arch.width")
    parser.add_argument("--seeds", default="0,1,2,3,4", help="values of seed, averaged over")
    parser.add_argument("--steps", type=int, default=5, help="updates")
    parser.add_argument("--tolerance", type=float, default=0.2, help="of a slope, from 0")
    parser.add_argument("overrides", nargs="*", help="as train.py takes them")
    args = parser.parse_intermixed_args(words)

    from initlab import plugins
    from initlab.command import answered
    from initlab.planning import plan
    from initlab.planning.compose import Composer

    def work() -> int:
        overrides, modules = plugins.taken_out([*args.overrides, f"arch.width={args.widths}", f"seed={args.seeds}"])
        plugins.load(modules)
        made = plan.make(Composer(ROOT / "conf", "config", None), overrides, True)
        from initlab.measuring.coordinates import check  # torch and Lightning, once the plan stands

        tables = list(check(made, args.steps))
        flat = True
        for table in tables:
            flat &= table.flat(args.tolerance)
            print(f"{table.words()}\n{'flat' if table.flat(args.tolerance) else 'not flat'}\n")
        return 0 if flat else 1

    return answered(work, words or sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
