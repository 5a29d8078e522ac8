"""Where stacks cannot help: conv nets on a CPU, and one large net."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benches.rows import ROOT, Row, command

CNN = ["-m", "arch=cnn", "init=xavier,kaiming", "seed=range(8)", "trainer.max_epochs=2", "sweep.fresh=true"]
LARGE = {  # about 10 million parameters each
    "MLP 4x1780": ["arch.width=1780", "arch.depth=4", "trainer.max_epochs=6"],
    "CNN 5x510": ["arch=cnn", "arch.depth=5", "arch.width=510", "dataset.batch_size=16", "trainer.max_epochs=1"],
}


def conv(folder: Path, repeats: int) -> Iterator[Row]:
    one_by_one = ["sweep.stack_width=1", "sweep.workers=2"]
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(command([*CNN, "hydra.sweep.dir=cnn"], folder)[0])
        said = [line for line in (folder / "said").read_text().splitlines() if line.startswith("as measured")]
        theirs.append(command([*CNN, *one_by_one, "hydra.sweep.dir=one"], folder)[0])
    yield Row("16 runs of the default cnn, 2 epochs", ours, why=said[-1])
    yield Row("  one by one in two processes", theirs)
    yield Row("  ratio, pair by pair", [b / a for a, b in zip(ours, theirs, strict=True)], "times")


def large(folder: Path, repeats: int) -> Iterator[Row]:
    """One run of a large net here and by plain Lightning: seconds from the first update to the last, on all threads."""
    from initlab.datasets import load
    from initlab.planning import plan
    from initlab.planning.compose import Composer
    from initlab.training.module import StackModule
    from initlab.training.nets import build_net
    from initlab.training.train import fit, quiet

    class Timed(_Clock, StackModule):
        pass

    quiet()
    for what, words in LARGE.items():
        words = [*words, "optimizer.lr=0.01", f"hydra.run.dir={folder}"]  # at the default the conv net diverges
        (run,) = plan.make(Composer(ROOT / "conf"), words, multirun=False).runs
        data = load(run.config["dataset"])
        ours, theirs = [], []
        for _ in range(1 + repeats):
            module = Timed([run.config], data)
            fit(module)
            assert module.state.alive.all(), f"{what} diverged"  # from there on it is not the same that is timed
            ours.append(module.took)
            theirs.append(_plain(build_net(run.config, data), data, run.config))
        count = sum(p[0].numel() for p in module.state.params.values())
        yield Row(f"one run of {what} ({count / 1e6:.1f} M parameters)", ours[1:])
        yield Row("  plain Lightning", theirs[1:])
        yield Row("  ratio, pair by pair", [a / b for a, b in zip(ours[1:], theirs[1:], strict=True)], "times")


class _Clock:
    """Of a LightningModule: the seconds that its training took, validation each epoch included."""

    def on_train_start(self) -> None:
        self.took = -time.perf_counter()

    def on_train_end(self) -> None:
        self.took += time.perf_counter()


def _plain(net: Any, data: Any, config: Any) -> float:
    """Seconds of the usual LightningModule: automatic optimization, a DataLoader, validation each epoch."""
    import lightning as L
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset

    class Plain(_Clock, L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: Any, _: int) -> Any:
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train/loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            out = self.net(batch[0])
            self.log("val/loss", F.cross_entropy(out, batch[1]))
            self.log("val/accuracy", (out.argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=config["optimizer"]["lr"])

    def loader(part: Any, size: int, train: bool = False) -> Any:
        rows = TensorDataset(torch.tensor(part.x), torch.tensor(part.y))
        return DataLoader(rows, size, shuffle=train, drop_last=train)

    options: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    options |= {"enable_model_summary": False, "num_sanity_val_steps": 0, "accelerator": "cpu"}

    module = Plain()
    length = {name: config["trainer"][name] for name in ("max_steps", "max_epochs")}
    trainer = L.Trainer(**{name: given for name, given in length.items() if given}, **options)
    trainer.fit(module, loader(data.train, config["dataset"]["batch_size"], train=True), loader(data.val, 1024))
    return module.took
