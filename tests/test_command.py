"""The command as a user calls it: what it prints, what it leaves on the disk, what it answers when called again."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

import forked
import forks
from initlab.specs import INITS
from initlab.storage import events, store
from initlab.storage.folder import read
from initlab.views import hparams
from tensorboard_server import ask, post, rows, serve, wait_for

ROOT = Path(__file__).resolve().parent.parent
QUICK = ["trainer.max_epochs=2", "arch.width=16", "arch.depth=2", "trainer.accelerator=cpu"]
SWEEP = ["-m", "init=xavier,kaiming", "act=relu,tanh", *QUICK]


def command(*words: str, cwd: Path, rc: int = 0) -> subprocess.CompletedProcess[str]:
    """The command in a folder that is not the checkout."""
    done = forked.command(words, cwd)
    assert done.returncode == rc, done.stdout + done.stderr
    return done


def from_nothing(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`python train.py words` as a user starts it, without the package being on the path."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The main job, shortened: the folder and what was printed."""
    cwd = tmp_path_factory.mktemp("sweep")
    printed = from_nothing(*SWEEP, cwd=cwd).stdout
    (folder,) = (cwd / "outputs").iterdir()
    return folder, printed


NAMES = [f"init={init},act={act}" for init in ("xavier", "kaiming") for act in ("relu", "tanh")]


def test_the_sweep_prints_its_plan_its_table_and_the_next_command(sweep: tuple[Path, str]) -> None:
    folder, printed = sweep
    assert printed.startswith(f"4 runs: init (2) x act (2), in 2 groups -> outputs/{folder.name}\n")
    header, rule, *rows = printed[printed.index("init  ") :].splitlines()[:6]
    assert header.split() == ["init", "act", "status", "val/accuracy", "val/loss", "test/accuracy", "seconds"]
    assert set(rule) == {"-"}
    accuracies = [float(row.split()[3]) for row in rows]
    assert len(rows) == 4 and accuracies == sorted(accuracies, reverse=True)
    assert "Metrics are those at the last step, ordered by val/accuracy (greatest first)" in printed
    assert re.search(r"^as measured: \d stacks? of \d runs?; \d workers? of \d threads?$", printed, re.MULTILINE)
    assert re.search(
        r"^stack \d of \d: \d runs? in [\d.]+ s(; \d of 4 runs done, about \d+ s left)?$", printed, re.MULTILINE
    )
    assert re.search(rf"next: .*tensorboard --logdir outputs/{folder.name}/runs", printed)


def test_the_folder_holds_what_the_design_says(sweep: tuple[Path, str]) -> None:
    folder, _ = sweep
    assert {p.name for p in folder.iterdir()} == {*store.OURS, "lock"} - {"report"}
    assert not list((folder / "checkpoints").iterdir())
    described = json.loads((folder / "sweep.json").read_text())
    assert described["schema"] == 1 and described["command"][2:] == SWEEP
    assert [(a["name"], a["role"], a["type"]) for a in described["axes"]] == [
        ("init", "scientific", "str"),
        ("act", "scientific", "str"),
    ]
    assert {"torch", "lightning", "hydra-core"} <= described["versions"].keys()
    assert sorted(key for stack in described["stacks"] for key in stack["keys"]) == sorted(
        run["key"] for run in described["runs"]
    )
    assert [run["name"] for run in described["runs"]] == NAMES
    assert all(len(run["data"]) == 64 for run in described["runs"])
    assert described["seeds"] == {"seed": [0], "init_seed": [0], "order_seed": [0]}


def test_a_sweep_over_every_scheme_runs_to_its_end(tmp_path: Path) -> None:
    """The controls too: a scheme that cannot train diverges, and none fails. Those that need a role need other nets."""
    able = {name for name, spec in INITS.items() if "needs" not in spec.facts}
    words = ("-m", f"init={','.join(sorted(able))}", *QUICK, "trainer.save_weights=false", "hydra.sweep.dir=all")
    command(*words, cwd=tmp_path)
    records = read(tmp_path / "all").records
    assert {INITS.aliases.get(name, name) for name in (r["axes"]["init"] for r in records)} == able
    assert {record["status"] for record in records} <= {"done", "diverged"}


