"""What is no longer normal, made of normal patches without any label.

Shapes: B = batch, C = channels, P = side of a patch.
"""

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional

NODES = 4
"""Nodes on a side of the grid that is displaced; bicubic in between."""
LEAST, MOST = 0.1, 0.4
"""Standard deviation of a node's displacement, drawn for each patch, in halves of its side."""


def pseudo_anomalies(
    patches: Float[Tensor, "B C P P"], draw: Generator, *, turning: bool
) -> Float[Tensor, "B C P P"]:
    """Turn a third of the patches, warp a third, and overlay the others with yet another one.

    Args:
        patches: Normal ones, in random order.
        draw: What is drawn, on the CPU.
        turning: Whether a turned patch is no normal one; if not, half of them are warped and half
            are overlaid.
    """
    if not turning:
        bent, under = patches.tensor_split(2)
        return torch.cat([warped(bent, draw), overlaid(under, warped(under.roll(1, 0), draw))])
    about, bent, under = patches.tensor_split(3)
    over = turned(warped(under.roll(1, 0), draw), draw)
    return torch.cat([turned(about, draw), warped(bent, draw), overlaid(under, over)])


def turned(patches: Float[Tensor, "B C P P"], draw: Generator) -> Float[Tensor, "B C P P"]:
    """Turn each patch by 90, 180 or 270 degrees, or mirror it, up-down or left-right.

    Strokes and textures stay what they are, only how they lie is new (Golan and El-Yaniv, 2018,
    "Deep Anomaly Detection Using Geometric Transformations", learn from the same changes).
    """
    ways = [
        patches.rot90(1, (2, 3)),
        patches.rot90(2, (2, 3)),
        patches.rot90(3, (2, 3)),
        patches.flip(2),
        patches.flip(3),
    ]
    chosen = torch.randint(len(ways), (len(patches),), generator=draw)
    return torch.stack(ways)[chosen, torch.arange(len(patches))]


def warped(patches: Float[Tensor, "B C P P"], draw: Generator) -> Float[Tensor, "B C P P"]:
    """Bend each patch smoothly, a node by a sixth of the side on average; from outside comes 0.

    Parts keep their looks but not their places: a near miss, where a turned patch is a far one.
    """
    number = len(patches)
    if not number:
        return patches
    strength = LEAST + (MOST - LEAST) * torch.rand(number, 1, 1, 1, generator=draw)
    nodes = strength * torch.randn(number, 2, NODES, NODES, generator=draw)
    displacement = functional.interpolate(
        nodes, size=patches.shape[-2:], mode="bicubic", align_corners=True
    )
    where = functional.affine_grid(
        torch.eye(2, 3).expand(number, 2, 3), list(patches.shape), align_corners=False
    )
    return functional.grid_sample(
        patches, where + displacement.permute(0, 2, 3, 1), align_corners=False
    )


def overlaid(
    patches: Float[Tensor, "B C P P"], others: Float[Tensor, "B C P P"]
) -> Float[Tensor, "B C P P"]:
    """Of two patches, keep at each place what stands out more from the ground.

    The ground is the median of the first patch: of bright strokes on black, the brighter is kept.
    There is more on such a patch than on a normal one.
    """
    ground = patches.flatten(start_dim=2).median(dim=2).values[:, :, None, None]
    return torch.where((patches - ground).abs() >= (others - ground).abs(), patches, others)
