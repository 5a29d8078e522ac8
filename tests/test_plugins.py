"""Options from elsewhere: the guide's examples as a user runs them, and what is refused."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from forked import command
from initlab.errors import Refused
from initlab.own import source
from initlab.plugins import taken_out

ROOT = Path(__file__).resolve().parent.parent
GUIDE = (ROOT / "docs" / "extending.md").read_text()
MODULE, FOREIGN = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = re.findall(r"^python train\.py (.*)$", GUIDE, re.MULTILINE)
OWN = """import initlab

@initlab.register_init("mine")
def mine(weight, *, scale=1.0, shift=False, count=3, kind="plain"):
    return scale * weight.normal()
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in ``folder``."""
    return command(words, folder)


def test_the_guides_nets_from_elsewhere(tmp_path: Path) -> None:
    """Both are trained in stacks, under schemes that ask for their roles and for data."""
    (tmp_path / "foreign.py").write_text(FOREIGN)
    done = run(tmp_path, *shlex.split(COMMANDS[2]), "hydra.sweep.dir=out", "trainer.max_steps=4")
    assert done.returncode == 0 and "cannot be stacked" not in done.stdout, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*/result.json")]
    assert [record["status"] for record in records] == ["done"] * 6


SPARE = """import initlab
from torch import nn

class Spare(nn.Module):
    def __init__(self, inputs, outputs, act):
        super().__init__()
        self.inner, self.act, self.head = nn.Linear(inputs, 8), act(), nn.Linear(8, outputs)
        self.extra = nn.Linear(4, 4)

    def forward(self, x):
        return self.head(self.act(self.inner(x)))

@initlab.register_arch("spare")
def spare(features, outputs, act):
    return Spare(features[0], outputs, act)
"""


def test_a_net_with_parameters_that_it_does_not_use_is_trained(tmp_path: Path) -> None:
    """By schemes that follow a gradient, too; and the command says once which they are, of several stacks."""
    (tmp_path / "own.py").write_text(SPARE)
    words = ["plugins=own", "dataset=iris", "arch=spare", "init=xavier,metainit,gradinit", "act=relu,tanh"]
    done = run(tmp_path, "-m", *words, "trainer.max_steps=4", "trainer.probe_every=2", "hydra.sweep.dir=out")
    assert done.returncode == 0 and done.stdout.count("arch=spare: no gradient reaches extra.weight, extra.bias.") == 1
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*/result.json")]
    assert [record["status"] for record in records] == ["done"] * 6


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def test_the_guides_commands(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(MODULE)
    assert len(COMMANDS) == 3
    sweep = run(tmp_path, *shlex.split(COMMANDS[0]), "hydra.sweep.dir=out")
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    description = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert len(description["runs"]) == 4 and re.fullmatch("[0-9a-f]{16}", description["plugins"]["lab"])
    records = [json.loads(line.partition(" ")[2]) for line in (tmp_path / "out" / "journal").read_text().splitlines()]
    runs = [record for line in records for record in line["runs"]]
    assert {run["status"] for run in runs} == {"done"}
    assert {(run["axes"]["init"], run["axes"]["act"]) for run in runs} == {
        (init, act) for init in ("scaled", "xavier") for act in ("cone", "tanh")
    }
    again = run(tmp_path, *shlex.split(COMMANDS[0]), "hydra.sweep.dir=out")
    assert "all of them are done already" in again.stdout
    single = run(tmp_path, *shlex.split(COMMANDS[1]))
    assert single.returncode == 0, single.stdout + single.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("init=mine init.scale=big", "init.scale=big: not allowed. init.scale takes a number."),
        ("init=mine init.shift=1", "init.shift=1: not allowed. init.shift takes true or false."),
        ("init=mine init.count=1.5", "init.count=1.5: not allowed. init.count takes an integer"),
        ("init=mine init.kind=[1,2]", r"init.kind=\[1, 2\]: not allowed. init.kind takes a word."),
        ("init=mime", "init=mime: no init 'mime'. Known: .*mine.*Did you mean mine?"),
        ("init=mine init.scael=1", "Did you mean .*scale"),
    ],
)
def test_what_is_wrong_is_refused_before_training(own: Path, words: str, told: str) -> None:
    done = run(own, "plugins=own", *words.split())
    assert done.returncode == 2 and re.search(told.replace("?", r"\?"), done.stderr), done.stderr
    assert not (own / "outputs").exists()


NETS = """import initlab
from torch import nn

