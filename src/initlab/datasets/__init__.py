"""Data sets: an option in, three parts out. A plan asks for row counts and the fingerprint; a run loads the arrays.

    data = load(DATASETS.typed({"name": "digits"}))
    data.train.x                                        # float32 [1257, 1, 8, 8], read-only
    data.fingerprint                                    # SHA-256 of everything a run can see of it

A source makes `Rows` (`embedded`, `synthetic`, `sequences`, `images`, `arrays`, `openml`); `split` cuts and scales
them, the same for each. Randomness comes from `streams` alone. Numpy only: a plan reads the data, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import initlab.datasets.arrays
import initlab.datasets.embedded
import initlab.datasets.images
import initlab.datasets.openml
import initlab.datasets.sequences
import initlab.datasets.synthetic  # noqa: F401  (the sources join DATASETS)
from initlab.datasets.parts import Data, Part, Rows, Task
from initlab.datasets.split import counts, prepare
from initlab.errors import Refused
from initlab.specs import DATASETS

__all__ = ["Data", "Part", "Rows", "Task", "fingerprint", "load", "sizes"]

KEPT = 2**30  # bytes of data sets that stay in memory; the last one stays whatever its size
_kept: dict[str, Data] = {}
_fingerprints: dict[str, str] = {}


def load(option: Mapping[str, Any]) -> Data:
    """The data set of a complete option {name, fields...}.

    Those used last are kept, so that runs on the same data share its arrays, which are read-only for that reason.
    Raises Refused for an empty part, for files that are not as they should be, and for files that have changed since
    their fingerprint was taken.
    """
    key = _key(option)
    data = _kept.pop(key, None)
    if data is None:
        _known_sizes(option)  # refuses before anything is drawn
        data = prepare(_rows(option), option)
        if _fingerprints.setdefault(key, data.fingerprint) != data.fingerprint:
            raise Refused(f"dataset={option['name']}: its files have changed since this command read them first.")
    _kept[key] = data
    while len(_kept) > 1 and sum(map(_bytes, _kept.values())) > KEPT:
        del _kept[next(iter(_kept))]
    return data


def fingerprint(option: Mapping[str, Any]) -> str:
    """The fingerprint of a complete option's data, remembered for as long as the process lives."""
    key = _key(option)
    return _fingerprints[key] if key in _fingerprints else load(option).fingerprint


def sizes(option: Mapping[str, Any]) -> tuple[int, int, int]:
    """Numbers of train, val and test rows of a complete option; where only its files can tell, they are read.

    Raises Refused as `load` does.
    """
    if (known := _known_sizes(option)) is not None:
        return known
    data = load(option)
    return len(data.train.x), len(data.val.x), len(data.test.x)


def _known_sizes(option: Mapping[str, Any]) -> tuple[int, int, int] | None:
    facts = DATASETS[option["name"]].facts
    # A user's function may have a field of that name and give another number of rows.
    samples = None if "plugin" in facts else facts.get("samples") or option.get("samples")
    return None if samples is None else counts(option, samples, {})


def _rows(option: Mapping[str, Any]) -> Rows:
    """What the source gives. Raises Refused, with the reason, where a user's function fails."""
    plugin = DATASETS[option["name"]].facts.get("plugin")
    try:
        return Rows(*DATASETS.build(option))
    except Exception as error:
        if plugin is None or isinstance(error, Refused):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise Refused(f"dataset={option['name']}: {plugin} gives no rows. {reason}") from None


def _key(option: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in option.items() if key != "batch_size"}, sort_keys=True)


def _bytes(data: Data) -> int:
    return sum(array.nbytes for _, array in data.arrays())
