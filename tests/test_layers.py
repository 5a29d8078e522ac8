"""The code's own rules, read from its syntax: imports point one way, what plans is light, and nothing is executed."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

SRC = Path(__file__).parents[1] / "src" / "initlab"

# A module may import those of the lines above its own. A new one finds its place here.
ORDER = [
    ["planning", "schemes", "training", "storage", "analysis", "claiming", "reporting", "measuring", "views"],  # empty
    ["executors"],
    [
        "errors",
        "streams",
        "training.curves",
        "training.interrupts",
        "executors.messages",
        "reporting.document",
        "reporting.wording",
        "stats.intervals",
    ],
    ["executors.pipes", "plugins", "storage.disk"],
    ["executors.spool"],
    ["stats.comparisons", "stats.survival", "stats.factors", "stats.trends"],
    ["stats", "reporting.figures"],
    ["reporting.plots.panels", "reporting.plots.maps", "reporting.plots.forests"],
    ["reporting.plots.criteria"],
    ["reporting.plots", "reporting.typeset"],
    ["fields", "storage.files", "storage.events"],
    ["roles"],
    ["rules", "own", "storage.received"],
    ["registry"],
    ["specs.checks", "specs.shapes"],
    ["specs.init", "specs.act", "specs.arch", "specs.dataset", "specs.optimizer", "specs.sections"],
    ["specs.init_data", "specs.init_recurrent", "specs.init_roles"],
    ["specs", "storage.forms"],
    ["storage.journal"],
    ["storage.commands"],
    ["storage.folder"],
    ["theory.activations"],
    ["theory.gaussian"],
    ["theory.tailored", "theory.moments", "theory.finite", "theory.chance", "theory.attention"],
    ["theory.meanfield", "theory.signal"],
    ["theory.gains", "theory.trace"],
    ["theory"],
    ["gains", "laws", "slots", "walk", "acts", "archs.plain", "training.optimizers", "planning.presets"],
    ["planning.compose"],
    ["archs.residual", "archs.recurrent", "measuring.recording", "measuring.findings"],
    ["archs.attention", "measuring.kinds", "measuring.spectra", "measuring.verdicts", "measuring.portrait"],
    ["archs"],
    ["datasets.parts"],
    ["datasets.split", "datasets.embedded", "datasets.synthetic", "datasets.images", "datasets.arrays"],
    ["datasets.openml", "datasets.sequences"],
    ["datasets"],
    ["training.tape", "training.batches", "training.clock", "training.device"],
    ["config", "schemes.inits", "training.chain"],
    ["training.step", "training.nets"],
    ["training.updates"],
    ["schemes.structured", "planning.design", "planning.links"],
    ["schemes.adapt", "schemes.recurrent", "schemes.branches", "schemes.attention", "schemes.mup"],
    ["schemes.learned"],
    ["schemes.apply"],
    ["schemes.initial", "planning.runs"],
    [
        "planning.axes",
        "analysis.runs",
        "training.checkpoint",
        "training.signals",
        "training.graphs",
        "claiming.quantities",
    ],
    ["analysis.scores", "analysis.series", "claiming.claims"],
    ["analysis.cells", "claiming.readings"],
    ["analysis.contrasts", "analysis.speed", "analysis.frames", "analysis.bands", "claiming.judging"],
    ["reporting.sections", "reporting.board", "reporting.bundle", "reporting.provenance"],
    ["reporting.evidence", "reporting.tuning", "claiming.claimed", "reporting.before"],
    ["reporting.guide", "claiming.gallery"],
    ["reporting.report"],
    ["planning.product", "training.module", "measuring.tracing"],
    ["measuring.probing"],
    ["measuring.advice"],
    ["planning.plan", "storage.record"],
    ["storage.difference", "storage.description", "training.results", "training.resuming"],
    ["executors.items", "executors.layout", "executors.widths"],
    ["storage.store"],
    ["views.tables", "views.hparams", "measuring.probes", "measuring.coordinates", "claiming.growth"],
    ["views.progress", "reporting.rebuild", "views.status"],
    ["training.writer"],
    ["training.train", "training.rehearsal", "training.preflight"],
    ["executors.worker"],
    ["executors.zygote"],
    ["executors.local", "executors.ray", "executors.slurm", "executors.here", "executors.forks"],
    ["executors.pool"],
    ["training.stacking"],
    ["training.sweep"],
    ["replay"],
    ["command", "measuring.probe_command"],
]
LEVEL = {module: level for level, modules in enumerate(ORDER) for module in modules}

# What plans and what reads results: neither waits for torch.
PLANNING = [
    "errors",
    "streams",
    "registry",
    "fields",
    "own",
    "rules",
    "roles",
    "specs",
    "gains",
    "theory",
    "theory.activations",
    "theory.gaussian",
    "theory.moments",
    "theory.gains",
    "theory.meanfield",
    "theory.finite",
    "theory.attention",
    "theory.chance",
    "theory.signal",
    "theory.trace",
    "config",
    "planning.presets",
    "planning.compose",
    "planning.design",
    "planning.axes",
    "planning.links",
    "planning.product",
    "datasets",
    "claiming.quantities",
    "claiming.claims",
    "planning.runs",
    "planning.plan",
]
STATS = ["stats", "stats.intervals", "stats.comparisons", "stats.survival", "stats.factors", "stats.trends"]
READING = [
    "storage.disk",
    "training.interrupts",
    "executors.messages",
    "executors.items",
    "executors.layout",
    "storage.files",
    "storage.received",
    "storage.forms",
    "storage.description",
    "storage.difference",
    "training.curves",
    "storage.journal",
    "storage.commands",
    "storage.folder",
    "storage.store",
    "views.tables",
    "storage.record",
    "storage.events",
    "views.hparams",
    "views.progress",
    "views.status",
    *STATS,
    "analysis.runs",
    "analysis.scores",
    "analysis.cells",
    "analysis.series",
    "analysis.contrasts",
    "analysis.speed",
    "analysis.frames",
    "claiming.readings",
    "claiming.judging",
    "claiming.growth",
    "measuring.findings",
    "measuring.verdicts",
    "measuring.portrait",
    "reporting.document",
    "reporting.wording",
    "reporting.figures",
    "reporting.plots",
    "reporting.plots.panels",
    "reporting.plots.maps",
    "reporting.plots.forests",
    "reporting.plots.criteria",
    "reporting.typeset",
    "analysis.bands",
    "reporting.sections",
    "reporting.board",
    "reporting.provenance",
    "reporting.evidence",
    "reporting.tuning",
    "reporting.before",
    "claiming.claimed",
    "claiming.gallery",
    "reporting.guide",
    "reporting.report",
    "reporting.rebuild",
]
# What gives work to others and writes what comes of it: it does not wait for what they import.
COORDINATING = [
    "executors.pipes",
    "executors.zygote",
    "executors.local",
    "executors.widths",
    "executors.pool",
    "training.results",
    "training.writer",
    "training.stacking",
    "training.sweep",
]
# What makes a net, its weights and its training: given typed options, it knows neither Hydra nor the disk.
COMPUTING = [
    "laws",
    "slots",
    "walk",
    "schemes.inits",
    "schemes.structured",
    "schemes.recurrent",
    "schemes.adapt",
    "schemes.learned",
    "schemes.branches",
    "schemes.attention",
    "schemes.mup",
    "acts",
    "archs",
    "archs.plain",
    "archs.residual",
    "archs.recurrent",
    "archs.attention",
    "training.optimizers",
    "schemes.apply",
    "schemes.initial",
    "training.tape",
    "training.batches",
    "training.clock",
    "training.chain",
    "training.nets",
    "training.step",
    "training.updates",
    "training.graphs",
    "training.checkpoint",
    "training.module",
    "measuring.recording",
    "training.signals",
    "measuring.kinds",
    "measuring.spectra",
    "measuring.tracing",
    "measuring.probing",
    "measuring.advice",
]

# The only modules that import these, at the top of the file or within a function.
ALLOWED = {
    "torch": {
        *COMPUTING,
        "training.preflight",
        "training.rehearsal",
        "training.device",
        "executors.layout",
        "executors.local",
        "executors.here",
        "executors.worker",
        "training.curves",
        "storage.record",
        "measuring.probes",
        "measuring.coordinates",
    }
    - {"schemes.inits", "archs", "schemes.mup"},
    "scipy": {
        "schemes.structured",
        "theory.activations",
        "theory.meanfield",
        "theory.finite",
        "theory.attention",
        *STATS,
    }
    - {"stats", "stats.factors"},
    "lightning": {"training.module", "training.train"},
    "hydra": {"planning.presets", "planning.compose", "planning.axes", "planning.product", "planning.links", "command"},
    "omegaconf": {"planning.presets", "planning.compose", "planning.axes", "planning.product"},
    "tensorboard": {"storage.events", "views.hparams", "reporting.board"},
    "matplotlib": {
        "measuring.portrait",
        "reporting.figures",
        "reporting.plots.panels",
        "reporting.plots.maps",
        "reporting.plots.forests",
        "reporting.plots.criteria",
    },
    "jinja2": {"reporting.typeset"},
    "rich": {"views.progress", "measuring.portrait"},
    "safetensors": {"training.train", "training.checkpoint"},
    "yaml": {"storage.store", "storage.received"},
    "markupsafe": {"reporting.typeset"},
    "sklearn": {"datasets.openml"},
    "pandas": {"analysis.frames"},
    "xarray": {"analysis.frames"},
    "pyarrow": {"analysis.frames"},
    "ray": {"executors.ray"},
    "submitit": {"executors.slurm"},
}
LONGEST_FILE, LONGEST_FUNCTION = 300, 60


class Import(NamedTuple):
    """A name that is imported (initlab.schemes.apply, torch.nn), and when: with its module, or within a function."""

    name: str
    at_once: bool


def file_of(module: str) -> Path:
    """``specs.init`` is specs/init.py, the package ``specs`` is specs/__init__.py."""
    path = SRC / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(file_of(module).read_text())


@cache
def imports(module: str) -> list[Import]:
    """All imports that run; those for type checkers alone do not."""
    return list(_imports(tree(module), at_once=True))


def _imports(node: ast.AST, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0 and child.module, "imports are absolute"
            yield Import(child.module, at_once)
            yield from (Import(f"{child.module}.{alias.name}", at_once) for alias in child.names)
        else:
            yield from _imports(child, at_once and not isinstance(child, ast.FunctionDef | ast.Lambda))


def inner(module: str, at_once: bool = False) -> set[str]:
    """The modules of the package that a module imports; at_once: with itself, not within a function."""
    chosen = [name for name, early in imports(module) if early or not at_once]
    # A name may be a module or something in one; a package's module is named without the package as well.
    return {name.removeprefix("initlab.") for name in chosen if name.startswith("initlab.")} & LEVEL.keys()


def reach(module: str) -> set[str]:
    """The modules of the package that are imported with a module, itself among them."""
    reached, pending = set(), {module}
    while pending:
        reached |= pending
        pending = {other for m in pending for other in inner(m, at_once=True)} - reached
    return reached


every_module = pytest.mark.parametrize("module", [*LEVEL, "__init__"])


def test_each_module_has_a_place() -> None:
    assert {file_of(module) for module in [*LEVEL, "__init__"]} == set(SRC.rglob("*.py"))


@pytest.mark.parametrize("module", LEVEL)
def test_imports_point_one_way(module: str) -> None:
    assert not {other for other in inner(module) if LEVEL[other] >= LEVEL[module]}


@pytest.mark.parametrize("package", ALLOWED)
def test_who_imports_what(package: str) -> None:
    """And nobody is named here who does not: the table says what is, not what may be."""
    users = {m for m in [*LEVEL, "__init__"] if any(name.split(".")[0] == package for name, _ in imports(m))}
    assert users == ALLOWED[package]


@pytest.mark.parametrize("module", [*PLANNING, *READING, *COORDINATING, "__init__", "command"])
def test_planning_reading_and_coordinating_import_no_torch(module: str) -> None:
    """Neither themselves nor through others of the package."""
    packages = {name.split(".")[0] for m in reach(module) for name, at_once in imports(m) if at_once}
    assert not packages & {"torch", "lightning"}


@pytest.mark.parametrize("module", COMPUTING)
def test_computing_knows_neither_hydra_nor_the_disk(module: str) -> None:
    assert not reach(module) & {
        "planning.compose",
        "planning.axes",
        "planning.product",
        "planning.plan",
        "storage.store",
        "storage.events",
        "views.tables",
        "storage.record",
    }


def test_no_package_brings_torch_in_unseen() -> None:
    """What the syntax cannot tell: whether hydra, numpy or another package imports torch by itself."""
    modules = ", ".join(f"initlab.{module}" for module in [*PLANNING, *READING, *COORDINATING, "command"])
    code = f"import sys, {modules}; assert not {{'torch', 'lightning'}} & sys.modules.keys()"
    here = os.environ | {"PYTHONPATH": str(SRC.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=here)
    assert done.returncode == 0, done.stderr


@every_module
def test_files_and_functions_are_short(module: str) -> None:
    assert len(file_of(module).read_text().splitlines()) <= LONGEST_FILE
    functions = [node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef)]
    assert not [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > LONGEST_FUNCTION]


@every_module
def test_no_error_is_swallowed(module: str) -> None:
    """No handler for everything that does nothing."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ExceptHandler):
            everything = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
            silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
            assert not (everything and silent), f"line {node.lineno}"
            assert node.type is not None, f"line {node.lineno}"


