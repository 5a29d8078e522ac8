#!/usr/bin/env python
"""Check on this machine's GPU what the tests prove on a CPU: python scripts/gpu_check.py [--quick]

    options      every option of the registries that training reads, in stacks of three, in float64: a stack has to
                 start from the CPU's weights, bit for bit, and to agree with each of its runs alone on the device and
                 with itself on the CPU, where the tests hold it equal to a plain program
    precisions   what tf32 and bf16 round, and that float32 is not rounded
    waiting      within an epoch the host waits for nothing
    replays      CUDA graphs give the numbers of updates without them
    widths       stacks of 1, 2 and 64, and a rehearsal
    commands     the command itself: one by one, as measured, on Ray; runs that diverge; stopped, and again

Without CUDA the same checks run on the CPU. Exit code 1: one failed.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from scripts.gpu_checks import commands, options, precisions, replays, waiting, widths  # noqa: E402
from scripts.gpu_checks.stacks import CPU, Checks  # noqa: E402

from initlab.command import answered  # noqa: E402
from initlab.errors import Refused  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="each option with its defaults only, and fewer commands")
    arguments, failed = parser.parse_args(), 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(torch.cuda.get_device_name() if device != CPU else "no CUDA on this machine: the same checks, on the CPU")
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}, lightning {version('lightning')}\n")
    for name, check in checks(device, arguments.quick):
        try:
            verdict, said = "pass", check()
        except Refused as refusal:  # options that do not go together, or not with these data, or not on this device
            verdict, said = "skip", str(refusal)
        except Exception as error:  # a check that breaks has failed; the others still tell something
            verdict, said = "FAIL", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        failed += verdict == "FAIL"
        print(f"{verdict}  {name:<52} {said}", flush=True)
    print(f"\n{failed} failed")
    return int(failed > 0)


def checks(device: torch.device, quick: bool) -> Checks:
    for part in (options, precisions, waiting, replays, widths, commands):
        yield from part.checks(device, quick)


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
