"""Requests and files at random, from a seed: made by the grammar, or sound ones that were damaged.

words(Random(0))            # a command's overrides and flags
preset(Random(0))           # a file for --config-dir
recorded(Random(0), text)   # a run's config.yaml, as a stranger may have changed it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from initlab.specs import GROUPS, SEEDS, SWEEP, TRAINER

TOKENS = [
    *"=,.+~@/:${}[]()'\" \\*?#%&-_019eEn\n\té",
    *(
        "${seed}",
        "${init.name}",
        "${oc.env:HOME}",
        "range(",
        "glob(",
        "choice(",
        "sort(",
        "shuffle(",
        "tag(",
        "interval(",
    ),
    *(
        "null",
        "true",
        "???",
        ".inf",
        ".nan",
        "1e999",
        "9" * 30,
        "[[[",
        "{a:",
        "hydra.",
        "_target_",
        "..",
        "/etc/passwd",
    ),
    *("\x00", "\x1b[2J", "\u202e", "\udcff", "init", "seed", "sweep.", "@package", "~"),
]
YAML_TOKENS = [
    *TOKENS,
    "&a ",
    "*a",
    "!!python/name:os.system ",
    "<<: ",
    "---\n",
    "- ",
    "? ",
    ": ",
    "|\n",
    ">\n",
    "%YAML 1.9\n",
]
FLAGS = [
    "--help",
    "--hydra-help",
    "--cfg=job",
    "--cfg=hydra",
    "--info=defaults",
    "--resolve",
    "--package=init",
    "--bogus",
]
FLAGS += [
    "--config-name=nope",
    "--config-path=/",
    "--config-dir=nowhere",
    "--run",
    "--experimental-rerun=x",
    "--version",
]
FIELDS = [
    f"{group}.{field}" for group, registry in GROUPS.items() for spec in registry.values() for field in spec.fields
]
FIELDS += [*(f"trainer.{field}" for field in TRAINER), *SEEDS]
FIELDS += [f"sweep.{field}" for field in SWEEP if field not in ("dry_run", "max_runs", "fresh")]
PLACES = [
    "hydra.sweep.dir",
    "hydra.run.dir",
    "hydra.job.chdir",
    "hydra/launcher",
    "hydra.searchpath",
    "experiment",
    "defaults",
]


def words(random: Random) -> list[str]:
    """One to four overrides, mostly with -m, now and then with a flag; half of them damaged."""
    made = [_override(random) for _ in range(random.choice([1, 1, 2, 2, 3, 4]))]
    if random.random() < 0.5:
        at = random.randrange(len(made))
        made[at] = damaged(made[at], random, TOKENS, start=1)
    made += ["-m"] if random.random() < 0.6 else []
    return [*made, random.choice(FLAGS)] if random.random() < 0.03 else made


def damaged(text: str, random: Random, tokens: Sequence[str], start: int = 0, most: int = 3) -> str:
    """The text with up to ``most`` pieces put in, taken out or replaced, behind its first ``start`` characters."""
    for _ in range(random.randint(1, most)):
        at = random.randint(start, max(start, len(text)))
        text = text[:at] + random.choice(["", random.choice(tokens)]) + text[at + random.randint(0, 2) :]
    return text


def _override(random: Random) -> str:
    group = random.choice(list(GROUPS))
    makers: list[tuple[int, Callable[[], str]]] = [
        (5, lambda: f"{group}={_option(random, group)}"),
        (3, lambda: f"{group}={','.join(_option(random, group) for _ in range(random.randint(2, 4)))}"),
        (8, lambda: f"{random.choice(['', '', '', '+', '++'])}{random.choice(FIELDS)}={_value(random)}"),
        (2, lambda: f"{random.choice(FIELDS)}={','.join(_value(random) for _ in range(random.randint(2, 4)))}"),
        (1, lambda: f"~{random.choice([*FIELDS, *GROUPS])}"),
        (1, lambda: f"{random.choice(PLACES)}={_value(random)}"),
        (1, lambda: f"{group}@{_word(random)}={_option(random, group)}"),
        (1, lambda: f"{_word(random)}{random.choice(['', '.', '/'])}{_word(random)}={_value(random)}"),
    ]
    return random.choices([make for _, make in makers], [weight for weight, _ in makers])[0]()


def _option(random: Random, group: str) -> str:
    known = random.choice(GROUPS[group].names())
    return random.choice(
        [known, known, known, damaged(known, random, list("abcxyz_-1"), most=1), f"glob({known[:2]}*)"]
    )


def _value(random: Random) -> str:
    return random.choice(
        [
            *(
                str(random.randint(-3, 300)),
                f"{random.uniform(-2, 2):.3g}",
                "0",
                "1e-3",
                "1e400",
                "-0.0",
                "nan",
                "true",
                "null",
            ),
            *(
                "",
                "''",
                '"a b"',
                "a b",
                _word(random),
                f"[{_word(random)},2]",
                f"{{{_word(random)}:1}}",
                "[]",
                "{}",
                "[[1,2]]",
            ),
            *(
                f"range({random.randint(-2, 6)})",
                "range(0,1,0.25)",
                "choice(1,2)",
                "shuffle(1,2,3)",
                "sort(3,1)",
                "interval(0,1)",
            ),
            *(
                "${seed}",
                "${trainer.max_epochs}",
                "${no.such}",
                "${oc.env:TOKEN}",
                "${hydra:runtime.cwd}",
                "../../../etc",
                "/dev/null",
            ),
            *(
                "[{init:kaiming}]",
                "[[init,seed]]",
                "{seed:repeat}",
                "[{param:'*',name:zeros}]",
                "[{layer:linear,name:zeross}]",
            ),
        ]
    )


def _word(random: Random) -> str:
    return "".join(random.choice("abcdefghij_") for _ in range(random.randint(1, 6)))


# --- YAML -------------------------------------------------------------------------------------------------------------

SOUND = """# @package _global_
defaults:
  - override /dataset: gaussian
  - override /init: kaiming
arch:
  depth: 2
  width: 16
optimizer: {lr: 0.1, momentum: 0.9}
init_seed: ${seed}
"""
SWEPT = """# @package _global_
hydra:
  sweeper:
    params:
      init: xavier,kaiming
      seed: range(2)
trainer:
  max_epochs: 1
"""


def preset(random: Random) -> str:
    tree = f"# @package {random.choice(['_global_', 'init', 'hydra', 'x.y'])}\n{_tree(random)}"
    made = random.choice([SOUND, SWEPT, tree])
    return damaged(made, random, YAML_TOKENS, most=2) if random.random() < 0.6 else made


def recorded(random: Random, text: str) -> str:
    made = text if random.random() < 0.8 else _tree(random)
    return damaged(made, random, YAML_TOKENS, most=4)


def _tree(random: Random, depth: int = 0) -> str:
    """Block mappings of known and unknown names."""
    lines = []
    for _ in range(random.randint(1, 4)):
        name = random.choice(
            [*GROUPS, *SEEDS, "trainer", "sweep", "hydra", "defaults", "name", "lr", "width", _word(random)]
        )
        if depth < 3 and random.random() < 0.4:
            inner = _tree(random, depth + 1).splitlines()
            lines += [f"{name}:", *(f"  {line}" for line in inner)]
        else:
            lines.append(f"{name}: {_value(random)}")
    return "\n".join(lines) + "\n"