READERS = {
    # the latter: between processes of one command
    "json.loads": {"storage.received", "executors.messages"},
    "np.load": {"storage.received", "datasets.arrays", "datasets.embedded"},
    "yaml.compose": {"storage.received"},
    "yaml.safe_load": set(),
}


@pytest.mark.parametrize("call", READERS)
def test_a_folder_is_read_in_one_way(call: str) -> None:
    """Nothing but `received` takes JSON, arrays or YAML apart that may come from a stranger."""
    calls = {m: {ast.unparse(node.func) for node in ast.walk(tree(m)) if isinstance(node, ast.Call)} for m in LEVEL}
    assert {module for module, names in calls.items() if call in names} == READERS[call]


@every_module
def test_nothing_received_is_executed(module: str) -> None:
    """No pickle is read, no text is run, no class is looked up by a path from a config."""
    assert not {name for name, _ in imports(module)} & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in (
                "eval",
                "exec",
                "compile",
                "__import__",
                "torch.load",
                "yaml.load",
                "yaml.unsafe_load",
            )
            assert not [k for k in node.keywords if k.arg == "allow_pickle" and ast.unparse(k.value) != "False"]
        words = {getattr(node, field, None) for field in ("id", "attr", "name")}
        assert "instantiate" not in words, f"line {getattr(node, 'lineno', '?')}"
