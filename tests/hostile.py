"""Sweeps' folders as a stranger might send them: a sound one, and what can be done to it.

    folder = sound(path)                 # two runs, done, as the command leaves them
    HOSTILE["pickle in the curves"](folder)

Each function harms a copy of the sound folder. `CANARY` is an environment value that no output may hold, and `SPRUNG`
a file whose making shows that something was executed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from initlab.planning import plan
from initlab.planning.compose import Composer
from initlab.storage.journal import part_id
from initlab.storage.store import Store
from initlab.training.curves import Series, packed

ROOT = Path(__file__).resolve().parent.parent
CANARY = "hunter2-f00dcafe"
SPRUNG = Path("/tmp/initlab-sprung")
WORDS = ("init=xavier,kaiming", "trainer.max_epochs=1", "sweep.workers=1", "sweep.stack_width=64")
HOSTILE: dict[str, Callable[[Path], None]] = {}


def sound(folder: Path) -> Path:
    """A finished sweep of two runs, without the weights and the event files."""
    made = plan.make(Composer(ROOT / "conf"), [*WORDS, f"hydra.sweep.dir={folder}"], True)
    (stack,) = made.stacks
    described = {"command": ["python", "train.py", "-m", *WORDS], "created": "2026-01-31T12:00:00Z"}
    with Store.open(made, lambda: described) as opened:
        records: list[dict[str, Any]] = []
        for run in stack.runs:
            opened.begin(run)
            records.append(
                {"schema": 1, "key": run.key, "name": run.name, "folder": f"runs/{run.name}", "axes": dict(run.choices)}
                | {"ended": 1.7e9, "status": "done", "final": {"val/loss": 1.5, "val/accuracy": 0.5}}
                | {"best": {"val/loss": 1.5, "val/accuracy": 0.5}, "steps": 2, "samples": 256, "seconds": 0.1}
                | {"metric": "val/accuracy", "direction": "max", "curves": f"curves/{stack.id}.npz"}
                | {"data": run.fingerprint, "initial_weights": "0" * 64, "device": "cpu"}
            )
        points = np.array([1, 2])
        values = np.array([[3, 2], [2, 1.5]])
        curves = {"val/loss": Series(points, points * 128, points * 1.0, values)}
        opened.commit(records, stack.id, packed(curves, [record["key"] for record in records]))
    return folder


class Bomb:
    """Unpickled, it makes the file `SPRUNG`."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(SPRUNG),)


def hostile(name: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def add(function: Callable[[Path], None]) -> Callable[[Path], None]:
        assert name not in HOSTILE
        HOSTILE[name] = function
        return function

    return add


# --- how the parts of a folder are reached ----------------------------------------------------------------------------


def curves_of(folder: Path) -> Path:
    (file,) = (folder / "curves").glob("*.npz")
    return file


def config_of(folder: Path) -> Path:
    return folder / "runs" / "init=xavier" / "config.yaml"


def describe(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change sweep.json."""
    described = json.loads((folder / "sweep.json").read_text())
    change(described)
    (folder / "sweep.json").write_text(json.dumps(described))


def commit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the first record of the journal, whose checksum is then right again."""
    (line,) = (folder / "journal").read_text().splitlines()
    content = json.loads(line.partition(" ")[2])
    change(content["runs"][0])
    journal(folder, json.dumps(content))


def journal(folder: Path, *lines: str) -> None:
    (folder / "journal").write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(x.encode()), x.encode()) for x in lines))


def npz(folder: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(curves_of(folder), "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def array(header: dict[str, Any] | str, data: bytes = b"") -> bytes:
    """An .npy file with any header."""
    text = str(header).encode()
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text) + 1) + text + b"\n" + data


def relink(path: Path, target: Path | str) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.moved"))
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)


# --- code -------------------------------------------------------------------------------------------------------------

CODE = f"import os; os.makedirs({str(SPRUNG)!r}, exist_ok=True)\n"


