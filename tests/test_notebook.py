"""docs/notebook.ipynb runs on a sweep that the command trained, and shows what is on the disk."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

import forked

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
SWEEP = ["init=xavier,kaiming,lecun", "act=relu,tanh", "optimizer.lr=0.3,0.1,0.03", "seed=range(5)"]
FOLDER = "hydra.sweep.dir=outputs/notebook"
QUICK = ["trainer.max_epochs=3", "arch.width=32", "trainer.accelerator=cpu", "trainer.save_weights=false"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The trained sweep's folder, and the notebook's cells by their ids, with their outputs."""
    cwd = tmp_path_factory.mktemp("notebook")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    forked.command(["-m", *SWEEP, *QUICK, FOLDER], cwd).check_returncode()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")  # of the kernel's client
        for name in ("PYTHONPATH", "OMP_NUM_THREADS"):
            patch.setenv(name, environment[name])
        NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(cwd)}}
        ).execute()
    return cwd / "outputs" / "notebook", {cell["id"]: cell for cell in notebook.cells}


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell["cell_type"] == "code"]
    assert cells and all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)


def test_its_first_page_has_the_command(executed: tuple[Path, dict[str, Any]]) -> None:
    text = executed[1]["title"]["source"]
    assert all(f"{word}" in text or f"'{word}'" in text for word in [*SWEEP, FOLDER])


def test_its_table_is_what_one_computes_from_results_csv(executed: tuple[Path, dict[str, Any]]) -> None:
    """The best mean on validation chooses the rate; the mean on test is shown."""
    folder, cells = executed
    scores = defaultdict(list)
    with (folder / "results.csv").open() as file:
        for row in csv.DictReader(file):
            at = (row["init"], row["act"], float(row["optimizer.lr"]))
            scores[at].append([float(row["final val/accuracy"]), float(row["final test/accuracy"])])
    means = {at: np.mean(values, axis=0) for at, values in scores.items()}
    best: dict[tuple[str, str], tuple[float, float, float]] = {}
    for (init, act, rate), (validation, test) in means.items():
        if validation > best.get((init, act), (-1.0, 0.0, 0.0))[0]:
            best[init, act] = (validation, rate, test)
    shown = {(row[1], row[2]): row[3:] for row in _rows(cells["table"])}
    assert len(shown) == len(best) == 6
    for cell, (_, rate, test) in best.items():
        assert float(shown[cell][0]) == rate
        assert float(shown[cell][2]) == pytest.approx(test, abs=1e-6)
    order = [float(row[5]) for row in _rows(cells["table"])]
    assert order == sorted(order, reverse=True)


def test_it_draws_and_compares(executed: tuple[Path, dict[str, Any]]) -> None:
    cells = executed[1]
    assert any("image/png" in output.get("data", {}) for output in cells["bands"]["outputs"])
    assert len(_rows(cells["compare"])) == 5
    assert len(_rows(cells["axes"])) == 5
    assert not [
        o for cell in cells.values() for o in cell.get("outputs", []) if o["output_type"] in ("error", "stream")
    ]


def _rows(cell: Any) -> list[list[str]]:
    """The body of the frame that a cell shows."""
    html = cell["outputs"][-1]["data"]["text/html"]
    body = html[html.index("<tbody>") :]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in body.split("<tr>")[1:]]
