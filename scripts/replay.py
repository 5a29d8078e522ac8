#!/usr/bin/env python
"""Train again from the record alone, and compare: python scripts/replay.py RUN_OR_SWEEP_DIR [--out DIR]

A run's folder (SWEEP_DIR/runs/NAME) replays that run, in the stack that it was trained in. Data of your own are read
where you say (dataset.path=FILE, dataset.root=DIR or dataset.data_home=DIR), and code of your own runs only if you name
it (plugins=my_module). Nothing is written to the folder that is replayed.

Exit codes: 0 every run is identical or within the tolerance, 3 some are different, 2 refused, 74 disk, 128 + n
signal n.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from initlab.command import answered
from initlab.errors import Refused, unknown
from initlab.reporting.wording import count
from initlab.storage.folder import read
from initlab.training import interrupts

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=Path, metavar="RUN_OR_SWEEP_DIR")
    parser.add_argument("words", nargs="*", metavar="WORD", help="dataset.path=FILE and the like, plugins=my_module")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep what is trained there")
    parser.add_argument("--tolerance", type=float, metavar="X", help="of a loss; by default 1e-4, in float64 1e-9")
    args = parser.parse_args()
    interrupts.catch()
    if args.out is not None:
        return answered(lambda: replay(args, args.out), sys.argv[1:])
    with tempfile.TemporaryDirectory() as scratch:
        return answered(lambda: replay(args, Path(scratch) / "again"), sys.argv[1:])


def replay(args: argparse.Namespace, out: Path) -> int:
    from initlab import plugins, replay
    from initlab.storage.record import describe

    folder, names = args.dir, []
    if not (folder / "sweep.json").exists() and folder.absolute().parent.name == "runs":
        folder, names = folder.absolute().parent.parent, [folder.absolute().name]
    if out.resolve().is_relative_to(folder.resolve()) or (out.exists() and any(out.iterdir())):
        raise Refused(f"--out {out}: lies in the folder that is replayed, or holds something. Give an empty one.")
    words, modules = plugins.taken_out(args.words)
    plugins.load(modules)
    then = read(folder)
    plan = replay.planned(then, out, names, places(words))
    now = replay.trained(
        plan, lambda: describe(ROOT, []) | {"command": then.description["command"]}, replay.threads(then, names)
    )
    found = [v for v in replay.verdicts(then, plan, now, args.tolerance) if not names or v.name in names]
    for verdict in found:
        print(f"{verdict.name}: {verdict.outcome}{': ' if verdict.first else ''}{verdict.first}")
    counts = Counter(verdict.outcome for verdict in found)
    print(f"{count(len(found), 'run')}: {', '.join(f'{n} {outcome}' for outcome, n in counts.items())}")
    for changed in replay.changes(then, now, [verdict.name for verdict in found]):
        print(f"changed: {changed}")
    return 3 if counts[replay.DIFFERENT] else 0


def places(words: list[str]) -> dict[str, str]:
    """dataset.path=FILE -> {"path": "FILE"}."""
    from initlab.replay import PLACES

    given = dict(word.partition("=")[::2] for word in words)
    known = {f"dataset.{place}": place for place in PLACES}
    for name in given:
        if name not in known:
            raise unknown(name, name, known, "word of a replay")
    return {known[name]: path for name, path in given.items()}


if __name__ == "__main__":
    sys.exit(main())
