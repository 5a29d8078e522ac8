"""What a claim may measure of a run, as a line of text: a metric, the steps until it is reached, a probe, a signal.

    quantity("test/accuracy")                                 # at the last step
    quantity("steps(val/accuracy, 0.9)")                      # until it is reached
    quantity("best(optimizer.lr, val/loss)")                  # log2 of the rate at which a seed does best
    quantity("probe.layers.20.q")                             # a path into probe.json; -1 is the last layer
    quantity("growth(probe.layers.5:25.gradient)")            # a layer; or mean, greatest, least, approach of a slice
    quantity("signal/mean/act4")                              # of a layer while it trains, at the last look
    quantity("test/accuracy >= 0.9")                          # 1 where it is so, else 0

`readings` reads them off the runs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from initlab.errors import did_you_mean

ONE, MANY = (
    ("ln",),
    ("mean", "greatest", "least", "growth", "approach"),
)  # of one number, and of a slice of layers
WORDS = ("steps", "best", *ONE, *MANY)
NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
METRIC = r"(?:train|val|test)/\w+"
SIGNAL = r"signal/\w+/[\w.]+"
FORM = re.compile(
    rf"(?:(?P<word>[a-z]+)\()?(?P<path>{METRIC}|{SIGNAL}|probe(?:\.[\w@:-]+)+)"
    rf"(?:, *(?P<target>{NUMBER}))?(?P<close>\))?(?: *(?P<sign>[<>]=) *(?P<bound>{NUMBER}))?"
)
BEST = re.compile(rf"best\((?P<axis>[a-z]\w*(?:\.\w+)*), *(?P<path>{METRIC})\)")


@dataclass(frozen=True)
class Quantity:
    """``path`` is a metric, a signal, or a dotted path into the probe; ``word`` what is made of it; ``sign`` and
    ``bound`` make it 1 or 0. ``axis`` is that of `best`, one that is optimised over."""

    text: str
    path: str
    word: str | None
    target: float | None
    sign: str | None
    bound: float | None
    axis: str | None = None

    @property
    def probed(self) -> bool:
        """Whether the run's probe has it."""
        return self.path.startswith("probe.")

    @property
    def signalled(self) -> bool:
        """Whether it is kept while the run trains."""
        return self.path.startswith("signal/")


@dataclass(frozen=True)
class OfARun:
    """The check of a field that names a quantity."""

    allowed: str = (
        "a number of a run: a metric such as test/accuracy, a path such as probe.layers.20.q, a signal such as "
        "signal/mean/act4, or "
        f"{', '.join(WORDS)} of one, such as steps(val/accuracy, 0.9) and best(optimizer.lr, val/loss); with >= or <= "
        "and a number it is 1 or 0"
    )

    def __call__(self, value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        quantity(value)
        return value


def quantity(text: str) -> Quantity:
    """What a line names. Raises ValueError, with the word that may be meant."""
    if best := BEST.fullmatch(text.strip()):
        return Quantity(text.strip(), best["path"], "best", None, None, None, best["axis"])
    found = FORM.fullmatch(text.strip())
    if not found or bool(found["word"]) != bool(found["close"]):
        raise ValueError
    word, path = found["word"], found["path"]
    if word not in (None, *WORDS):
        raise ValueError(did_you_mean(word, WORDS))
    if word == "best" or (word == "steps") != (found["target"] is not None):
        raise ValueError
    if (word == "steps" and not re.fullmatch(METRIC, path)) or (word in MANY and not path.startswith("probe.")):
        raise ValueError
    target, bound = (None if found[part] is None else float(found[part]) for part in ("target", "bound"))
    return Quantity(text.strip(), path, word, target, found["sign"], bound)
