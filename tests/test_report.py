"""The report says what its tables hold, shows as text whatever the folder holds, and is the same twice."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import html5lib
import numpy as np
import pytest
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from initlab import command
from initlab.analysis.bands import band
from initlab.analysis.cells import cells
from initlab.analysis.contrasts import families
from initlab.errors import Refused
from initlab.reporting import evidence, provenance, report
from initlab.reporting.figures import RECOLOURED, SERIES
from initlab.reporting.rebuild import rebuild
from initlab.reporting.wording import joined
from initlab.storage.folder import Sweep
from sweeps import FAILED, MISSING, At, sweep

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["arch.width=16", "trainer.max_epochs=4", "trainer.save_weights=false", "trainer.accelerator=cpu"]
REAL = {
    "digits": [
        "init=xavier,kaiming,zeros",
        "act=relu,tanh",
        "optimizer.lr=0.03,0.1,0.3",
        "seed=range(5)",
        "arch.depth=2",
    ],
    "depth": ["init=kaiming,too_large,zeros", "arch.depth=2,16", "optimizer.lr=0.01", "seed=range(3)"],
    "diabetes": ["dataset=diabetes", "init=xavier,kaiming", "act=relu,tanh", "optimizer.lr=0.01,0.1", "seed=range(3)"],
}
HTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    "\"'><img src=x onerror=alert(3)>",
    "javascript:alert(4)",
    "]]></title></svg><svg onload=alert(5)>",
    "{{ 7*7 }}{% raw %}",
    "\u202egnp.exe\u2066",
    "nul\x00bell\x07",
    "=HYPERLINK(A1)",
    "$x_1$ & 100% #1 \\input{x} ~^",
    "| a `b` *c* [d](e) <f>",
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three real sweeps, shortened, with their reports."""
    made = {}
    for name, words in REAL.items():
        folder = tmp_path_factory.mktemp("real") / name
        assert command.main(ROOT, ["-m", *words, *QUICK, f"hydra.sweep.dir={folder}", "sweep.report=true"]) == 0
        made[name] = folder / "report" / "index.html"
    return made


def parsed(page: Path) -> ElementTree.Element:
    """The page as a browser reads it; an error of syntax fails."""
    return html5lib.HTMLParser(strict=True).parse(page.read_text(encoding="utf-8"))


def text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def answer(folder: Path) -> str:
    """The paragraph at the report's head."""
    (section,) = (e for e in parsed(report.write([folder])).iter(f"{HTML}section") if e.get("class") == "answer")
    return text(section[0])


@pytest.mark.parametrize("name", REAL)
def test_a_page_needs_nothing_else_and_lets_nothing_run(pages: dict[str, Path], name: str) -> None:
    source, page = pages[name].read_text(encoding="utf-8"), parsed(pages[name])
    given = [value for e in page.iter() for value in e.attrib.values()]
    assert not [
        value
        for value in (*given, *(e.text or "" for e in page.iter(f"{HTML}style")))
        if re.search("https?:|^//|[(\"']//", value)
    ]
    assert not {e.tag for e in page.iter()} & {f"{HTML}{tag}" for tag in ("script", "iframe", "object", "img", "form")}
    assert not [e for e in page.iter() if any(key == "style" or key.startswith("on") for key in e.attrib)]
    (head,) = page.iter(f"{HTML}head")
    policy = head[1].attrib["content"]
    (style,) = page.iter(f"{HTML}style")
    digest = base64.b64encode(hashlib.sha256((style.text or "").encode()).digest()).decode()
    assert head[1].attrib["http-equiv"] == "Content-Security-Policy"
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:;")
    assert str(pages[name].parent.parent) not in source + (pages[name].parent / "report.md").read_text()


@pytest.mark.parametrize("name", REAL)
def test_a_page_can_be_read_without_seeing_it(pages: dict[str, Path], name: str) -> None:
    page = parsed(pages[name])
    headings = [e for e in page.iter() if e.tag in (f"{HTML}h1", f"{HTML}h2", f"{HTML}h3")]
    assert [e.tag for e in headings] == [f"{HTML}h1", *[f"{HTML}h2"] * (len(headings) - 1)]
    assert all(text(e) for e in headings)
    figures = list(page.iter(f"{SVG}svg"))
    assert len(figures) >= 4
    for figure in figures:
        assert figure.get("role") == "img" and len(text(figure[0])) > 30
        assert figure[0].tag == f"{SVG}title" and figure[0].get("id") == figure.get("aria-labelledby")
    for table in page.iter(f"{HTML}table"):
        assert len(text(next(table.iter(f"{HTML}caption")))) > 20
        assert {e.get("scope") for e in table.iter(f"{HTML}th")} == {"col", "row"}
        assert len({len(row) for row in table.iter(f"{HTML}tr")}) == 1
    ids = Counter(e.attrib["id"] for e in page.iter() if "id" in e.attrib)
    assert set(ids.values()) == {1}
    assert {e.attrib["href"][1:] for e in page.iter(f"{HTML}a")} <= set(ids)
    used = [e.attrib[key] for e in page.iter() for key in e.attrib if key.endswith("href") and e.tag != f"{HTML}link"]
    used += re.findall(r"url\((#[^)]+)\)", " ".join(v for e in page.iter() for v in e.attrib.values()))
    assert {reference[1:] for reference in used} <= set(ids)


