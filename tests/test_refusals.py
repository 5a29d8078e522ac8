"""A bad request is answered in one line, before anything heavy is imported and before anything is written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from initlab.command import main
from initlab.specs import INITS as registered

ROOT = Path(__file__).resolve().parent.parent
INITS = "Known: " + ", ".join(sorted(registered.names())) + "."
HYDRAS_OWN = "only hydra.run.dir and hydra.sweep.dir can be set"
DEEP = "seed=" + 60 * "[" + "1"

# what is asked for: the words that the answer must hold (what was given, what is allowed, the nearest, where)
REFUSED: dict[str, tuple[str, ...]] = {
    # names
    "init=xaveir": ("init=xaveir: no init 'xaveir'", INITS, "Did you mean xavier?"),
    "-m init=xavier,xaveir": ("init=xaveir: no init 'xaveir'", INITS, "Did you mean xavier?"),
    "act=rellu": ("act=rellu", "Known: elu, erf, gelu, hardswish, hardtanh, identity", "Did you mean relu?"),
    "dataset=imagenet": (
        "no dataset 'imagenet'",
        "Known: adding, breast_cancer, cifar10, copy, diabetes, digits, fashion_mnist,",
    ),
    "dataset=mnist": ("dataset=mnist: needs dataset.root=PATH", "train-images-idx3-ubyte", "https://"),
    "dataset=mnist dataset.test=0.2": ("dataset.test=0.2: not allowed. dataset.test takes null.",),
    "dataset=npz": ("dataset=npz: needs dataset.path=FILE", "x and y"),
    "dataset=npz dataset.path=nowhere.npz": ("dataset.path=nowhere.npz: there is no such file",),
    "dataset=openml": ("dataset=openml: needs dataset.data=NAME",),
    "dataset.standardize=true": ("dataset.standardize=True: not allowed", "none or feature or channel"),
    "dataset=wine dataset.standardize=channel": ("dataset.standardize=channel: is for images", "[N, 13]"),
    "--shell-completion": ("--shell-completion: needs install=SHELL or uninstall=SHELL, of bash, zsh or fish.",),
    "init=null": ("init=null: no init 'null'", INITS),
    "init=": ("init=: no init ''", INITS),
    "init=3": ("init=3: no init '3'", INITS),
    "+init=xavier": ("+init=xavier", "Multiple values for init"),
    "+experiment=nope": ("no experiment 'nope'", "article_mymodel, "),
    "experiment=article_mymodel": ("add it: +experiment=article_mymodel",),
    "foo=1": ("no field of the config 'foo'", "act, arch, dataset, init, init_seed, optimizer"),
    "plugin=mine": ("no field of the config 'plugin'", "order_seed, plugins, seed", "Did you mean plugins?"),
    "seeds=1": ("seeds=1: no field of the config", "Did you mean seed?"),
    "lr=0.1": ("lr=0.1: no field of the config 'lr'", "It is optimizer.lr."),
    "report=true": ("report=true: no field of the config 'report'", "It is sweep.report."),
    "init.gian=2": ("init.gian=2: no field of init=kaiming 'gian'", "bias, bias_value, gain, mode", "mean gain?"),
    "init=zeros init.gain=2": ("init.gain=2: no field of init=zeros 'gain'", "Known: bias, bias_value, rules."),
    "-m init=zeros,xavier init.gain=1,2": ("init.gain=1: no field of init=zeros 'gain'",),
    "optimizer=adam optimizer.momentum=0.9": ("no field of optimizer=adam 'momentum'", "beta1, beta2, clip, eps, lr"),
    "+init.scale=2": ("init.scale: no field of init=kaiming_normal 'scale'", "Known: bias"),
    "trainer.epochs=3": ("trainer.epochs=3: no field of trainer", "Did you mean max_epochs?"),
    "init.rules=[{param:x,name:zeross}]": ("init.rules[0]: no init 'zeross'", INITS, "Did you mean zeros?"),
    "init.rules=[{layer:lineer,name:zeros}]": ("init.rules[0].layer", "'lineer'", "Did you mean linear?"),
    # types and ranges
    "seed=x": ("seed=x: not allowed", "an integer >= 0"),
    "seed=1.5": ("seed=1.5: not allowed", "an integer >= 0"),
    "seed=true": ("seed=True: not allowed", "an integer >= 0"),
    "seed=-1": ("seed=-1: not allowed", "an integer >= 0"),
    "arch.depth=2.0": ("arch.depth=2.0: not allowed", "an integer >= 0"),
    "arch.sizes=[8,0]": ("arch.sizes=[8, 0]: not allowed", "a list, each an integer >= 1"),
    "trainer.save_weights=1": ("trainer.save_weights=1: not allowed", "true or false"),
    "trainer.precision=float16": ("trainer.precision=float16", "float32 or float64 or tf32 or bf16"),
    "trainer.precision=bf61": ("trainer.precision=bf61: not allowed", "tf32 or bf16. Did you mean bf16?"),
    "trainer.precision=tf32 trainer.accelerator=cpu": (
        "trainer.precision=tf32: it is how a GPU",
        "float32 is what that",
    ),
    "trainer=5": ("trainer=5: not a section", "trainer.max_epochs"),
    "init.rules=5": ("init.rules=5: not allowed", "a list of rules"),
    "optimizer.lr=0": ("optimizer.lr=0: not allowed", "a number > 0"),
    "optimizer.lr=-0.1": ("optimizer.lr=-0.1: not allowed", "a number > 0"),
    "optimizer.lr=\u22120.1": ("\u22120.1: not an override: \u2212 is the minus of print (U+2212)", "typed with -"),
    "optimizer.lr=nan": ("optimizer.lr=nan: not allowed", "a number > 0"),
    "optimizer.lr=inf": ("optimizer.lr=inf: not allowed", "a number > 0"),
    "optimizer.lr=1e999": ("optimizer.lr=inf: not allowed", "a number > 0"),
    "optimizer.warmup=1": ("optimizer.warmup=1: not allowed", "a number >= 0 and < 1"),
    "optimizer.clip=0": ("optimizer.clip=0: not allowed", "null or a number > 0"),
    "optimizer.lr=null": ("optimizer.lr=null: not allowed", "a number > 0"),
    "-m optimizer.lr=0.1,0": ("optimizer.lr=0: not allowed", "a number > 0", "in the run optimizer.lr=0"),
    # fields that do not go together
    "dataset.batch_size=2000": ("dataset.batch_size=2000", "the 1257 training rows"),
    "dataset=gaussian dataset.samples=100": ("dataset.batch_size=128", "the 70 training rows"),
    "dataset.val=0.9": ("dataset.val=0.9, dataset.test=0.15", "leave no training rows of 1797"),
    "act=gelu init.gain=torch": ("init.gain=torch", "no gain for act=gelu", "identity, relu, leaky_relu, tanh"),
    "-m act=relu,gelu init.gain=torch": ("no gain for act=gelu", "in the run act=gelu"),
    "arch=cnn dataset=gaussian": ("arch=cnn: needs images [C, H, W]; dataset=gaussian has [20].",),
    "arch=cnn arch.kernel=4": ("arch.kernel=4: not allowed. arch=cnn needs an odd kernel.",),
    "optimizer.nesterov=true": ("optimizer.momentum=0.0, optimizer.nesterov=True", "momentum > 0"),
    "trainer.max_epochs=null": ("trainer.max_epochs=null, trainer.max_steps=null", "one of them"),
    # axes
    "-m init=glob(nothing*)": ("init=glob(nothing*): 0 runs", INITS),
    "-m seed=range(0)": ("seed=range(0): 0 runs",),
    "-m seed=choice()": ("seed=choice(): not an override", "empty choice"),
    "-m seed=range(0,1,0)": ("seed=range(0,1,0): range() arg 3 must not be zero",),
    "-m seed=1,2 seed=3,4": ("seed=1,2 and seed=3,4: the same axis twice", "seed=a,b,c"),
    "-m seed=1,2 seed=3": ("seed=1,2 and seed=3: the same axis twice",),
    "-m init=xavier,kaiming,xavier": ("init=xavier,kaiming,xavier: xavier is given twice",),
    "-m optimizer.lr=interval(0.1,1)": ("an interval has no list of values", "optimizer.lr=range(start,stop,step)"),
    "init=xavier,kaiming": ("init=xavier,kaiming: several values make a sweep: add -m", "[a,b]"),
    "seed=range(3)": ("seed=range(3): several values make a sweep: add -m",),
    "-m sweep.stack_width=1,2": ("sweep.stack_width: says how the sweep is run", "one value, not 2"),
    "-m seed=range(11) sweep.max_runs=10": ("seed (11) = 11 runs: more than sweep.max_runs=10",),
    "sweep.executor=rey": ("sweep.executor=rey: not allowed", "local or ray or slurm. Did you mean ray?"),
    "sweep.workers=0": ("sweep.workers=0: not allowed", "auto or an integer >= 1"),
    "sweep.slurm={setup:reboot}": ("sweep.slurm={'setup': 'reboot'}: not allowed", "partition, account"),
    "sweep.slurm={partition:a@%b}": ("sweep.slurm={'partition': 'a@%b'}: not allowed",),
    "sweep.slurm={partitoin:gpu}": ("sweep.slurm={'partitoin': 'gpu'}: not allowed", "Did you mean partition?"),
    "sweep.max_runs=0": ("sweep.max_runs=0: not allowed", "an integer >= 1"),
    # what is no override, or points nowhere
    "=3": ("=3: not an override", "key=value"),
    "foo": ("foo: not an override: it has no =", "key=value"),
    "seed=[1,2": ("seed=[1,2: not an override: unequal numbers of [ and ]. Write key=value.",),
    "seed=range(": ("not an override: unequal numbers of ( and )",),
    "init=xavier,": ("init=xavier,: not an override: its value cannot be read", "is quoted: key='a, b'"),
    "-m init=xavier,kaiming --run": ("-m --run: each asks for something else",),
    "init.gain='open": ("init.gain='open: not an override: a quote is not closed",),
    DEEP: (f"{DEEP}: not an override",),
    "x=${x}": ("x=${x}: no field of the config 'x'",),
    "+x=${x}": ("cannot be resolved", "Recursive interpolation", "x"),
    "seed=${no.such}": ("cannot be resolved", "'no.such' not found", "seed"),
    "sweep.max_runs=${no.such}": ("sweep.max_runs", "'no.such' not found"),
    # flags and Hydra's own settings
    "--experimental-rerun=x": ("--experimental-rerun: reads a pickle",),
    "--config-path=conf": ("--config-path", "--config-dir"),
    "--config-dir=nowhere": ("--config-dir nowhere: there is no such folder",),
    "--config-name=nope": ("--config-name nope", "Cannot find primary config"),
    "--bogus": ("--bogus", "--hydra-help"),
    "--resolve": ("--resolve, --package", "--cfg job"),
    "-m --cfg=job init=xavier,kaiming": ("-m --cfg: a sweep has no one config", "sweep.dry_run=true"),
    "--run --cfg=job": ("--run --cfg: each asks for something else; give one of them",),
    "--cfg=job init=xaveir": ("init=xaveir", "Did you mean xavier?"),
    "hydra.job.chdir=true": ("hydra.job.chdir=true", HYDRAS_OWN, "never changes the working directory"),
    "hydra/launcher=joblib": ("hydra/launcher=joblib", HYDRAS_OWN),
    "++hydra.mode=MULTIRUN": ("++hydra.mode=MULTIRUN", HYDRAS_OWN),
    # folders
    "-m hydra.run.dir=here seed=1,2": ("hydra.run.dir: a sweep's folder is hydra.sweep.dir",),
    "hydra.sweep.dir=here": ("hydra.sweep.dir: a single run's folder is hydra.run.dir",),
    "-m hydra.sweep.dir=here,there": ("hydra.sweep.dir=here,there", "one value"),
    "hydra.run.dir=": ("hydra.run.dir='': names no folder",),
    "hydra.run.dir='\udcff'": ("names no folder",),
    "hydra.run.dir=${no}": ("hydra.run.dir", "'no' not found"),
    "hydra.run.dir=file": ("file: is a file; the results need a folder",),
    "hydra.run.dir=thesis": ("thesis: holds intro.tex, and is no sweep's folder",),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds a file and a folder of somebody's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "intro.tex").write_text("mine")
    return tmp_path


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that answers ``argv``."""
    assert main(ROOT, argv) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" not in printed.err
    assert printed.err.startswith("refused: ") and len(printed.err.splitlines()) == 1
    return printed.err