@hostile("modules beside the files")
def _modules(folder: Path) -> None:
    names = ("sitecustomize", "usercustomize", "initlab", "torch", "yaml", "numpy", "json", "hydra", "omegaconf")
    for name in (*names, "lightning", "safetensors", "tensorboard", "scipy", "rich", "conftest", "setup", "matplotlib"):
        (folder / f"{name}.py").write_text(CODE)


@hostile("a hydra plug-in beside the files")
def _hydra_plugin(folder: Path) -> None:
    (folder / "hydra_plugins").mkdir()
    (folder / "hydra_plugins" / "evil.py").write_text(CODE)


@hostile("a conf folder and hydra's own records beside the files")
def _conf(folder: Path) -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / "config.yaml").write_text(f"_target_: os.mkdir\npath: {SPRUNG}\n")
    (folder / ".hydra").mkdir()
    for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
        (folder / ".hydra" / name).write_text(f"- _target_: os.mkdir\n  path: {SPRUNG}\n")
    (folder / ".hydra" / "config.pickle").write_bytes(pickle.dumps(Bomb()))


@hostile("a plug-in that sweep.json names")
def _plugin(folder: Path) -> None:
    (folder / "evil.py").write_text(CODE)
    describe(folder, lambda d: d.update(plugins={"evil": "0" * 16}, command=["python", "train.py", "plugins=evil"]))


@hostile("a plug-in that the config names")
def _plugin_in_config(folder: Path) -> None:
    (folder / "evil.py").write_text(CODE)
    config_of(folder).write_text(f"plugins: [evil]\n{config_of(folder).read_text()}")


@hostile("a command that is none of ours")
def _command(folder: Path) -> None:
    describe(folder, lambda d: d.update(command=["sh", "-c", f"mkdir {SPRUNG}", ";", f"$(mkdir {SPRUNG})"]))


@hostile("pickle in the curves")
def _pickle(folder: Path) -> None:
    curves_of(folder).write_bytes(pickle.dumps(Bomb()))


@hostile("an array of objects in the curves")
def _objects(folder: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array([Bomb(), Bomb()], dtype=object), allow_pickle=True)
    curves_of(folder).write_bytes(buffer.getvalue())


@hostile("a pickle as a member of the curves")
def _pickled_member(folder: Path) -> None:
    npz(folder, {"key.npy": pickle.dumps(Bomb()), "val/loss.npy": pickle.dumps(Bomb())})


@hostile("a member that is no array")
def _no_array(folder: Path) -> None:
    npz(folder, {"key.npy": array({"descr": "<U4", "fortran_order": False, "shape": (1,)}, b"0" * 16), "x.py": b"1/0"})


@hostile("a header that is an expression")
def _expression(folder: Path) -> None:
    npz(folder, {"key.npy": array(f"__import__('os').mkdir({str(SPRUNG)!r})")})


for tag in (
    "!!python/object/apply:os.mkdir [{}]",
    "!!python/object/new:os.mkdir [{}]",
    "!!python/name:os.mkdir ''",
    "!!python/module:evil ''",
    "!mine {}",
    "!!binary aGk=",
    "!!set {{a, b}}",
):

    @hostile(f"a config with {tag.split()[0]}")
    def _tagged(folder: Path, tag: str = tag) -> None:
        (folder / "evil.py").write_text(CODE)
        config_of(folder).write_text(f"init: {tag.format(SPRUNG)}\n")


TARGETS = {
    "os": f"{{_target_: os.mkdir, path: {SPRUNG}}}",
    "sympy": f"{{_target_: sympy.sympify, a: \"__import__('os').mkdir('{SPRUNG}')\"}}",
    "partial": "{_target_: builtins.exec, _partial_: true, _args_: ['1']}",
    "module": "{_target_: evil.X}",
}
for target, node in TARGETS.items():

    @hostile(f"a config with a _target_ of {target}")
    def _target(folder: Path, node: str = node) -> None:
        (folder / "evil.py").write_text(CODE)
        config_of(folder).write_text(config_of(folder).read_text().replace("act:\n", f"act: {node}\nrest:\n"))