def test_a_missing_package_is_said_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "jinja2" else find_spec(name))
    assert command.main(ROOT, [f"hydra.run.dir={tmp_path / 'run'}", "sweep.report=true"]) == 2
    assert capsys.readouterr().err == "refused: a report needs jinja2: pip install 'initlab[report]'.\n"
    assert not (tmp_path / "run").exists()


def test_sections_come_in_the_order_of_a_paper(pages: dict[str, Path]) -> None:
    titles = [text(e) for e in parsed(pages["digits"]).iter(f"{HTML}h2")]
    assert titles == [
        "The cells",
        "Map of init and act",
        "Loss curves",
        "Effects of the axes",
        "Sensitivity to the learning rate",
        "Which to take",
        "Failures",
        "Provenance",
    ]
    assert "Sensitivity to the learning rate" not in [text(e) for e in parsed(pages["depth"]).iter(f"{HTML}h2")]


def test_a_divergence_is_named_with_its_step(pages: dict[str, Path]) -> None:
    failures = (pages["depth"].parent / "tables" / "failures.csv").read_text()
    assert re.search(r"too_large,arch.depth=16.*,diverged,\"?not finite at step \d+, first in ", failures)


def test_every_table_and_figure_lies_beside_the_page(pages: dict[str, Path]) -> None:
    folder = pages["digits"].parent
    assert {p.name for p in folder.iterdir()} == {"index.html", "report.md", "files.txt", "tables", "figures", "cells"}
    tables = {p.name for p in (folder / "tables").iterdir()}
    assert tables == {f"{Path(name).stem}.{kind}" for name in tables for kind in ("csv", "tex")}
    figures = {p.name for p in (folder / "figures").iterdir()}
    assert {"heat.svg", "heat.pdf", "curves-val-loss.svg", "sensitivity-optimizer-lr.pdf"} <= figures
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert all((folder / link).exists() for link in re.findall(r"\]\((figures/[^)]+)\)", markdown))


def test_the_same_folder_elsewhere_gives_the_same_bytes(pages: dict[str, Path], tmp_path: Path) -> None:
    """Another folder, working directory, time zone, locale, hash seed and matplotlib settings."""
    there = tmp_path / "moved" / "here we are"
    shutil.copytree(pages["digits"].parent.parent, there, ignore=shutil.ignore_patterns("report"))
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nsvg.fonttype: path\n")
    odd = {"TZ": "Pacific/Apia", "LC_ALL": "tr_TR.UTF-8", "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path)}
    words = [sys.executable, str(ROOT / "scripts" / "report.py"), "here we are"]
    done = subprocess.run(words, cwd=there.parent, env=os.environ | odd, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "here we are/report/index.html\n"), done.stderr
    assert contents(there / "report") == contents(pages["digits"].parent)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def good(at: At) -> float:
    """Accuracies that differ by init, and a little by seed."""
    return 0.9 + 0.001 * at["seed"] ** 2 if at["init"] == "xavier" else 0.8 + 0.002 * at["seed"]


def test_the_answer_follows_the_numbers(tmp_path: Path) -> None:
    """A result is changed, and the sentence says what the table now holds."""
    axes = {"init": ["xavier", "kaiming"], "seed": [0, 1, 2, 3, 4]}
    sweep(tmp_path / "one", axes, good)
    assert answer(tmp_path / "one") == (
        "init=xavier has the best test accuracy: 0.906 [0.898, 0.914], over 5 seeds. It is better than the only other."
    )
    sweep(tmp_path / "two", axes, lambda at: 0.95 if at["init"] == "kaiming" and at["seed"] == 3 else good(at))
    said = answer(tmp_path / "two")
    with open(tmp_path / "two" / "report" / "tables" / "cells.csv") as file:
        best = next(csv.DictReader(file))
    assert said.startswith(f"init={best['init']} has the best test accuracy: {float(best['mean']):.3f} [")
    assert said.endswith("There is no evidence that it is better than init=kaiming.")


def test_one_seed_has_no_interval_and_gives_no_evidence(tmp_path: Path) -> None:
    sweep(tmp_path / "one", {"init": ["xavier", "kaiming"], "seed": [0]}, good)
    assert answer(tmp_path / "one") == (
        "init=xavier has the best test accuracy: 0.900 (one seed: no interval), over 1 seed. "
        "One seed gives no evidence that it is better than init=kaiming."
    )


AXES = {"init": ["xavier", "kaiming"], "act": ["relu", "tanh"], "seed": [0, 1, 2]}


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (lambda at: FAILED, "Every run failed: no run ended, so that there is nothing to compare."),
        (lambda at: np.inf, "Every run diverged: there is no best test accuracy."),
        (
            lambda at: FAILED if (at["init"], at["act"]) != ("xavier", "tanh") else good(at),
            "init=xavier, act=tanh has the best test accuracy: 0.902 [0.896, 0.907], over 3 seeds. "
            "There is no other cell to compare it with.",
        ),
        (
            lambda at: MISSING if (at["init"], at["act"]) == ("xavier", "relu") else good(at),
            "init=xavier, act=tanh has the best test accuracy: 0.902 [0.896, 0.907], over 3 seeds. "
            "It is better than both others.",
        ),
    ],
    ids=["all failed", "all diverged", "one cell left", "a hole in the grid"],
)
def test_a_sweep_that_went_wrong_has_a_report(tmp_path: Path, outcome: Any, said: str) -> None:
    sweep(tmp_path / "sweep", AXES, outcome)
    assert answer(tmp_path / "sweep") == said


