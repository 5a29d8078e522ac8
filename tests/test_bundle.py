"""A report's files in their folder: whatever no report wrote there is left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import report as script

from initlab.errors import Refused
from initlab.reporting import bundle, report
from initlab.storage import disk
from sweeps import sweep

FIRST = {"tables/cells.csv": b"1", "cells/init=xavier/events": b"2", "index.html": b"3"}
SECOND = {"tables/cells.csv": b"4", "index.html": b"5"}


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_earlier_report_is_replaced(tmp_path: Path) -> None:
    into = tmp_path / "report"
    bundle.replace(into, FIRST)
    bundle.replace(into, SECOND)
    assert contents(into) == SECOND | {"files.txt": b"index.html\ntables/cells.csv\n"}
    assert not (into / "cells" / "init=xavier").exists()


def test_what_was_stopped_half_way_is_an_earlier_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    into, written, write = tmp_path / "report", [], disk.write

    def full(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write(path, content)

    monkeypatch.setattr(disk, "write", full)
    with pytest.raises(OSError, match="No space left"):
        bundle.replace(into, FIRST)
    monkeypatch.undo()
    bundle.replace(into, SECOND)
    assert contents(into).keys() == {*SECOND, "files.txt"}


def test_a_folder_that_holds_anything_else_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sweep(tmp_path / "s", {"init": ["xavier"], "seed": [0]}, lambda at: 0.5)
    mine = tmp_path / "paper" / "figures" / "mine.pdf"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    monkeypatch.setattr("sys.argv", ["report.py", str(made.folder), "--out", str(tmp_path / "paper")])
    assert script.main() == 2
    assert "holds figures/mine.pdf, which no report wrote there" in capsys.readouterr().err
    assert contents(tmp_path / "paper") == {"figures/mine.pdf": b"mine"}
    bundle.replace(tmp_path / "out", FIRST)
    (tmp_path / "out" / "tables" / "mine.csv").write_text("mine")
    with pytest.raises(Refused, match=r"holds tables/mine\.csv"):
        bundle.replace(tmp_path / "out", SECOND)


def test_no_link_is_followed(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": ["xavier"], "seed": [0]}, lambda at: 0.5)
    (tmp_path / "other" / "figures").mkdir(parents=True)
    (tmp_path / "other" / "figures" / "mine.pdf").write_text("mine")
    (made.folder / "report").symlink_to(tmp_path / "other")
    with pytest.raises(Refused, match="report: is a link"):
        report.write([made.folder])
    (made.folder / "report").unlink()
    (made.folder / "report").mkdir()
    (made.folder / "report" / "figures").symlink_to(tmp_path / "other" / "figures")
    (made.folder / "report" / "files.txt").write_text("figures/mine.pdf\n")
    with pytest.raises(Refused, match="figures: is a link"):
        report.write([made.folder])
    assert contents(tmp_path / "other") == {"figures/mine.pdf": b"mine"}


@pytest.mark.parametrize("name", ["../x.csv", "tables/interactions-../../x.csv", "/x.csv"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="a report's file="):
        bundle.replace(tmp_path / "a" / "b" / "report", {name: b""})
    assert not list(tmp_path.iterdir())
