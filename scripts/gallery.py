#!/usr/bin/env python
"""Run the gallery's claims and write one page of their verdicts: python scripts/gallery.py [NAME...] [--at-init]

Each claim is an experiment with the section `claim`, and is run in a process of its own, as many at once as there are
cores; what was run is not run again. With --controls each is also run
under its negative control, which must flip the verdict. The page is outputs/gallery/index.html.

Exit codes: 1 a verdict is not the one that the experiment's file records, or a control does not flip; else those of
the command: 2 refused, 74 disk, 75 folder in use, 128 + n signal n.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))  # a checkout works without being installed

from initlab import command
from initlab.claiming.gallery import Entry, write
from initlab.claiming.growth import Make
from initlab.errors import Refused, unknown
from initlab.executors import zygote
from initlab.executors.forks import side_by_side
from initlab.planning import plan as planning
from initlab.planning.compose import Composer
from initlab.planning.plan import Plan
from initlab.reporting import report
from initlab.training import interrupts

ROOT = Path(__file__).resolve().parent.parent
FEW = 5  # updates, as good as none


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims; all by default")
    parser.add_argument("--at-init", action="store_true", help=f"only claims that train nothing, or {FEW} updates")
    parser.add_argument("--controls", action="store_true", help="run the negative controls too")
    parser.add_argument("--shift", type=int, default=0, metavar="N", help="add N to every seed")
    parser.add_argument("--no-reports", action="store_true", help="leave out each claim's own report")
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder of experiments of your own")
    parser.add_argument("--out", type=Path, default=Path("outputs/gallery"), metavar="DIR")
    args = parser.parse_args(argv)
    words = sys.argv[1:] if argv is None else argv
    return command.answered(lambda: _gallery(args, words), words)


def _gallery(args: argparse.Namespace, words: Sequence[str]) -> int:
    report.check()
    composer = Composer(ROOT / "conf", extra=args.config_dir)  # what it has read serves all claims
    zygote.load()  # takes long: once, before the forks
    entries = []
    for entry in side_by_side(partial(_entry, composer, args), list(_chosen(args))):
        print(_said(entry), flush=True)
        entries.append(entry)
    print(write(entries, args.out, " ".join(["python scripts/gallery.py", *words])))
    return int(any(not entry.as_recorded or entry.flipped is False for entry in entries))


def _chosen(args: argparse.Namespace) -> Iterator[str]:
    """The names of the claims to run. Raises Refused for a name that is none."""
    known = {}
    for folder in (ROOT / "conf", *([args.config_dir] if args.config_dir else [])):
        for path in sorted((folder / "experiment").glob("*.yaml")):
            said = yaml.safe_load(path.read_text(encoding="utf-8"))
            if isinstance(said, dict) and "claim" in said:
                known[path.stem] = said.get("trainer", {}).get("max_steps", math.inf) <= FEW
    for name in args.names or known:
        if name not in known:
            raise unknown(name, name, known, "claim")
        if known[name] or not args.at_init:
            yield name


def _said(entry: Entry) -> str:
    flips = {None: "", True: ", and its control flips", False: ", and its control DOES NOT flip"}[entry.flipped]
    recorded = "" if entry.as_recorded else f" (its file records: {entry.found.claim.found})"
    return f"{entry.name}: {entry.found.verdict}{recorded}{flips}"


def _entry(composer: Composer, args: argparse.Namespace, name: str) -> Entry:
    """A claim that has been run, reported and judged."""
    make = partial(planning.make, composer, multirun=True)
    words = [f"+experiment={name}"]
    plan = make(words)
    assert plan.claim is not None
    control = [*words, *plan.claim.control]
    if args.shift:
        seeds = next(axis.values for axis in plan.axes if axis.name == "seed")
        shifted = f"seed={','.join(str(seed + args.shift) for seed in seeds)}"
        words, control = [*words, shifted], [*control, shifted]
        plan = make(words)
    folder = _run(name, plan, make, words, args)
    other = _run(f"{name}-control", make(control), make, control, args) if args.controls else None
    entry = Entry(name, folder, other)
    if not args.no_reports:
        report.write([folder])
    _said(entry)  # here and not where it comes together
    return entry


def _run(name: str, plan: Plan, make: Make, words: Sequence[str], args: argparse.Namespace) -> Path:
    """Run a claim's sweep where it is not done yet, in a folder of its own. Raises what stops the command."""
    folder = args.out / f"{name}-{plan.id[:8]}"
    own = ["--config-dir", str(args.config_dir)] if args.config_dir else []
    argv = ["-m", *own, *words, f"hydra.sweep.dir={folder}"]
    with contextlib.redirect_stdout(io.StringIO()):
        if command.decide(ROOT, replace(plan, folder=folder), make, words, argv):
            raise Refused(f"{name}: some of its runs failed. python scripts/status.py {folder} says why.")
    return folder


if __name__ == "__main__":
    interrupts.catch()
    sys.exit(main())