@pytest.mark.parametrize("asked", REFUSED)
def test_a_bad_request_is_answered_in_one_line(asked: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(asked.split(), capsys)
    for words in REFUSED[asked]:
        assert words in line
    assert contents(here) == ["file", "thesis", "thesis/intro.tex"]


@pytest.mark.parametrize(
    ("axes", "answer"),
    [
        ("seed=range(10000) optimizer.lr=range(0.0001,1,0.0001)", "seed (10000) x optimizer.lr (9999) = 99990000 runs"),
        ("seed=range(100000000)", "seed=range(100000000): more than 1000000 values"),
        ("seed=shuffle(range(0,1000000000))", "more than 1000000 values"),
    ],
)
def test_a_hundred_million_runs_are_counted_and_not_built(
    axes: str, answer: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    assert answer in refusal(["-m", *axes.split()], capsys)
    assert time.monotonic() - started < 20  # what is built takes hours; what is counted, a second


def test_a_line_break_in_a_word_does_not_break_the_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "init=a b" in refusal(["init=a\nb"], capsys)


def test_a_full_error_is_had_by_asking(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="xaveir"):
        main(ROOT, ["init=xaveir"])


IMPORTS = """
import json, sys
sys.path.insert(0, {src!r})
from pathlib import Path
from initlab.command import main
code = main(Path({root!r}), ["init=xaveir"])
print(json.dumps([code, sorted({{"torch", "lightning", "pytorch_lightning", "tensorboard"}} & set(sys.modules))]))
"""


def test_a_refusal_imports_nothing_heavy(tmp_path: Path) -> None:
    script = IMPORTS.format(src=str(ROOT / "src"), root=str(ROOT))
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout) == [2, []] and done.stderr.startswith("refused: init=xaveir")


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("--help", ("Configuration groups", "init: auto, chrono, constant, critical", "max_epochs: 20")),
        ("--cfg job init=xavier seed=3", ("seed: 3", "name: xavier")),
        ("seed=3 --cfg job init=xavier", ("seed: 3", "name: xavier")),
        ("--cfg job --package init", ("@package init", "name: kaiming")),
        ("act=silu --hydra-help sweep.dry_run=true", ("== Flags ==", "--multirun,-m")),
        ("--info defaults +experiment=article_mymodel", ("Defaults List", "experiment/article_mymodel")),
    ],
)
def test_what_hydra_tells_of_the_configs_is_still_told(asked: str, shown: tuple[str, ...], tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "train.py"), *asked.split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert all(words in done.stdout for words in shown) and contents(tmp_path) == []


