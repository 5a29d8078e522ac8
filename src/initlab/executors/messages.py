"""What a coordinator and its workers say to each other: a word, arguments of JSON's types, and bytes. No pickle.

    frame = packed("save", {"part": "1f0c", "step": 20, "of": 100, "content": b"..."})
    unpacked(frame)             # ("save", {"part": "1f0c", ...})

A frame is a line of JSON, [word, arguments, [[name, length], ...]], and after it the bytes that were taken out of the
arguments: a value that is bytes, or each value of a mapping of bytes (its name is then [name, key]).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Arguments = Mapping[str, Any]


def packed(word: str, arguments: Arguments) -> bytes:
    plain: dict[str, Any] = {}
    places: list[tuple[Any, int]] = []
    blobs: list[bytes] = []
    for name, value in arguments.items():
        if isinstance(value, bytes):
            places.append((name, len(value)))
            blobs.append(value)
        elif isinstance(value, Mapping) and any(isinstance(one, bytes) for one in value.values()):
            places += [([name, key], len(one)) for key, one in value.items()]
            blobs += value.values()
        else:
            plain[name] = value
    return b"".join([json.dumps([word, plain, places]).encode(), b"\n", *blobs])


def unpacked(frame: bytes) -> tuple[str, dict[str, Any]]:
    line, _, content = frame.partition(b"\n")
    word, arguments, places = json.loads(line)
    start = 0
    for place, length in places:
        blob, start = content[start : start + length], start + length
        if isinstance(place, str):
            arguments[place] = blob
        else:
            arguments.setdefault(place[0], {})[place[1]] = blob
    return word, arguments