@hostile("a config with a hydra node")
def _hydra_node(folder: Path) -> None:
    handler = f"{{(): sympy.sympify, a: \"__import__('os').mkdir('{SPRUNG}')\"}}"
    config_of(folder).write_text(
        f"{config_of(folder).read_text()}hydra:\n  job_logging: {{handlers: {{evil: {handler}}}}}\n"
    )


@hostile("a config with a defaults list")
def _defaults(folder: Path) -> None:
    config_of(folder).write_text(f"defaults: [{{override hydra/launcher: evil}}]\n{config_of(folder).read_text()}")


# --- secrets ----------------------------------------------------------------------------------------------------------

for words in ("${oc.env:TOKEN}", "${env:TOKEN}", "${oc.decode:${oc.env:TOKEN}}", "${hydra:runtime.cwd}", "${now:%Y}"):

    @hostile(f"a config with {words}")
    def _interpolation(folder: Path, words: str = words) -> None:
        text = config_of(folder).read_text()
        config_of(folder).write_text(text.replace("name: relu", f"name: '{words}'"))


@hostile("interpolations in sweep.json and the journal")
def _interpolated(folder: Path) -> None:
    describe(folder, lambda d: d.update(plan="${oc.env:TOKEN}", command=["${oc.env:TOKEN}", "$TOKEN", "%TOKEN%"]))
    commit(folder, lambda r: r.update(device="${oc.env:TOKEN}", name="$TOKEN"))


@hostile("curves that are the process's environment")
def _environment(folder: Path) -> None:
    relink(curves_of(folder), "/proc/self/environ")


@hostile("curves named in the process's environment")
def _environment_name(folder: Path) -> None:
    commit(folder, lambda r: r.update(curves="/proc/self/environ"))


# --- ways out of the folder -------------------------------------------------------------------------------------------

OUTSIDE = ("/etc/passwd", "../../../../etc/passwd", "curves/../../../etc/passwd", "/dev/zero", "", ".", "//", "a\0b")
for place in OUTSIDE:
    for field in ("curves", "folder", "traceback"):

        @hostile(f"{field} is {place!r}")
        def _outside(folder: Path, field: str = field, place: str = place) -> None:
            commit(folder, lambda r: r.update({field: place}))


@hostile("a failed run whose traceback is a secret")
def _traceback(folder: Path) -> None:
    commit(folder, lambda r: r.update(status="failed", error="E", traceback="../../../../etc/passwd"))


for linked in ("sweep.json", "journal", "results.csv", "lock", "sweep.json.tmp", "results.csv.tmp", "curves", "runs"):

    @hostile(f"{linked} is a link")
    def _link(folder: Path, linked: str = linked) -> None:
        relink(folder / linked, "/etc" if linked in ("curves", "runs") else "/etc/passwd")


@hostile("the curves' folder is a link to another folder of the same content")
def _moved(folder: Path) -> None:
    relink(folder / "curves", "curves.moved")


@hostile("a run's folder is a link")
def _run_link(folder: Path) -> None:
    relink(folder / "runs" / "init=xavier", "/etc")


@hostile("a config is a link")
def _config_link(folder: Path) -> None:
    relink(config_of(folder), "/etc/passwd")


@hostile("the curves are a link to themselves")
def _loop(folder: Path) -> None:
    relink(curves_of(folder), curves_of(folder).name)


@hostile("a dangling link for a description")
def _dangling(folder: Path) -> None:
    relink(folder / "sweep.json", "nowhere")


def _made(folder: Path, name: str, make: Callable[[Path], Any]) -> None:
    path = curves_of(folder) if name == "curves" else folder / name
    path.unlink()
    make(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path.name)
    finally:
        os.chdir(here)