def test_every_run_has_its_config_result_weights_and_events(sweep: tuple[Path, str]) -> None:
    folder, _ = sweep
    for name in NAMES:
        run = folder / "runs" / name
        assert {p.name for p in run.iterdir()} == {
            "config.yaml",
            "result.json",
            "weights.safetensors",
            events.FILE_NAME,
            hparams.FILE_NAME,
        }
        config = yaml.safe_load((run / "config.yaml").read_text())
        result = json.loads((run / "result.json").read_text())
        assert config["key"] == result["key"] and f"act={config['act']['name']}" in name
        assert (
            result["status"] == "done" and result["steps"] == 2 * (1257 // 128) and len(result["initial_weights"]) == 64
        )
        shapes = {key: array.shape for key, array in load_file(run / "weights.safetensors").items()}
        assert shapes["fc1.weight"] == (16, 64) and shapes["fc3.bias"] == (10,)


def test_the_curves_the_table_the_results_and_the_events_agree(sweep: tuple[Path, str]) -> None:
    folder, _ = sweep
    rows = {row["key"]: row for row in csv.DictReader((folder / "results.csv").read_text().splitlines())}
    assert len(rows) == 4
    for file in (folder / "curves").iterdir():
        with np.load(file) as curves:
            assert curves["val/loss.step"].tolist() == [0, 9, 18] and curves["train/loss.step"].tolist() == [1, 10]
            assert curves["val/loss.samples"].tolist() == [0, 9 * 128, 18 * 128]
            for r, key in enumerate(curves["key"].tolist()):
                result = json.loads((folder / rows[key]["folder"] / "result.json").read_text())
                assert result["final"]["val/loss"] == curves["val/loss"][r, -1] == float(rows[key]["final val/loss"])
                assert result["best"]["val/accuracy"] == curves["val/accuracy"][r].max()
                shown = events.read(folder / rows[key]["folder"] / events.FILE_NAME)
                assert set(shown) == {m for m in curves.files if "/" in m and "." not in m}
                for tag, points in shown.items():
                    assert [step for step, _ in points] == curves[f"{tag}.step"].tolist()
                    np.testing.assert_array_equal([v for _, v in points], curves[tag][r].astype(np.float32))


def test_the_real_tensorboard_serves_every_run_and_scalar(sweep: tuple[Path, str]) -> None:
    folder, _ = sweep
    with serve(folder / "runs") as url:
        wait_for(lambda: len(ask(url, "data/plugin/scalars/tags")) == 4)
        tags = ask(url, "data/plugin/scalars/tags")
        assert set(tags) == set(NAMES)
        for name in NAMES:
            assert {"train/loss", "val/loss", "val/accuracy", "test/accuracy"} <= set(tags[name])
            points = ask(url, "data/plugin/scalars/scalars", run=name, tag="val/loss")
            result = json.loads((folder / "runs" / name / "result.json").read_text())
            assert [step for _, step, _ in points] == [0, 9, 18]
            assert points[-1][2] == pytest.approx(result["final"]["val/loss"], rel=1e-6)
        columns = post(url, "data/plugin/hparams/experiment")
        assert [info["name"] for info in columns["hparamInfos"]] == ["act", "init", "status"]
        table = {row["name"]: row for row in wait_for(lambda: rows(url))}
        assert set(table) == set(NAMES)
        for record in read(folder).records:
            row, metric = table[record["name"]], record["metric"]
            assert row["hparams"] == record["axes"] | {"status": "done"}
            shown = {m: record["final"][m] for m in ("val/loss", metric, "test/accuracy")}
            assert row["metrics"] == pytest.approx(shown | {"val_best/accuracy": record["best"][metric]}, rel=1e-6)


def test_the_same_command_finds_its_folder_and_says_that_all_is_done(sweep: tuple[Path, str]) -> None:
    folder, _ = sweep
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}
    printed = command(*SWEEP, cwd=folder.parent.parent).stdout
    assert "all of them are done already" in printed and "val/accuracy" in printed
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()} == before


def test_a_sweep_without_its_last_commit_trains_only_what_is_missing(sweep: tuple[Path, str], tmp_path: Path) -> None:
    """The journal is cut within its last line, as by a crash: one stack counts, the other is trained again, equal."""
    folder, _ = sweep
    copy = tmp_path / "outputs" / folder.name
    shutil.copytree(folder, copy)
    lines = (copy / "journal").read_bytes().splitlines(keepends=True)
    (copy / "journal").write_bytes(lines[0] + lines[1][:100])
    kept = [record["name"] for record in json.loads(lines[0].split(b" ", 1)[1])["runs"]]
    untouched = {name: (copy / "runs" / name / "weights.safetensors").stat().st_mtime_ns for name in kept}
    command(*SWEEP, cwd=tmp_path)
    for name, stamp in untouched.items():
        assert (copy / "runs" / name / "weights.safetensors").stat().st_mtime_ns == stamp
    for name in NAMES:
        again, before = (place / "runs" / name / "weights.safetensors" for place in (copy, folder))
        assert again.read_bytes() == before.read_bytes()
    assert len(read(copy).records) == 4


def test_fresh_starts_anew_and_another_sweep_is_refused(tmp_path: Path) -> None:
    here = f"hydra.run.dir={tmp_path / 'here'}"
    command(*QUICK, here, cwd=tmp_path)
    refused = command(*QUICK, "seed=1", here, cwd=tmp_path, rc=2)
    assert refused.stderr.startswith("refused: ") and "holds another sweep" in refused.stderr
    command(*QUICK, "seed=1", here, "sweep.fresh=true", cwd=tmp_path)
    assert json.loads((tmp_path / "here" / "sweep.json").read_text())["seeds"]["seed"] == [1]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    printed = command(*SWEEP, "sweep.dry_run=true", cwd=tmp_path).stdout
    assert (
        all(name in printed for name in NAMES)
        and "2 runs, in stacks as wide as a measurement will say" in printed
        and "would write" in printed
    )
    assert list(tmp_path.iterdir()) == []


