"""What trainer.precision rounds on the device, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from scripts.gpu_checks.stacks import SMALL, TRAINER, Checks, stack, trained
from torch import Tensor
from torch.nn import functional as F

from initlab.config import Config
from initlab.streams import uniforms
from initlab.training.nets import arithmetic

ROUNDING = {"tf32": 2.0**-11, "bf16": 2.0**-8}  # of a factor, relative
EXACT = 2.0**-14  # relative, of a whole product: float32 is nearer to the truth, TF32 further away
CUT = 4 * ROUNDING["tf32"]  # the same of TF32, if both factors are cut off, not rounded
UPDATES = 3


def checks(device: torch.device, quick: bool) -> Checks:
    for precision in ("float32", "tf32"):
        yield f"trainer.precision={precision}, products and convolutions", partial(products, device, precision)
    for precision in ROUNDING:
        for arch in ("mlp", "cnn", "vit")[: 2 if quick else 3]:
            yield f"trainer.precision={precision}, arch={arch}", partial(near, device, precision, arch)


def near(device: torch.device, precision: str, arch: str) -> str:
    """The weights of float32, bit for bit, and its losses but for the rounding of products."""
    full, low = (trained(_runs(word, arch), device, UPDATES) for word in ("float32", precision))
    assert low.initial_hashes == full.initial_hashes, "other initial weights"
    kept = {tensor.dtype for tensor in low.state.params.values()}
    assert kept == {torch.float32}, f"weights are {kept}"
    losses, wanted = (module.curves.whole()["train/loss"].values for module in (low, full))
    far = abs(losses - wanted).max() / abs(wanted).max()
    said = f"losses {far:.0e} from float32's in {UPDATES} updates"
    assert far <= 4 * ROUNDING[precision], said
    assert precision == "tf32" or far > 0, f"{said}: nothing was rounded"  # small products may be spared TF32
    return said


def _runs(precision: str, arch: str) -> list[Config]:
    trainer = TRAINER | {"precision": precision, "max_steps": UPDATES}
    return stack({"arch": {"name": arch} | SMALL[arch], "trainer": trainer})


def products(device: torch.device, precision: str) -> str:
    """Products, convolutions and those of a stack, forth and back, against float64; torch's switches are put back."""
    before, errors = _switches(), {}
    with arithmetic(_runs(precision, "mlp")[0]):
        within = _switches()
        for name, (function, *shapes) in PRODUCTS.items():
            factors = [torch.from_numpy(uniforms(shape, 0, "check", f"{name} {shape}") - 0.5) for shape in shapes]
            truth = _forth_and_back(function, factors)
            found = _forth_and_back(function, [factor.to(device, torch.float32) for factor in factors])
            far = [((a.cpu() - b).norm() / b.norm()).item() for a, b in zip(found, truth, strict=True)]
            errors[name] = max(far)
    low = precision == "tf32"
    assert within == (low, low, False) and _switches() == before, f"switches {before}, {within}, {_switches()}"
    said = ", ".join(f"{name} {error:.0e}" for name, error in errors.items())
    assert max(errors.values()) <= (CUT if low else EXACT), f"{said} from float64: rounded"
    assert not low or max(errors.values()) > EXACT, f"{said} from float64: nothing was rounded"
    return f"{said} from float64"


PRODUCTS: dict[str, tuple[Callable[..., Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "bmm": (torch.bmm, (4, 256, 256), (4, 256, 256)),
    "conv": (partial(F.conv2d, padding=1), (8, 32, 12, 12), (32, 32, 3, 3)),
    "conv of a stack": (partial(F.conv2d, padding=1, groups=4), (8, 64, 12, 12), (64, 16, 3, 3)),
}


def _forth_and_back(function: Callable[..., Tensor], factors: list[Tensor]) -> list[Tensor]:
    leaves = [factor.requires_grad_() for factor in factors]
    out = function(*leaves)
    slope = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).view(out.shape).to(out)
    return [out.detach(), *torch.autograd.grad(out, leaves, slope)]


def _switches() -> tuple[bool, bool, bool]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return matmul.allow_tf32, cudnn.allow_tf32, matmul.allow_bf16_reduced_precision_reduction
