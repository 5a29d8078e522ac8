"""Interpolations between values: whether a config can be put together in pieces before they are resolved.

Interpolations are resolved once all is merged, so pieces that Hydra merged apart resolve, together, as if Hydra had
merged them at once; unless something is merged or set below an interpolation, which then lands in what it points at,
or asks for its value while things are being set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hydra.core.override_parser.types import Override, OverrideType

Path = tuple[str, ...]


class Said(NamedTuple):
    """A value at a path, as a file or an override has it; ``plain`` if it just takes the place of what is there."""

    path: Path
    value: Any
    plain: bool


def linked(node: Any) -> bool:
    """Whether there is an interpolation in a value, or in a part of it."""
    return "${" in str(node)


def in_file(package: str | None, content: Any) -> Iterator[Said]:
    """What a file says below its package."""
    for path, value in _leaves(content, tuple(package.split(".")) if package else ()):
        yield Said(path, value, plain=value != "???")


def in_override(override: Override) -> Iterator[Said]:
    """What an override of a field sets, or removes."""
    value = override.value()
    plain = override.type is OverrideType.CHANGE and not isinstance(value, dict | list)
    for path, leaf in _leaves(value, tuple(override.key_or_group.split("."))):
        yield Said(path, leaf, plain)


def separable(said: Iterable[Said], overrides: Iterable[Override]) -> bool:
    """Whether nothing looks through an interpolation before the end: see above."""
    said = list(said)
    links = {each.path for each in said if linked(each.value)}
    if not links:
        return True
    times = Counter(each.path for each in said)
    below = any(each.path[:i] in links for each in said for i in range(len(each.path)))
    onto = any(each.path in links and not each.plain and times[each.path] > 1 for each in said)
    return not (below or onto or any(override.is_delete() for override in overrides))


def _leaves(node: Any, above: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(node, dict) and node:
        for key, child in node.items():
            yield from _leaves(child, (*above, str(key)))
    else:
        yield above, node