def test_a_diverging_run_is_a_result(tmp_path: Path) -> None:
    words = ["-m", "optimizer.lr=0.1,1e30", "init=kaiming,xavier", *QUICK]
    printed = command(*words, "hydra.sweep.dir=a", cwd=tmp_path).stdout
    records = {r["name"]: r for r in read(tmp_path / "a").records}
    assert sorted(r["status"] for r in records.values()) == ["diverged", "diverged", "done", "done"]
    bad = records["init=kaiming,optimizer.lr=1e+30"]
    assert bad["diverged"]["step"] >= 1 and bad["final"]["val/loss"] is None
    assert f"{bad['name']} diverged at step {bad['diverged']['step']}" in printed
    shown = events.read(tmp_path / "a" / bad["folder"] / events.FILE_NAME)
    assert max(step for points in shown.values() for step, _ in points) < bad["diverged"]["step"]
    row = events.read(tmp_path / "a" / bad["folder"] / hparams.FILE_NAME)
    last = bad["diverged"]["last"]["test/accuracy"]  # of its last finite weights, which the curves do not show
    assert row["test/accuracy"] == [(bad["steps"], pytest.approx(last, rel=1e-6))] and bad["steps"] > 0
    assert "4 runs: 2 done, 2 diverged" in printed and "sweep.retry" not in printed


def break_lecun() -> None:
    def broken(weight: Any, **fields: Any) -> NoReturn:
        raise RuntimeError("no such law")

    INITS._functions["lecun"] = broken


def test_a_run_that_raises_is_named_and_takes_no_other_down(tmp_path: Path) -> None:
    words = ["-m", "init=xavier,lecun,kaiming", *QUICK, "hydra.sweep.dir=b"]
    done = forked.command(words, tmp_path, before=break_lecun)
    assert done.returncode == 3, done.stdout + done.stderr
    records = {r["axes"]["init"]: r for r in read(tmp_path / "b").records}
    assert {k: r["status"] for k, r in records.items()} == {"xavier": "done", "lecun": "failed", "kaiming": "done"}
    *_, odd, traces, count, _, results, _, retry = done.stdout.splitlines()
    assert odd == "init=lecun failed: RuntimeError: no such law"
    assert traces == "tracebacks: b/runs/<name>/traceback.txt" and count == "3 runs: 2 done, 1 failed"
    assert results == "results: b" and retry.startswith("failed: ")
    assert retry.endswith(f" train.py {' '.join(words)} sweep.retry=failed")
    assert "no such law" in (tmp_path / "b" / records["lecun"]["traceback"]).read_text()
    assert "Traceback" not in done.stderr


def test_a_signal_ends_the_command_with_its_code(tmp_path: Path) -> None:
    """SIGTERM to the command as a user starts it; SIGINT, in a terminal, is in `test_progress`."""
    number = signal.SIGTERM
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), "trainer.max_epochs=100000", "hydra.run.dir=long"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        started = time.monotonic()
        while not list((tmp_path / "long").glob(f"runs/*/{events.FILE_NAME}")):
            assert process.poll() is None and time.monotonic() - started < 120
            time.sleep(0.1)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    said = f"stopped by {number.name}: 0 of 1 runs done and kept; the stack in progress is kept up to step "
    assert said in err and "The same command goes on from here." in err and "Traceback" not in err


def test_a_second_starter_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    words = ["trainer.max_epochs=100000", "hydra.run.dir=held"]
    first = forks.Child(words, tmp_path)
    try:
        started = time.monotonic()
        while not (tmp_path / "held" / "sweep.json").exists():
            assert first.poll() is None and time.monotonic() - started < 120
            time.sleep(0.01)
        second = command(*words, cwd=tmp_path, rc=75)
        assert f"process {first.pid} on" in second.stderr
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()


def test_a_folder_that_cannot_be_written_is_one_line_and_74(tmp_path: Path) -> None:
    words = [*QUICK, "hydra.run.dir=/proc/initlab"]  # not writable, whoever asks
    refused = command(*words, cwd=tmp_path, rc=74)
    assert refused.stderr.startswith("disk: ") and len(refused.stderr.strip().splitlines()) == 1


def numbers(folder: Path) -> list[Any]:
    return [(r["key"], r["initial_weights"], r["final"], r["best"]) for r in read(folder).records]


def test_the_same_sweep_twice_gives_the_same_numbers(sweep: tuple[Path, str], tmp_path: Path) -> None:
    """In another process, whose strings hash differently, and in another folder."""
    command(*SWEEP, "hydra.sweep.dir=again", cwd=tmp_path)
    assert numbers(tmp_path / "again") == numbers(sweep[0])
