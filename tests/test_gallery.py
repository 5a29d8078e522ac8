"""The gallery: cheap claims hold and their controls flip, through the script; the page is made again byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from scripts import gallery

from initlab.claiming.quantities import quantity
from initlab.planning.compose import Composer
from initlab.planning.plan import Plan, make

CONF = Path(__file__).parents[1] / "conf"
CLAIMS = sorted(
    path.stem for path in (CONF / "experiment").glob("*.yaml") if "claim" in yaml.safe_load(path.read_text())
)
CHEAP = ["he2015_variance", "sigmoid_vanishes"]


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(CONF)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    assert gallery.main([*CHEAP, "--controls", "--no-reports", "--out", str(folder)]) == 0
    return folder / "index.html"


def planned(composer: Composer, name: str, *words: str) -> Plan:
    return make(composer, [f"+experiment={name}", *words], multirun=True)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_and_its_control_can_be_planned(composer: Composer, name: str) -> None:
    """Under the control the same checks are judged, on other runs; the file says what it found and what it costs."""
    plan = planned(composer, name, "seed=0,1")
    assert plan.claim is not None
    control = planned(composer, name, "seed=0,1", *plan.claim.control)
    assert control.claim == plan.claim
    assert not {run.key for run in plan.runs} >= {run.key for run in control.runs}
    assert plan.claim.found and plan.claim.cost and plan.claim.expected
    assert all(quantity(check.of) for check in plan.claim.checks)


def test_cheap_claims_hold_and_their_controls_flip(page: Path) -> None:
    said = page.read_text()
    assert "2 hold, 0 do not, 0 are inconclusive" in said
    assert "Of 2 negative controls, 2 flip the verdict." in said
    assert '<a href="#sigmoid_vanishes">sigmoid_vanishes</a>' in said and '<section id="sigmoid_vanishes">' in said


def test_the_page_is_made_again_from_the_folders(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is run twice, and no byte is another."""
    before = page.read_bytes()
    journals = {path: path.stat().st_mtime_ns for path in page.parent.glob("*/journal")}
    assert len(journals) == 4
    assert gallery.main([*CHEAP, "--controls", "--no-reports", "--out", str(page.parent)]) == 0
    assert page.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in page.parent.glob("*/journal")} == journals
    assert capsys.readouterr().out.splitlines()[0] == "he2015_variance: holds, and its control flips"


def test_another_verdict_than_recorded_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As is a control that does not flip; a claim of one's own joins the gallery by --config-dir."""
    said = (CONF / "experiment" / "sigmoid_vanishes.yaml").read_text()
    said = said.replace("above: 16.5, below: 19.5", "above: 100").replace("init.gain=4", "init.gain=3")
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(said)
    words = ["mine", "--controls", "--config-dir", str(tmp_path), "--no-reports", "--out", str(tmp_path / "out")]
    assert gallery.main(words) == 1
    out = capsys.readouterr().out
    assert "mine: does not hold (its file records: holds), and its control DOES NOT flip" in out


def test_a_name_that_is_no_claim_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gallery.main(["he2015_varience", "--out", str(tmp_path)]) == 2
    assert "no claim 'he2015_varience'" in capsys.readouterr().err
