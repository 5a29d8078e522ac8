#!/usr/bin/env python
"""Every registry as a table, made from the specs: python scripts/schemes.py [GROUP...] [--full] [--write]

Without --full a row is names, what the option is, and its own fields with their defaults; with it also the source and,
for schemes, what they assume and who else has them. --write renews the tables of README.md and docs/schemes.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from scripts.pages import table, update  # noqa: E402

from initlab.command import answered  # noqa: E402
from initlab.fields import Field, OneOf  # noqa: E402
from initlab.registry import Registry, Spec  # noqa: E402
from initlab.specs import GROUPS  # noqa: E402

README, FULL = ROOT / "README.md", ROOT / "docs" / "schemes.md"
FACTS = {"assumes": "assumes", "libraries": "elsewhere"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if args.write:
        update(README, parts(full=False))
        update(FULL, parts(full=True))
        return 0
    made = parts(args.full)
    print("\n\n".join(f"{group}\n\n{made[group]}" for group in args.groups or GROUPS))
    return 0


def parts(full: bool) -> dict[str, str]:
    """Group -> its table; if full, also the choices, and below it the fields that each of its options has."""
    return {group: options(registry, full) + (shared(registry) if full else "") for group, registry in GROUPS.items()}


def options(registry: Registry, full: bool) -> str:
    specs = list(registry.values())
    facts = {fact: title for fact, title in FACTS.items() if any(fact in spec.facts for spec in specs)} if full else {}
    header = ["option", "what it is", "own fields (default)", *(["source", *facts.values()] if full else [])]
    rows = []
    for spec in specs:
        row = [", ".join(f"`{name}`" for name in _names(registry, spec)), spec.doc, _own(registry, spec, full)]
        rows.append([*row, *([spec.source, *(str(spec.facts.get(fact, "")) for fact in facts)] if full else [])])
    return table(header, rows)


def shared(registry: Registry) -> str:
    if not registry.shared:
        return ""
    return (
        "\n\nEach has "
        + "; ".join(_field(name, field, choices=True, words=True) for name, field in registry.shared.items())
        + "."
    )


def _names(registry: Registry, spec: Spec) -> list[str]:
    return [spec.name, *(alias for alias, name in registry.aliases.items() if name == spec.name)]


def _own(registry: Registry, spec: Spec, full: bool) -> str:
    """The fields that an option adds, or whose default it changes."""
    fields = {name: f for name, f in spec.fields.items() if registry.shared.get(name) != f}
    return ", ".join(_field(name, field, choices=full) for name, field in fields.items())


def _field(name: str, field: Field, *, choices: bool, words: bool = False) -> str:
    among = ""
    if choices and isinstance(field.check, OneOf) and len(field.check.words) > 1:
        among = ": " + ", ".join("null" if word is None else word for word in field.check.words)
    told = f", {field.doc}" if words and field.doc else ""
    return f"`{name}` ({_plain(field.default)}{among}){told}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


if __name__ == "__main__":
    sys.exit(answered(main, sys.argv[1:]))
