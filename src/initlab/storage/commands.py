"""The commands of a sweep: under which code, and on which machine, each of its runs was trained.

    commands(description)                    # as sweep.json has them, oldest first; a record has their numbers
    shares(records, description)             # ["8 of 12 runs under commit 3f2a91c07d44", "4 under commit 9c1b0e..."]
    changes(one, other)                      # ["torch 2.12.0 -> 2.13.0", "uncommitted changes"]

A command that goes on under the code, the versions and the device of the last one is that command once more.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from initlab.storage.journal import Record

Command = Mapping[str, Any]
MAKING = ("versions", "device", "plugins")  # name -> value; and git


def commands(description: Mapping[str, Any]) -> list[Command]:
    return [*description.get("earlier", []), description]


def numbers(record: Record, description: Mapping[str, Any]) -> list[int]:
    """Of the commands under which a run was trained: several where it was stopped, none where nobody noted it."""
    found: list[int] = record.get("commands", [] if "earlier" in description else [0])
    return found


def same_making(one: Command, other: Command) -> bool:
    return all((one.get(part) or {}) == (other.get(part) or {}) for part in (*MAKING, "git"))


def changes(one: Command, other: Command) -> list[str]:
    """What differs between two commands in versions, device and code."""
    found = []
    for part in MAKING:
        was, is_ = one.get(part) or {}, other.get(part) or {}
        found += [f"{n} {was.get(n)} -> {is_.get(n)}" for n in {**was, **is_} if was.get(n) != is_.get(n)]
    was, is_ = one.get("git") or {}, other.get("git") or {}
    if was.get("commit") != is_.get("commit"):
        found.append(f"commit {str(was.get('commit'))[:12]} -> {str(is_.get('commit'))[:12]}")
    if was.get("diff") != is_.get("diff"):
        found.append("uncommitted changes")
    return found


def makings(description: Mapping[str, Any]) -> list[str]:
    """Of each command its code in words, and in what else the commands of this sweep differ."""
    every = commands(description)
    apart: dict[str, list[Any]] = {}
    for part in MAKING:
        held = [command.get(part) or {} for command in every]
        for name in dict.fromkeys(name for one in held for name in one):
            if len({str(one.get(name)) for one in held}) > 1:
                apart[name] = [one.get(name) for one in held]
    return [", ".join([_code(c), *(f"{n} {found[i]}" for n, found in apart.items())]) for i, c in enumerate(every)]


def _code(command: Command) -> str:
    git = command.get("git") or {}
    if not git.get("commit"):
        return "no known commit"
    changed = hashlib.sha256(git["diff"].encode(errors="surrogatepass")).hexdigest()[:8] if git.get("diff") else ""
    return f"commit {git['commit'][:12]}{f' with changes ({changed})' if changed else ''}"


def of_each(records: Iterable[Record], description: Mapping[str, Any]) -> list[str]:
    """Under what each run was trained, in words."""
    words = makings(description)
    made = (dict.fromkeys(words[i] for i in numbers(record, description)) for record in records)
    return [" and then ".join(found) or "a command that was not noted" for found in made]


def shares(records: Sequence[Record], description: Mapping[str, Any]) -> list[str]:
    """How many of the runs were trained under what; none where it is the same for all."""
    counts = Counter(of_each(records, description))
    found = [f"{n}{'' if i else f' of {len(records)} runs'} under {word}" for i, (word, n) in enumerate(counts.items())]
    return found if len(found) > 1 else []