for part in ("sweep.json", "journal", "curves"):

    @hostile(f"a pipe for {part}")
    def _pipe(folder: Path, part: str = part) -> None:
        _made(folder, part, os.mkfifo)

    @hostile(f"a folder for {part}")
    def _folder(folder: Path, part: str = part) -> None:
        _made(folder, part, os.mkdir)

    @hostile(f"a socket for {part}")
    def _unix(folder: Path, part: str = part) -> None:
        _made(folder, part, _socket)

    @hostile(f"a device for {part}")
    def _device(folder: Path, part: str = part) -> None:
        def make(path: Path) -> None:
            try:
                os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero; only root can
            except PermissionError:
                os.mkfifo(path)

        _made(folder, part, make)


# --- sizes ------------------------------------------------------------------------------------------------------------


def _huge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate(2**40)  # sparse


for part in ("sweep.json", "journal", "curves", "config", "results.csv"):

    @hostile(f"a terabyte of {part}")
    def _terabyte(folder: Path, part: str = part) -> None:
        _huge({"curves": curves_of, "config": config_of}.get(part, lambda f: f / part)(folder))


@hostile("a laughing config")
def _laughs(folder: Path) -> None:
    rows = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    rows += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    config_of(folder).write_text("\n".join(rows))


@hostile("a config that holds itself")
def _cycle(folder: Path) -> None:
    config_of(folder).write_text("init: &a {name: *a}\n")


for opening, closing in (("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")):

    @hostile(f"a config 20,000 deep in {opening!r}")
    def _deep(folder: Path, opening: str = opening, closing: str = closing) -> None:
        config_of(folder).write_text(20_000 * opening + 20_000 * closing)


for opening, closing in (("[", "]"), ('{"a":', "}")):

    @hostile(f"a description 100,000 deep in {opening!r}")
    def _deep_json(folder: Path, opening: str = opening, closing: str = closing) -> None:
        (folder / "sweep.json").write_text(100_000 * opening + "1" + 100_000 * closing)

    @hostile(f"a record 900 deep in {opening!r}")
    def _deep_record(folder: Path, opening: str = opening, closing: str = closing) -> None:
        journal(folder, '{"schema":1,"runs":[{"key":' + 900 * opening + "1" + 900 * closing + "}]}")


@hostile("ten million values in sweep.json")
def _many(folder: Path) -> None:
    (folder / "sweep.json").write_text("[" + 10_000_000 * "0," + "0]")


@hostile("a number of a million digits")
def _digits(folder: Path) -> None:
    (folder / "sweep.json").write_text('{"schema": ' + 1_000_000 * "9" + "}")


@hostile("an array that claims an exabyte")
def _claims(folder: Path) -> None:
    npz(folder, {"key.npy": array({"descr": "<f8", "fortran_order": False, "shape": (2**57,)})})


@hostile("an array of nothing, often")
def _nothing(folder: Path) -> None:
    npz(folder, {"key.npy": array({"descr": "<U0", "fortran_order": False, "shape": (2**60,)})})


@hostile("an array of a negative shape")
def _negative(folder: Path) -> None:
    npz(folder, {"key.npy": array({"descr": "<U4", "fortran_order": False, "shape": (-1, -1)}, b"0" * 16)})


@hostile("an array of a shape beyond integers")
def _beyond(folder: Path) -> None:
    npz(folder, {"key.npy": array({"descr": "<U4", "fortran_order": False, "shape": (0, 10**40)})})


@hostile("a header of nested brackets")
def _nested_header(folder: Path) -> None:
    npz(folder, {"key.npy": array(9_000 * "-" + "1")})


@hostile("a header that claims gigabytes")
def _header(folder: Path) -> None:
    npz(folder, {"key.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}"})


