"""Some places of each frame: enough to know its feature vectors by.

Shapes: B = frames, P = places, D = features, N = vectors.
"""

import numpy as np
import torch
from torch import Tensor


def sampled(features: Tensor, most: int, draw: np.random.Generator) -> Tensor:
    """Vectors (N, D) at some places of each frame, drawn anew for each; on the CPU.

    Args:
        features: Of all places, shape (B, P, D).
        most: Places of a frame that are drawn, if it has more.
        draw: Draws the places.
    """
    num, places, dim = features.shape
    if places <= most:
        return features.reshape(-1, dim).cpu()
    chosen = torch.from_numpy(draw.integers(places, size=(num, most))).to(features.device)
    taken = features.gather(1, chosen[..., None].expand(-1, -1, dim))
    return taken.reshape(-1, dim).cpu()
