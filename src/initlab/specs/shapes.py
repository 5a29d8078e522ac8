"""What data an architecture takes: its sizes on the way, or a refusal in words. Torch-free, so that a plan can ask.

conv_sizes(option, (1, 8, 8))            # [(8, 8), (8, 8), (4, 4), (4, 4), (2, 2)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from initlab.errors import Refused


def conv_sizes(option: Mapping[str, Any], features: Sequence[int], given: str = "the data") -> list[tuple[int, int]]:
    """(height, width) of what each conv layer of a cnn takes, and last of what its head takes.

    A conv layer keeps the size (zero, circular or reflected margins of kernel // 2); pooling halves it, max and avg
    dropping an odd last line, a stride keeping it. Raises Refused for no image, a margin as large as the image, whose
    outermost weights would see no pixel, and pooling of a single line.
    """
    sizes = [_image("cnn", features, given)]
    margin, pool = option["kernel"] // 2, option["pool"]
    for i in range(1, option["depth"] + 1):
        height, width = sizes[-1]
        where = f"conv{i} has {height} x {width} ({given} has {list(features)})"
        if margin >= min(height, width):
            raise Refused(
                f"arch.kernel={option['kernel']}: needs an image of more than {margin} x {margin}; {where}. "
                f"Take a smaller arch.kernel or arch.depth, or a larger arch.pool_every."
            )
        if pool != "none" and i % option["pool_every"] == 0:
            if min(height, width) < 2:
                raise Refused(
                    f"arch.pool={pool}: halves an image of 2 x 2 or more; {where}. "
                    f"Take a smaller arch.depth or a larger arch.pool_every."
                )
            odd = 1 if pool == "stride" else 0
            height, width = (height + odd) // 2, (width + odd) // 2
        sizes.append((height, width))
    return sizes


def resnet_sizes(option: Mapping[str, Any], features: Sequence[int], given: str = "the data") -> list[tuple[int, int]]:
    """(height, width) of each stage. Raises Refused for no image, and for halving a single line."""
    sizes = [_image("resnet", features, given)]
    for stage in range(2, option["stages"] + 1):
        height, width = sizes[-1]
        if min(height, width) < 2:
            raise Refused(
                f"arch.stages={option['stages']}: halves an image of 2 x 2 or more; stage {stage} would halve "
                f"{height} x {width} ({given} has {list(features)}). Take fewer."
            )
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def vit_patches(option: Mapping[str, Any], features: Sequence[int], given: str = "the data") -> int:
    """The number of patches. Raises Refused for no image, and for one that is not made of whole patches."""
    height, width = _image("vit", features, given)
    patch = option["patch"]
    if height % patch or width % patch:
        fitting = [p for p in range(1, min(height, width) + 1) if height % p == width % p == 0]
        raise Refused(
            f"arch.patch={patch}: does not divide the image; {given} has {list(features)}. Fitting: "
            f"{', '.join(map(str, fitting))}."
        )
    return (height // patch) * (width // patch)


def sequence(option: Mapping[str, Any], features: Sequence[int], given: str = "the data") -> int:
    """Its length. Raises Refused for what is no sequence [T, F]."""
    if len(features) != 2:
        raise Refused(f"arch={option['name']}: needs sequences [T, F]; {given} has {list(features)}.")
    return features[0]


def _image(arch: str, features: Sequence[int], given: str) -> tuple[int, int]:
    if len(features) != 3:
        raise Refused(f"arch={arch}: needs images [C, H, W]; {given} has {list(features)}.")
    return features[1], features[2]