@hostile("a zip bomb for curves")
def _bomb(folder: Path) -> None:
    zeros = bytes(2**22)
    npz(
        folder,
        {f"m{i}.npy": array({"descr": "|u1", "fortran_order": False, "shape": (2**22,)}, zeros) for i in range(2)},
        zipfile.ZIP_DEFLATED,
    )


@hostile("a zip file with two members of one name")
def _twins(folder: Path) -> None:
    with zipfile.ZipFile(curves_of(folder), "a") as archive:
        archive.writestr("key.npy ", b"")
        archive.writestr("../../escaped.npy", b"x")


@hostile("a zip file whose list is long")
def _directory(folder: Path) -> None:
    with zipfile.ZipFile(curves_of(folder), "w") as archive:
        for i in range(20_000):
            archive.writestr(f"{i}.npy", b"")


@hostile("curves with a damaged byte")
def _damaged(folder: Path) -> None:
    content = bytearray(curves_of(folder).read_bytes())
    content[len(content) // 2] ^= 1
    curves_of(folder).write_bytes(content)


@hostile("weights whose header claims 2^63 bytes")
def _weights(folder: Path) -> None:
    (folder / "runs" / "init=xavier" / "weights.safetensors").write_bytes(struct.pack("<Q", 2**63) + b"{}")


@hostile("an event file that claims 2^62 bytes")
def _events(folder: Path) -> None:
    path = folder / "runs" / "init=xavier" / "events.out.tfevents.initlab"
    path.write_bytes(struct.pack("<Q", 2**62) + bytes(8))


@hostile("a projector's config")
def _projector(folder: Path) -> None:
    for place in (folder, folder / "runs", folder / "runs" / "init=xavier"):
        (place / "projector_config.pbtxt").write_text('model_checkpoint_path: "/etc/passwd"\n')


def rehashed(folder: Path, file: Path, content: bytes) -> None:
    """Put other content into a checkpoint; the journal, whose checksums are right again, has its hash."""
    old, new = (hashlib.sha256(some).hexdigest() for some in (file.read_bytes(), content))
    file.write_bytes(content)
    lines = (line.partition(" ")[2] for line in (folder / "journal").read_text().splitlines())
    journal(folder, *(line.replace(old, new) for line in lines))


def unfinished(folder: Path, name: str, content: bytes) -> None:
    """No run is done, and a checkpoint of all of them lies in a file."""
    (stack,) = json.loads((folder / "sweep.json").read_text())["stacks"]
    (folder / name).write_bytes(content)
    line = {"part": part_id(stack["keys"]), "step": 5, "of": 11, "file": name, "time": 1.7e9}
    line["sha256"] = hashlib.sha256(content).hexdigest()
    journal(folder, json.dumps({"schema": 1, "runs": [], "checkpoint": line}))


CHECKPOINTS = {
    "of words": b"not one",
    "whose header claims gigabytes": struct.pack("<Q", 2**32) + b"{}",
    "of nothing": struct.pack("<Q", 2) + b"{}",
    "that is a pickle": pickle.dumps(Bomb()),
}
for kind, found in CHECKPOINTS.items():

    @hostile(f"a checkpoint {kind}")
    def _checkpoint(folder: Path, found: bytes = found) -> None:
        unfinished(folder, "checkpoints/a.safetensors", found)


@hostile("a terabyte of a checkpoint")
def _endless_checkpoint(folder: Path) -> None:
    unfinished(folder, "checkpoints/a.safetensors", b"")
    _huge(folder / "checkpoints" / "a.safetensors")


PROBES = {
    "of words": '{"layers": [{"name": "a", "q": "much"}], "verdict": "trains"}',
    "of layers that are none": '{"layers": [[]], "verdict": "trains"}',
    "without a verdict": '{"layers": []}',
    "of a number beyond floats": '{"layers": [{"name": "a", "q": 1' + 400 * "0" + '}], "verdict": "trains"}',
    "of zeros": '{"layers": [{"name": "a", "q": 0, "gradient": 0}], "verdict": "trains"}',
    "a thousand deep": 1000 * "[" + 1000 * "]",
}
for kind, content in PROBES.items():

    @hostile(f"a probe {kind}")
    def _probe(folder: Path, content: str = content) -> None:
        (folder / "runs" / "init=xavier" / "probe.json").write_text(content)


@hostile("a probe that is a link")
def _linked_probe(folder: Path) -> None:
    (folder / "runs" / "init=xavier" / "probe.json").symlink_to("/etc/passwd")


# --- words ------------------------------------------------------------------------------------------------------------

STRANGE = {
    "escapes": "\x1b]0;owned\x07\x1b[2J\x1b[31mred",
    "reversed": "init=\u202ereivax",
    "nul": "a\0b",
    "lines": "a\nrefused: b\r\nc",
    "surrogate": "a\udcffb",
    "long": "x" * 100_000,
    "markup": "<script>alert(1)</script>[bold]",
}
for strange, text in STRANGE.items():

    @hostile(f"names with {strange}")
    def _names(folder: Path, text: str = text) -> None:
        def rename(d: dict[str, Any]) -> None:
            d["runs"][0]["name"] = text
            d["axes"][0]["values"].append(text)
            d["axes"].append({"name": text, "role": "scientific", "type": "str", "values": [text]})
            d["command"] = [text]

        describe(folder, rename)
        (line,) = (folder / "journal").read_text().splitlines()
        content = json.loads(line.partition(" ")[2])
        for run in content["runs"]:
            run["axes"][text] = text
        content["runs"][0] |= {"name": text, "status": "failed", "error": text}
        journal(folder, json.dumps(content))

    @hostile(f"a config with {strange}")
    def _config_words(folder: Path, text: str = text) -> None:
        config_of(folder).write_text(f"{json.dumps(text)}: {json.dumps(text)}\n")


@hostile("keys that are there twice")
def _twice(folder: Path) -> None:
    text = (folder / "sweep.json").read_text()
    (folder / "sweep.json").write_text(text.replace("{", '{"schema": 1,', 1))


@hostile("config keys that are there twice")
def _config_twice(folder: Path) -> None:
    config_of(folder).write_text("seed: 1\nseed: 2\n")


for key in (".nan", "null", "1", "[a, b]", "{a: b}", "true", "2026-01-31", "<<"):

    @hostile(f"the config key {key}")
    def _key(folder: Path, key: str = key) -> None:
        config_of(folder).write_text(f"? {key}\n: {{name: relu}}\n")


for number in ("NaN", "Infinity", "-Infinity", "1e999"):

    @hostile(f"{number} in the journal")
    def _number(folder: Path, number: str = number) -> None:
        (line,) = (folder / "journal").read_text().splitlines()
        journal(folder, line.partition(" ")[2].replace('"seconds":0.1', f'"seconds":{number}'))


@hostile("text that is not UTF-8")
def _not_utf8(folder: Path) -> None:
    (folder / "sweep.json").write_bytes(b"\xff\xfe{}")
    config_of(folder).write_bytes(b"\xff\xfe\0\xd8")


@hostile("an empty description")
def _empty(folder: Path) -> None:
    (folder / "sweep.json").write_bytes(b"")


@hostile("a description of another schema")
def _schema(folder: Path) -> None:
    describe(folder, lambda d: d.update(schema=2))


@hostile("a journal of another schema")
def _journal_schema(folder: Path) -> None:
    journal(folder, '{"schema":2,"runs":[]}')


for line in ("null", "[]", '{"schema":1,"runs":{}}', '{"schema":1,"runs":[null]}', '{"schema":1,"runs":[{"key":[]}]}'):

    @hostile(f"the journal line {line}")
    def _line(folder: Path, line: str = line) -> None:
        journal(folder, line)


WRONG: tuple[Any, ...] = (None, True, -1, 2**70, 1.5, "x", [], {}, [[]], {"x": {}}, [None])
