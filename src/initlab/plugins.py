"""Options from elsewhere: modules that are named on the command line, or installed under an entry point.

    python train.py -m plugins=my_schemes init=mine,xavier

Importing such a module runs it, and its `initlab.register_*` decorators add its options. That is code, so only who
types the command, or installs a package, can name one: no config file can (`plugins` is no field of a config). A named
module is looked for where Python looks, and then in the current folder: what is installed is never replaced by a file
that happens to lie there.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from initlab.errors import Refused

GROUP = "initlab.plugins"
WORD = "plugins="


def taken_out(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """(the other words, the modules named by plugins=module or plugins=[module,...]). Raises Refused."""
    named = [word for word in words if word.startswith(WORD)]
    if len(named) > 1:
        raise Refused(f"{' and '.join(named)}: give plugins once: plugins=[first,second].")
    modules = [name.strip() for word in named for name in word.removeprefix(WORD).strip("[]").split(",")]
    for name in modules:
        if not all(part.isidentifier() for part in name.split(".")):
            raise Refused(f"{WORD}{name}: is no module's name. Write plugins=my_module or plugins=[first,my.second].")
    return [word for word in words if not word.startswith(WORD)], modules


def load(modules: Iterable[str]) -> list[str]:
    """Import the installed plug-ins, then these modules; all their names. Raises Refused with the reason."""
    installed = [point.value for point in entry_points(group=GROUP)]
    named = list(modules)
    if named and (here := str(Path.cwd())) not in sys.path:  # the user named a module, and means this folder
        sys.path.append(here)
    if installed or named:
        pass
    for name in (*installed, *named):
        try:
            importlib.import_module(name)
        except Refused:
            raise
        except (Exception, SystemExit) as error:  # one that ends the process ends no command of ours
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise Refused(f"{WORD}{name}: cannot be imported. {reason[:300]}") from None
    return [*installed, *named]
