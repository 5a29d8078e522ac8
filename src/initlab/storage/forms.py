"""What the files of a sweep's folder say, field by field, as far as anything reads it.

    conform(json_value, DESCRIPTION, "sweep.json")       # raises Refused: where, what is there, what is allowed

A form is a check of `fields`, ``[form]`` for a list, ``{name: form}`` for fields of which ``"name?"`` may be absent, or
``{"*": form}`` for any names. What a form does not name is let by, and read by nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from initlab.errors import Refused, shortened
from initlab.fields import Boolean, Integer, Number, OneOf, Word
from initlab.specs.checks import SEED
from initlab.specs.sections import ROLES

Form = Any  # Check | list[Form] | dict[str, Form]
LONGEST_NAME, LONGEST_VALUE = 250, 10_000  # bytes of UTF-8, characters


@dataclass(frozen=True)
class Inside:
    """A path from the sweep's folder to something in it."""

    allowed: str = "a path that stays in the folder, such as curves/8c1f0a.npz"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or not all(part not in ("", ".", "..") for part in value.split("/")):
            raise ValueError
        return value


@dataclass(frozen=True)
class Time:
    """A moment as `record` writes it."""

    allowed: str = "a time such as 2026-01-31T12:00:00Z"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or not value.endswith("Z"):
            raise ValueError
        datetime.fromisoformat(value)
        return value


@dataclass(frozen=True)
class Name:
    """Text that is shown in tables and figures, so of some length at most."""

    allowed: str = f"at most {LONGEST_NAME} bytes of text"

    def __call__(self, value: object) -> str:
        if not isinstance(value, str) or len(value.encode(errors="replace")) > LONGEST_NAME:
            raise ValueError
        return value


@dataclass(frozen=True)
class Value:
    """A value of an axis or a field: anything of some length, as only its field knows more."""

    allowed: str = f"a value of at most {LONGEST_VALUE} characters"

    def __call__(self, value: object) -> object:
        if len(str(value)) > LONGEST_VALUE:
            raise ValueError
        return value


NAME = Name()
WORD, COUNT, NUMBER = Word(), Integer(0, 2**63 - 1), Number()
MAYBE_WORD, MAYBE_NUMBER = OneOf((None,), (WORD,)), OneOf((None,), (NUMBER,))
STATUS = OneOf(("done", "diverged", "failed"))
THREADS = Integer(1, 1024)  # as many are started: more than any machine has cores
METRICS = {"*": MAYBE_NUMBER}
# What sweep.json says of a command.
COMMAND: dict[str, Form] = {
    "plan": NAME,
    "command": [WORD],
    "created": Time(),
    "versions?": {"*": MAYBE_WORD},
    "device?": {"*": OneOf((None,), (WORD, COUNT)), "threads?": THREADS},
    "plugins?": {"*": WORD},
    "git?": {"commit": MAYBE_WORD, "diff": MAYBE_WORD},
}
DESCRIPTION: Form = {
    "schema": Integer(1, 1),
    **COMMAND,
    "axes": [{"name": NAME, "role": OneOf(ROLES), "type?": WORD, "values": [Value()]}],
    "zips?": [[WORD]],
    "runs": [{"key": NAME, "name": NAME, "data?": WORD}],
    "stacks": [{"id": WORD, "width": Integer(1), "keys": [WORD], "open?": Boolean()}],
    "widths?": [
        {"runs": COUNT, "width": COUNT, "workers": COUNT, "threads": COUNT, "update": {"*": NUMBER}}
        | {"why": WORD, "graphs?": WORD},
    ],
    "seeds?": {"*": [SEED]},
    "earlier?": [COMMAND | {"runs": COUNT}],
    "claim?": {"*": Value()},
    "claim_changed?": Boolean(),
}
RECORD: Form = {
    "schema?": Integer(1, 1),
    "key": NAME,
    "name": NAME,
    "folder": Inside(),
    "axes": {"*": Value()},
    "ended?": Number(ge=0, lt=1e11),
    "status": STATUS,
    "final": METRICS,
    "best": METRICS,
    "steps": COUNT,
    "samples?": COUNT,
    "seconds": Number(ge=0),
    "metric?": NAME,
    "direction?": OneOf(("min", "max")),
    "initial_weights?": WORD,
    "device?": WORD,
    "curves?": Inside(),
    "data?": WORD,
    "diverged?": {"step": COUNT, "first": WORD, "last?": METRICS},
    "error?": WORD,
    "traceback?": Inside(),
    "commands?": [COUNT],
}
# What every line of the journal has; the rest of a record is checked where a sweep is read.
COMMIT: Form = {
    "schema": Integer(1, 1),
    "runs": [{"key": WORD, "status": STATUS, "curves?": Inside()}],
    "part?": WORD,
    "checkpoint?": {"part": WORD, "step": COUNT, "of": COUNT, "file": Inside(), "sha256": WORD, "time": Number()}
    | {"commands?": [COUNT]},
}
# Of probe.json: what is read of every layer; a claim's path may lead to anything else.
PROBE: Form = {
    "layers": [{"name": WORD, "q": MAYBE_NUMBER, "gradient?": MAYBE_NUMBER}],
    "verdict": WORD,
    "trouble?": MAYBE_WORD,
}
OPTION: Form = {"name": WORD, "*": Value()}
CONFIG: Form = {
    **dict.fromkeys(("dataset", "arch", "act", "init", "optimizer"), OPTION),
    "trainer": {"*": Value()},
    **dict.fromkeys(("seed", "init_seed", "order_seed"), SEED),
}


def conform(value: object, form: Form, where: str) -> None:
    """Raises Refused where a value is not of its form."""
    if isinstance(form, list):
        for i, item in enumerate(_of(list, value, where)):
            conform(item, form[0], f"{where}[{i}]")
    elif isinstance(form, dict):
        given = _of(dict, value, where)
        for name, inner in form.items():
            if name == "*":
                for key, item in given.items():
                    conform(item, inner, f"{where}: {key}")
            elif (plain := name.removesuffix("?")) in given:
                conform(given[plain], inner, f"{where}: {plain}")
            elif plain == name:
                raise Refused(f"{where}: has no {name}.")
    else:
        try:
            form(value)
        except ValueError:
            raise Refused(f"{where}={shortened(value)}: not allowed; initlab writes {form.allowed} there.") from None


def _of(kind: type, value: object, where: str) -> Any:
    if not isinstance(value, kind):
        raise Refused(f"{where}={shortened(value)}: is no {'list' if kind is list else 'mapping'}.")
    return value