def test_a_cell_with_a_divergence_has_no_best_loss(tmp_path: Path) -> None:
    """A run that diverged is infinitely bad, so that the best mean is infinite where each cell has one."""
    made = sweep(tmp_path / "s", AXES, lambda at: np.inf if at["seed"] == 1 else good(at))
    found = cells([made], "loss")
    (said,) = evidence.answer(found, families(found))
    assert str(said) == "In every cell a run ended without a finite test loss: there is no best."


def test_runs_that_diverged_are_counted_over_crossed_seeds(tmp_path: Path) -> None:
    axes = {"init": ["xavier", "kaiming"], "init_seed": [0, 1], "order_seed": [0, 1]}
    found = cells([sweep(tmp_path / "s", axes, lambda at: FAILED if at["init_seed"] and at["order_seed"] else np.inf)])
    (said,) = evidence.answer(found, families(found))
    assert str(said) == "Every run diverged or failed: there is no best test accuracy."


def test_an_unfinished_sweep_says_how_many_runs_have_ended(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": ["xavier", "kaiming"], "seed": [0, 1]}, good)
    part = Sweep(made.folder, made.description, made.records[:3])
    assert report._facts(cells([part]), [part])[0] == "3 of 4 runs have ended"
    assert report._facts(cells([made]), [made])[0] == "4 runs"


def test_a_command_of_somebody_else_is_not_shown(tmp_path: Path) -> None:
    made = sweep(tmp_path / "s", {"init": ["xavier"]}, lambda at: 0.5)
    strange = Sweep(made.folder, made.description | {"command": ["sh", "-c", "rm -r precious"]}, made.records)
    assert "precious" not in repr(provenance.section([strange])) and provenance.command(strange) is None
    assert provenance.command(made) == "python train.py"


def test_a_single_run_has_a_report(tmp_path: Path) -> None:
    sweep(tmp_path / "run", {}, lambda at: 0.75)
    assert answer(tmp_path / "run") == "The test accuracy is 0.750 (one seed: no interval), over 1 seed."


def test_a_probe_stands_beside_the_outcome(tmp_path: Path) -> None:
    made = sweep(tmp_path / "probed", {"init": ["xavier", "kaiming"], "seed": [0, 1]}, good)
    for record in made.records:
        scale = 4.0 if record["axes"]["init"] == "kaiming" else 1.0 - record["axes"]["seed"] / 2
        layers = [{"name": f"fc{i}", "q": 0.5 * scale**i, "gradient": 2.0 * scale**-i} for i in range(3)]
        probe = {"schema": 1, "layers": layers, "verdict": "explodes" if scale > 1 else "trains", "trouble": None}
        (made.folder / record["folder"] / "probe.json").write_text(json.dumps(probe))
    page = parsed(report.write([made.folder]))
    (section,) = (e for e in page.iter(f"{HTML}section") if e.get("id") == "before")
    assert [[text(cell) for cell in row] for row in next(section.iter(f"{HTML}tbody"))] == [
        ["init=xavier", "trains", "0.250 to 1.000", "0.250 to 1.000", "0.901", "0 of 2"],
        ["init=kaiming", "explodes", "16.000", "16.000", "0.801", "0 of 2"],
    ]
    (made.folder / made.records[0]["folder"] / "probe.json").write_text('{"layers": 3}')
    with pytest.raises(Refused, match=r"probe.json.*layers"):
        report.write([made.folder])


def test_several_sweeps_become_one(tmp_path: Path) -> None:
    for name in ("xavier", "kaiming"):
        sweep(tmp_path / name, {"init": [name], "seed": [0, 1, 2]}, good)
    folders = [tmp_path / "xavier", tmp_path / "kaiming"]
    page = parsed(report.write(folders, tmp_path / "both"))
    assert text(next(page.iter(f"{HTML}h1"))) == "Which init gives the best test accuracy with mlp on digits?"
    with pytest.raises(Refused, match="2 sweeps: say with --out in which folder"):
        report.write(folders)


def test_what_is_no_sweep_is_refused_in_a_line(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "scripts" / "report.py"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"refused: {tmp_path}: no sweep's folder, as it has no sweep.json.\n"


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[Path, Path]:
    """Reports of two sweeps, alike but that every text of the second is a payload."""
    pages = []
    for name, words in (("plain", [f"value{i}" for i in range(len(HOSTILE))]), ("hostile", HOSTILE)):
        made = sweep(tmp_path / name, {"init": words, "seed": [0, 1, 2]}, lambda at: FAILED if at["seed"] == 2 else 0.5)
        texts: dict[str, Any] = dict.fromkeys(("created", "plan"), "".join(words))
        texts |= {"command": ["python", "train.py", *words], "git": {"commit": words[0], "diff": "\n".join(words)}}
        texts |= {"versions": dict(zip(words, words, strict=True)), "plugins": {words[0]: words[1]}}
        said = {"error": "".join(words), "device": words[2], "initial_weights": words[3]}
        records = [record | said for record in made.records]
        runs = [run | {"data": words[4]} for run in made.description["runs"]]
        changed = Sweep(made.folder, made.description | texts | {"runs": runs}, records)
        pages.append(report.publish([changed], tmp_path / name / "report"))
    return pages[0], pages[1]


def test_hostile_text_is_shown_as_text(hostile: tuple[Path, Path]) -> None:
    plain, other = map(parsed, hostile)
    assert Counter(e.tag for e in plain.iter()) == Counter(e.tag for e in other.iter())
    assert Counter(key for e in plain.iter() for key in e.attrib) == Counter(
        key for e in other.iter() for key in e.attrib
    )
    read = "".join(other.itertext())
    assert all(payload in read for payload in HOSTILE[:6])
    assert "<U+202E>gnp.exe<U+2066>" in read and "nul␀bell␇" in read
    assert not set(read) & set(map(chr, [*range(9), 0x202E, 0x2066]))


def test_hostile_text_stays_text_beside_the_page(hostile: tuple[Path, Path]) -> None:
    folder = hostile[1].parent
    for figure in (folder / "figures").glob("*.svg"):
        assert not {e.tag for e in ElementTree.parse(figure).iter()} & {f"{SVG}script", f"{SVG}foreignObject"}
    with open(folder / "tables" / "cells.csv", newline="") as file:
        cells = {row["init"] for row in csv.DictReader(file)}
    assert "'=HYPERLINK(A1)" in cells and not any(cell.startswith("=") for cell in cells)
    tex = (folder / "tables" / "cells.tex").read_text()
    assert r"\$x\_1\$ \& 100\% \#1 \textbackslash{}input\{x\} \textasciitilde{}\textasciicircum{}" in tex
    markdown = (folder / "report.md").read_text()
    outside = re.sub(r"```.*?```|`[^`]*`", "", markdown, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<script|(?<!\\)<img|(?<!\\)\]\(e\)", outside)


def test_tensorboard_finds_the_cells_and_the_figures(pages: dict[str, Path]) -> None:
    folder = pages["digits"].parent
    cells = sorted(p.name for p in (folder / "cells").iterdir())
    assert len(cells) == 6 and cells[0] == "init=kaiming,act=relu"
    cell = EventAccumulator(str(folder / "cells" / cells[0])).Reload()
    low, middle, high = (
        np.array([e.value for e in cell.Scalars(tag)])
        for tag in ("val_band/loss low", "val/loss", "val_band/loss high")
    )
    assert len(middle) == 5 and (low <= middle).all() and (middle <= high).all() and (low < high).any()
    shown = EventAccumulator(str(folder / "figures")).Reload()
    assert {"report/heat", "report/curves-val-loss"} <= set(shown.Tags()["images"])
    (tensor,) = (e.tensor_proto for e in shown.Tensors("custom_scalars__config__"))
    layout = layout_pb2.Layout.FromString(tensor.string_val[0])
    assert [chart.title for chart in layout.category[0].chart] == ["train/loss", "val/loss", "val/accuracy"]


def test_a_band_is_median_and_quartiles_and_a_divergence_the_worst() -> None:
    steps = np.arange(3)
    runs = [np.array([s, 10.0 + s, 20.0]) for s in range(4)] + [np.array([9.0, np.nan, np.nan])]
    found = band([(steps, values) for values in runs], "val/loss")
    assert (found.low.tolist(), found.middle.tolist(), found.high.tolist()) == (
        [1, 11, 20],
        [2, 12, 20],
        [3, 13, 20],
    )
    most = band([(steps, np.full(3, np.nan))] * 2 + [(steps, np.zeros(3))], "val/loss")
    assert np.isinf(most.middle).all() and np.isinf(most.high).all() and np.isfinite(most.low).all() is np.False_
    least = band([(steps, np.full(3, np.nan))] + [(steps, np.full(3, height)) for height in (0.1, 0.2, 0.3)], "val/r2")
    assert (least.low.tolist(), least.middle.tolist(), least.high.tolist()) == (
        [-np.inf] * 3,
        pytest.approx([0.15] * 3),
        pytest.approx([0.225] * 3),
    )


def luminance(color: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_their_ground(ground: int) -> None:
    """4.5 for words (WCAG 1.4.3), also for the lines, whose names have their colours; 3 for what is only drawn."""
    paper, ink, muted, _, rest, *series = (luminance(pair[ground]) for pair in RECOLOURED)

    def contrast(color: float) -> float:
        high, low = max(color, paper), min(color, paper)
        return (high + 0.05) / (low + 0.05)

    assert contrast(ink) >= 7 and contrast(muted) >= 4.5 and contrast(rest) >= 3
    assert len(series) == len(SERIES) and min(map(contrast, series)) >= 4.5


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("name", REAL)
def test_a_browser_opens_the_page_in_silence(pages: dict[str, Path], tmp_path: Path, name: str) -> None:
    """No message on its console, and no request but that for the page."""
    log = tmp_path / "net.json"
    words = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user"]
    words += ["--enable-logging=stderr", f"--log-net-log={log}", "--dump-dom", pages[name].as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "</html>" in done.stdout
    assert "CONSOLE" not in done.stderr
    asked = re.findall(r'"url":"([a-z]+:[^"]*)"', log.read_text())
    assert {url for url in asked if url.startswith(("http", "ws", "ftp"))} <= background(asked)


def background(asked: list[str]) -> set[str]:
    """What Chromium asks by itself, whatever the page: its own updates and lists."""
    return {url for url in asked if re.match(r"https?://[\w.-]*(google|gstatic|googleapis|gvt1)\.com/", url)}


def test_the_event_files_come_back_from_the_curves(pages: dict[str, Path], tmp_path: Path) -> None:
    """Every scalar of every run at its step and time, and the table's rows; a run that diverged ends where it did."""
    trained, copy = pages["depth"].parent.parent, tmp_path / "copy"
    shutil.copytree(trained, copy)
    files = [path.relative_to(copy) for path in copy.glob("runs/*/events.out.tfevents.*")]
    for path in files:
        (copy / path).unlink()
    assert rebuild(copy) == 18 and len(files) == 36
    for path in files:
        if path.suffix == ".hparams":
            assert (copy / path).read_bytes() == (trained / path).read_bytes()
        else:
            made, was = EventAccumulator(str(copy / path)).Reload(), EventAccumulator(str(trained / path)).Reload()
            tags = made.Tags()["scalars"]
            assert "train/loss" in tags and set(tags) == set(was.Tags()["scalars"])
            assert all(np.array_equal(points(made, t), points(was, t), equal_nan=True) for t in tags)


def points(reader: EventAccumulator, tag: str) -> NDArray[np.float64]:
    """[T, 3]: wall times, steps, values."""
    return np.array([(e.wall_time, e.step, e.value) for e in reader.Scalars(tag)])


def test_a_list_of_what_has_commas_can_be_told_apart() -> None:
    assert joined(["a", "b", "c"]) == "a, b and c" and joined(["a, b"]) == "a, b" and joined([]) == "–"
    assert joined(["init=x, act=y", "init=z, act=y"]) == "init=x, act=y; and init=z, act=y"