@initlab.register_arch("dropped")
def dropped(features, outputs, act):
    return nn.Sequential(nn.Linear(4, 8), act(), nn.Dropout(0.5), nn.Linear(8, outputs))

@initlab.register_arch("wider")
def wider(features, outputs, act):
    return nn.Linear(4, outputs + 1)

@initlab.register_arch("broken")
def broken(features, outputs, act):
    raise ValueError("not today")

@initlab.register_act("noisy")
class Noisy(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x)
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("arch=dropped", "arch=dropped: draws random numbers while it computes"),
        ("arch=wider", r"arch=wider: gives \[2, 4\] for 2 rows"),
        ("arch=broken", "arch=broken: cannot be built for this data. ValueError: not today"),
        ("arch=mlp act=noisy", "arch=mlp with act=noisy: draws random numbers"),
    ],
)
def test_a_net_is_checked_before_a_folder_is_made(tmp_path: Path, words: str, told: str) -> None:
    """No rules and no GPU are asked for: that the code is the user's is reason enough."""
    (tmp_path / "own.py").write_text(NETS)
    done = run(tmp_path, "plugins=own", "dataset=iris", *words.split(), "trainer.max_steps=2")
    assert done.returncode == 2 and re.search(told, done.stderr), done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "outputs").exists()


def test_its_options_are_listed_and_shown(own: Path) -> None:
    dry = run(own, "-m", "plugins=[own]", "init=glob(min*),xavier", "sweep.dry_run=true", "init.scale=2")
    assert dry.returncode == 2 or "init=mine" in dry.stdout
    listed = run(own, "-m", "plugins=[own]", "init=glob([min*,xavier])", "sweep.dry_run=true")
    assert listed.returncode == 0 and "init=mine" in listed.stdout and "init=xavier" in listed.stdout, listed.stderr
    shown = run(own, "plugins=own", "init=mine", "--cfg", "job")
    assert shown.returncode == 0 and "scale: 1.0" in shown.stdout, shown.stderr


