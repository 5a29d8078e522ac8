"""The command: words in, an exit code out. It owns the order of things, and what is heavy is imported beside it.

    plan (Hydra's grammar and composition) -> the folder's state -> training -> the table, read from the disk

Exit codes: 0 all done or diverged, 2 refused before training, 3 some runs failed, 74 disk, 75 folder in use, 128 + n
signal n.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from initlab.errors import FolderInUse, Refused, printable
from initlab.executors import zygote
from initlab.storage import disk
from initlab.training import interrupts
from initlab.training.interrupts import Interrupted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from initlab.planning.plan import Plan

DISK_ERRORS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.ENAMETOOLONG),
}


def main(root: Path, argv: Sequence[str]) -> int:
    """Carry out ``train.py argv``; ``root`` holds conf/. Returns the exit code."""
    return answered(lambda: _main(root, list(argv)), argv)


def answered(work: Callable[[], int], argv: Sequence[str]) -> int:
    """The exit code of some work, what stops it told in a line."""
    # torch's threads would wait for each other busily: beside another busy process that costs a small net a
    # hundredfold. OpenMP reads this when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        code = work()
        sys.stdout.flush()  # here, where a broken pipe is answered
        return code
    except Refused as refusal:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"refused: {printable(' '.join(str(refusal).splitlines()))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read our words has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except FolderInUse as error:
        print(f"busy: {error}", file=sys.stderr)
        return 75
    except OSError as error:
        if error.filename is None and error.errno not in DISK_ERRORS:
            raise
        print(f"disk: {_fault(error)}. The same command goes on once this is mended.", file=sys.stderr)
        return 74
    except Interrupted as stopped:
        print(interrupts.words(stopped.number, argv, stopped.kept), end="", file=sys.stderr)
        return 128 + stopped.number
    except KeyboardInterrupt:  # of a script that keeps nothing
        return 128 + signal.SIGINT


def _main(root: Path, argv: list[str]) -> int:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    parser.error = _refuse_flags  # type: ignore[method-assign]
    args = parser.parse_intermixed_args(argv)
    if args.experimental_rerun:
        raise Refused("--experimental-rerun: reads a pickle, which can run any code; initlab does not.")
    if args.config_path:
        raise Refused("--config-path: the configs of initlab are its own; add a folder with --config-dir.")
    if args.multirun and (args.cfg or args.info):
        raise Refused("-m --cfg: a sweep has no one config. See its runs with sweep.dry_run=true, or leave out -m.")
    asked = {"-m": args.multirun, "--run": args.run, "--cfg": args.cfg, "--info": args.info}
    asked["--shell-completion"] = args.shell_completion
    if len(given := [flag for flag, there in asked.items() if there]) > 1:
        raise Refused(f"{' '.join(given)}: each asks for something else; give one of them.")
    if (args.resolve or args.package) and not (args.cfg or args.help):
        raise Refused("--resolve, --package: belong to --cfg job, which shows a config.")

    from initlab import plugins
    from initlab.planning.compose import Composer

    args.overrides, modules = plugins.taken_out(args.overrides)
    plugins.load(modules)
    config_dir = Path(args.config_dir) if args.config_dir else None
    composer = Composer(root / "conf", args.config_name or "config", config_dir)
    if args.help or args.hydra_help or args.cfg or args.info or args.shell_completion:
        return _information(root, composer, args, parser)
    return _train(root, composer, args, argv)


def _refuse_flags(message: str) -> NoReturn:
    raise Refused(f"{message}. See --hydra-help for the flags; overrides are written key=value.")


def _information(root: Path, composer: Any, args: Namespace, parser: ArgumentParser) -> int:
    """--help, --cfg, --info and the like are Hydra's own, once our refusals are through."""
    from hydra._internal.utils import _run_hydra

    if args.shell_completion and not any(
        word.startswith(("install=", "uninstall=", "query=")) for word in args.overrides
    ):
        raise Refused("--shell-completion: needs install=SHELL or uninstall=SHELL, of bash, zsh or fish.")
    if not args.shell_completion:
        composer.compose(composer.parse(args.overrides))

    def show(_: Any) -> None:
        raise AssertionError("these flags run nothing")

    if args.hydra_help:
        args.overrides = []  # they are of our config, and that page is composed without it
    # As hydra.main does, but for its parser, which takes no words on both sides of a flag.
    _run_hydra(args, parser, show, config_path=str(root / "conf"), config_name="config")
    return 0