GOOD = [
    *(
        "init=xavier,kaiming",
        "act=glob(*)",
        "seed=range(3)",
        "optimizer.lr=0.1,0.01",
        "init.gain=2",
        "arch.sizes=[8,8]",
    ),
    *("init.bias=uniform,'zeros'", "+experiment=article_mymodel", "dataset=gaussian", "dataset.val=0.2"),
    *("hydra.sweep.dir=out", "init_seed=${seed}", "sweep.max_runs=100", "trainer.precision=float64", "~init.gain"),
]
PIECES = [
    *"=,.+~@/:${}[]()'\" \\*?#%&-_019eEn\n\té",
    "${seed}",
    "range(",
    "glob(",
    "null",
    "1e999",
    "[[[",
    "hydra.",
    "???",
]


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.battery) for part in range(2, 20))])
def test_no_mutation_of_a_request_ends_in_a_traceback(
    part: int, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty damaged requests each: a plan, or a line that refuses; nothing is written either way."""
    codes = []
    for seed in range(30 * part, 30 * (part + 1)):
        random = Random(seed)
        words = random.sample(GOOD, random.randint(1, 3))
        words[0] = mutated(words[0], random)
        argv = [*words, "sweep.dry_run=true", *(["-m"] if random.random() < 0.8 else [])]
        codes.append(main(ROOT, argv))
        printed = capsys.readouterr()
        if codes[-1] == 2:
            assert printed.err.startswith("refused: ") and len(printed.err.splitlines()) == 1, argv
        else:
            assert codes[-1] == 0 and printed.err == "" and "would write" in printed.out, argv
    assert min(codes.count(0), codes.count(2)) >= 5
    assert contents(here) == ["file", "thesis", "thesis/intro.tex"]


def mutated(word: str, random: Random) -> str:
    """A word with up to two pieces put in, taken out or replaced, not at its start, where a flag would be made."""
    for _ in range(random.randint(0, 2)):
        at = random.randint(1, len(word))
        word = word[:at] + random.choice(["", random.choice(PIECES)]) + word[at + random.randint(0, 1) :]
    return word