def test_the_shell_completes_them_too(own: Path) -> None:
    line = "python train.py plugins=own init=mine"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COMP_LINE": line, "COMP_POINT": str(len(line))}
    words = [sys.executable, str(ROOT / "train.py"), "plugins=own", "--shell-completion", "query=bash"]
    done = subprocess.run(words, cwd=own, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["init=mine"], done.stdout + done.stderr


def test_a_changed_source_is_another_run(own: Path) -> None:
    def key() -> str:
        done = run(own, "plugins=own", "init=mine", "sweep.dry_run=true")
        return re.search(r"^  ([0-9a-f]{16})  ", done.stdout, re.MULTILINE)[1]  # type: ignore[index]

    before = key()
    assert key() == before
    (own / "own.py").write_text(OWN.replace("scale * weight", "2 * scale * weight"))
    assert key() != before


def test_a_class_of_torch_is_keyed_by_who_registers_it(tmp_path: Path) -> None:
    """Its own source is torch's, which stays what it is when the user puts another class under the name."""
    keys = []
    for kind in ("Softshrink", "Hardshrink"):
        (tmp_path / "own.py").write_text(f"import initlab, torch\ninitlab.register_act('soft')(torch.nn.{kind})\n")
        done = run(tmp_path, "plugins=own", "act=soft", "sweep.dry_run=true")
        keys += re.findall(r"^  ([0-9a-f]{16})  ", done.stdout, re.MULTILINE)
    assert len(set(keys)) == 2


def test_a_packages_hash_sees_where_its_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / "moved" / folder).mkdir(parents=True)
    (tmp_path / "moved" / "__init__.py").write_text("")
    (tmp_path / "moved" / "a" / "x.py").write_text("X = 1")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("moved")
    before = source("moved")
    assert source("moved") == before
    (tmp_path / "moved" / "a" / "x.py").rename(tmp_path / "moved" / "b" / "x.py")
    assert source("moved") != before


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no file')", "dataset=rows: own gives no rows. ValueError: no file"),
        ("return 'classification', 2", "dataset=rows: own gives no rows. TypeError"),
        # its field says 300 rows, but there are 20: the plan counts those that there are
        (
            "return 'classification', 2, np.eye(20), np.arange(20) % 2",
            "dataset.batch_size=64: more than the .. training rows",
        ),
    ],
)
def test_a_data_set_that_gives_too_little_is_refused(tmp_path: Path, body: str, told: str) -> None:
    head = "import initlab, numpy as np\n@initlab.register_dataset('rows')\ndef rows(*, samples=300):\n    "
    (tmp_path / "own.py").write_text(head + body + "\n")
    done = run(tmp_path, "plugins=own", "dataset=rows", "arch=mlp", "dataset.batch_size=64", "sweep.dry_run=true")
    assert done.returncode == 2 and re.search(told, done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_only_the_command_line_names_code(own: Path) -> None:
    (own / "experiment").mkdir()
    (own / "experiment" / "sly.yaml").write_text("# @package _global_\nplugins: own\n")
    (own / "own.py").write_text("raise SystemExit('was run')")
    done = run(own, "--config-dir", ".", "+experiment=sly")
    assert done.returncode == 2 and "plugins" in done.stderr and "was run" not in done.stderr, done.stderr
    assert run(own, "sweep.dry_run=true").returncode == 0  # a file that lies about is not imported


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nowhere_to_be_found", "own: cannot be imported. ModuleNotFoundError: No module named 'nowhere"),
        ("raise SystemExit('bye')", "own: cannot be imported. SystemExit: bye"),
        ("1 / 0", "own: cannot be imported. ZeroDivisionError: division by zero"),
        (
            OWN.replace('"mine"', '"xavier"'),
            "init=xavier: the name is taken by initlab, own wants it too; choose another.",
        ),
        (OWN + OWN, "init=mine: the name is taken by own, own wants it too; choose another."),
    ],
)
def test_a_module_that_cannot_be_used(tmp_path: Path, source: str, told: str) -> None:
    (tmp_path / "own.py").write_text(source)
    done = run(tmp_path, "plugins=own", "sweep.dry_run=true")
    assert done.returncode == 2 and told in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, "plugins=absent")
    assert done.returncode == 2 and "plugins=absent: cannot be imported. ModuleNotFoundError" in done.stderr


def test_an_installed_package_needs_no_naming(tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    (site / "theirs").mkdir(parents=True)
    work.mkdir()
    (site / "theirs" / "__init__.py").write_text(OWN)
    info = site / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[initlab.plugins]\ntheirs = theirs\n")
    done = command(["init=mine", "sweep.dry_run=true"], work, before=lambda: sys.path.insert(0, str(site)))
    assert done.returncode == 0 and "mine" in done.stdout, done.stderr
    assert run(work, "init=mine", "sweep.dry_run=true").returncode == 2


def test_how_plugins_are_written() -> None:
    assert taken_out(["a=1", "plugins=[x,y.z]", "b=2"]) == (["a=1", "b=2"], ["x", "y.z"])
    assert taken_out(["a=1"]) == (["a=1"], [])
    for wrong in ("plugins=", "plugins=[a,,b]", "plugins=../x", "plugins=a b", "plugins={a:1}"):
        with pytest.raises(Refused, match="is no module's name"):
            taken_out([wrong])
    with pytest.raises(Refused, match=r"plugins=a and plugins=b: give plugins once: plugins=\[first,second\]"):
        taken_out(["plugins=a", "plugins=b"])