def _train(root: Path, composer: Any, args: Namespace, argv: list[str]) -> int:
    from initlab.planning import plan as planning

    def make(words: Sequence[str]) -> Plan:
        return planning.make(composer, words, args.multirun)

    with nullcontext() if "sweep.dry_run=true" in args.overrides else zygote.ahead():
        return decide(root, make(args.overrides), make, args.overrides, argv)


def decide(root: Path, plan: Plan, make: Callable[[Sequence[str]], Plan], words: Sequence[str], argv: list[str]) -> int:
    """Carry out a plan that was made of these words; while its claim has no verdict, with more seeds. Returns the exit
    code; where it is stopped it raises Refused, FolderInUse, OSError, Interrupted."""
    from initlab.claiming import growth

    going: Plan | None = growth.resumed(make, words, plan)
    code = 0
    while going is not None:
        code = _carry_out(root, going, argv)
        going = growth.doubled(make, words, going) if _is_open(going) else None
    return code


def _is_open(plan: Plan) -> bool:
    """Say whether the sweep's claim holds, if it has one; whether more seeds could tell."""
    if plan.claim is None or plan.options["dry_run"]:
        return False
    from initlab.claiming.judging import judge
    from initlab.storage.folder import read
    from initlab.views import tables

    found = judge(plan.claim, [read(plan.folder)])
    print(f"\n{tables.judgement(found)}", flush=True)
    return found.verdict == "inconclusive"


def _carry_out(root: Path, plan: Plan, argv: list[str]) -> int:
    from initlab.executors import layout
    from initlab.storage import store
    from initlab.views import tables

    store.check(plan)
    layout.check(plan.options)
    if plan.options["report"]:
        from initlab.reporting import report

        report.check(plan.folder / "report")
    if any(_needs_torch_to_check(run.config) for run in plan.runs):
        from initlab.training.preflight import check

        check(plan)
    print(tables.summary(plan), flush=True)
    if plan.options["dry_run"]:
        print(tables.dry_run(plan))
        return 0
    if store.finished(plan):
        from initlab.views import hparams

        store.write_roles(plan)
        store.write_table(plan.folder)  # a crash may have come between the last commit and these
        hparams.write(plan.folder)
        print("all of them are done already; sweep.fresh=true starts anew.")
        if plan.options["probe"] and (count := tables.unprobed(plan.folder)):
            print(f"sweep.probe: not probed, as a probe is of a net before its training: {count} of them.")
    else:
        _run(root, plan, argv)
    print(f"\n{tables.results(plan.folder)}")
    if plan.options["report"]:
        print(f"report:  {report.write([plan.folder])}")
    return _exit_code(plan)


def _needs_torch_to_check(config: Mapping[str, Any]) -> bool:
    """Whether only the net, which rules are matched against and code of the user's makes, or the machine can tell."""
    from initlab.specs import GROUPS

    own = any("plugin" in GROUPS[group][config[group]["name"]].facts for group in ("arch", "act", "init"))
    trainer = config["trainer"]
    return own or bool(config["init"]["rules"]) or trainer["accelerator"] == "gpu" or trainer["precision"] == "tf32"


def _run(root: Path, plan: Plan, argv: list[str]) -> None:
    from initlab.storage.store import Store
    from initlab.views import tables

    def describe() -> dict[str, Any]:
        from initlab.executors.layout import arranged
        from initlab.storage.record import describe

        found = describe(root, argv)
        found["device"]["threads"] = arranged(plan.options, plan.stacks, len(plan.stacks), None).threads
        return found

    with Store.open(plan, describe) as store:  # a second starter is told before it waits for torch
        from initlab.training import sweep

        try:
            sweep.run(store)
        except Interrupted as stopped:
            stopped.kept = tables.kept(plan.folder, len(plan.runs))
            raise


def _exit_code(plan: Plan) -> int:
    from initlab.storage.folder import read

    return 3 if any(record["status"] == "failed" for record in read(plan.folder).records) else 0


def _fault(error: OSError) -> str:
    """What a failing disk says, of which file, and how much room there is."""
    place = Path(error.filename) if error.filename else None
    free = disk.free(place) if place else None
    room = "" if free is None else f" ({free:,} bytes free)"
    return f"{error.strerror}: {place or 'the output'}{room}"
